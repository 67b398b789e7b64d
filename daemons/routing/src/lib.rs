//! From keys to a routing table, from a request's host and path to a rule, and from there to a target. Pure: no I/O, no
//! clock of its own.
//!
//! [`Routes`] holds what the keys say, one key at a time; [`Table`] is the immutable snapshot that requests are
//! routed by. A change touches the service it belongs to and nothing else: the [`Target`]s of all others, with
//! their identities and their ejection state, are carried over from table to table.
//!
//! An app that announces itself is served as `<app>.<domain>` and needs nothing else. A [`Document`] (the value of
//! `/convoy/routes/<app>`, or an entry of a routes file) says what should be different: a [`Policy`] for the app's
//! targets and [`Rule`]s for hosts and paths.

pub mod balance;
mod document;
mod domain;
mod ejection;
mod explain;
mod file;
mod host;
mod import;
mod index;
mod path;
mod pattern;
mod policy;
mod routes;
mod rule;
mod service;
mod shared;
mod table;
mod target;
mod written;

pub use document::{Document, DocumentError, StaticTarget};
pub use domain::{Domain, DomainError};
pub use ejection::{Ejection, EjectionPolicy};
pub use file::{FileEntry, FileError, RoutesFile};
pub use host::{Host, HostError};
pub use import::{Import, ImportError, Imported, Layout};
pub use path::{PathError, normalise};
pub use pattern::{HostPattern, PathPattern, PatternError};
pub use policy::{ActiveCheck, Balance, Concurrency, HashSource, Policy, Protocol, Retries, Sticky};
pub use routes::{Effect, Routes};
pub use rule::{
    Action, Canary, FieldRules, Maintenance, NumberedRule, Redirect, Rule, RuleTimeouts, Treatment,
};
pub use service::{Service, Slot};
pub use table::{Conflict, Found, Table};
pub use target::{Target, Tier};
