//! From keys to a routing table, and from a request's host name to a target. Pure: no I/O, no clock of its own.
//!
//! [`Routes`] holds what the keys say, one key at a time; [`Table`] is the immutable snapshot that requests are
//! routed by. A change touches the service it belongs to and nothing else: the [`Target`]s of all others, with
//! their identities and their ejection state, are carried over from table to table.

pub mod balance;
mod domain;
mod ejection;
mod host;
mod routes;
mod table;
mod target;

pub use domain::{Domain, DomainError};
pub use ejection::{Ejection, EjectionPolicy};
pub use host::{Host, HostError};
pub use routes::{Effect, Routes};
pub use table::{Service, Table};
pub use target::{Target, Tier};
