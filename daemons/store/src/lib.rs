//! The store: everything Convoy knows about etcd.
//!
//! No other crate names etcd, its client or gRPC. What crosses this border are plain types:
//!
//! - [`Store`]: reads, writes and compare-guarded [`Transaction`]s, each with a deadline, on one endpoint at a
//!   time; a failing endpoint is left for the next one.
//! - [`Feed`]: the whole state of some [`KeyRange`]s, then every change, in order, with nothing missed. A feed
//!   outlives every outage; it says when its picture is old ([`FeedEvent::Stale`]) and lists again after any doubt.
//! - [`CautiousFeed`]: the same for those who serve by it: what vanishes with an outage is held back for a while.
//! - [`Mirror`]: the state a feed describes, kept in memory.
//! - [`Ownership`]: keys under one lease. Kept alive without writes, restored after a loss, let go when a newer
//!   owner took them, removed at once by [`Ownership::release`].
//! - [`Election`]: one of several candidates leads, and its writes carry a guard that holds as long as it does.
//!
//! An error or a missing answer is never taken for an empty store.

mod call;
mod election;
mod endpoints;
mod entry;
mod error;
mod failure;
mod feed;
mod lease;
mod mirror;
mod ownership;
mod range;
mod session;
mod settings;
mod store;
mod tls;
mod transaction;
mod wire;

pub use election::{Election, ElectionStatus, Leadership};
pub use entry::{Change, Entry, Revision, Snapshot};
pub use error::{ErrorKind, StoreError};
pub use feed::{CautiousFeed, Feed, FeedEvent, OUTAGE_GRACE};
pub use mirror::Mirror;
pub use ownership::{Answered, LeaseSettings, Ownership, OwnershipStatus};
pub use range::KeyRange;
pub use settings::{StoreSettings, TlsSettings};
pub use store::Store;
pub use transaction::{Answer, Compare, Operation, Outcome, Transaction};
