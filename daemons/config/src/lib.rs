//! Configuration in fragments, as systemd and zincati have it.
//!
//! TOML files named `*.toml` are read from `/usr/lib/convoy/config.d`, `/run/convoy/config.d` and
//! `/etc/convoy/config.d`. A file in a later directory masks one of the same name in an earlier one, a link to
//! `/dev/null` masks it without a replacement, and what is left is applied in the order of file names: the last
//! value of a key wins. Each daemon has a table of its own (`[registrar]`), `[etcd]` is for all of them. Unknown
//! tables and keys are errors that name the file and the line.

mod error;
mod etcd;
mod fragment;
mod machine;
mod search;
mod span;

pub use error::ConfigError;
pub use etcd::{EtcdFragment, EtcdInputs, etcd_inputs};
pub use fragment::{Merge, load};
pub use machine::machine_id;
pub use search::SearchPath;
pub use span::{Span, SpanError};
