//! What confd's templates need besides the language: its functions, over one [`Snapshot`] of the keys.
//!
//! [`functions`] has those of confd and of its maintained fork, with their results, orders and errors. What a
//! function asks of the machine (time, environment, names, files) it asks through a [`World`], so the same

mod functions;
mod glob;
mod json;
mod keys_file;
mod lint;
mod path;
mod snapshot;
mod world;

pub use functions::functions;
pub use glob::{BadPattern, Pattern};
pub use json::JsonError;
pub use keys_file::{KeysError, read_keys};
pub use lint::{Warning, lint};
pub use snapshot::{Matches, Snapshot};
pub use world::{Moment, Service, World};
