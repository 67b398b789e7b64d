//! What an owner is told.

use std::time::Duration;

use tokio::time::Instant;

use crate::Revision;

/// How an ownership stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnershipStatus {
    /// What was declared is not in the store yet.
    Pending {
        /// What stands in the way, if anything does.
        error: Option<String>,
    },
    /// What was declared is in the store, and the lease is good.
    Held {
        /// The lease.
        lease: i64,
        /// The revision at which the last change was made.
        revision: Revision,
    },
    /// Keep-alives fail, but the lease still has time.
    AtRisk {
        /// What went wrong last.
        error: String,
        /// When the keys have to be taken for lost.
        expires_in: Duration,
    },
    /// The lease is gone, or has to be taken for gone. A new one is being asked for; the keys come back with it.
    Lost {
        /// Why.
        error: String,
    },
    /// A newer owner announced one of the keys, which was let go. The others are kept.
    Replaced {
        /// The key.
        key: String,
        /// The newer owner's lease; 0 is none.
        lease: i64,
    },
}

/// The last grant or keep-alive of a lease that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// The lease.
    pub lease: i64,
    /// When the request went out. The store counts the time to live from its arrival, which is later, so nobody else
    /// sees the keys gone before `sent + ttl`.
    pub sent: Instant,
    /// The time to live that was granted.
    pub ttl: Duration,
    /// How long before its end the owner takes the lease for lost.
    pub margin: Duration,
}

/// A lease as etcd's own tools print it.
pub(crate) fn lease_name(lease: i64) -> String {
    format!("lease {lease:x}")
}
