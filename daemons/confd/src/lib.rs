//! What confd's users bring: its [template resources](resource), its [flags and confd.toml](settings), and what its
//! templates need besides the language, the functions over one [`Snapshot`] of the keys.
//!
//! [`functions`] has those of confd and of its maintained fork, with their results, orders and errors. What a
//! function asks of the machine (time, environment, names, files) it asks through a [`World`], so the same keys and
//! the same world give the same file.

mod fields;
mod functions;
mod glob;
mod json;
mod keys_file;
mod lint;
mod path;
pub mod resource;
pub mod settings;
mod snapshot;
mod world;

pub use fields::FieldError;
pub use functions::functions;
pub use glob::{BadPattern, Pattern};
pub use json::JsonError;
pub use keys_file::{KeysError, read_keys};
pub use lint::{Warning, lint};
pub use snapshot::{Matches, Snapshot};
pub use world::{Moment, Service, World};
