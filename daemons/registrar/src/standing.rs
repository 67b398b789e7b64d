//! How the store stands to what was declared, and what is said about it.

use convoy_service::message;
use convoy_store::OwnershipStatus;

use crate::metrics::Metrics;

/// How the store stands to what was declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holding {
    /// It is not there yet; this is in the way, if anything is.
    Pending(Option<String>),
    /// It is there.
    Held,
    /// It is there, but can't be renewed at the moment.
    AtRisk(String),
    /// It has to be taken for gone.
    Lost(String),
    /// Another owner has this key.
    Replaced(String),
}

/// Keeps track of the store's side.
#[derive(Debug)]
pub(crate) struct Standing {
    holding: Holding,
    /// Whether what was declared last has been dealt with. The status of the ownership speaks of what was declared
    /// before until then.
    settled: bool,
    /// Whether the store was out of reach when it was last heard of.
    outage: bool,
    lease: i64,
}

impl Standing {
    pub(crate) fn new() -> Self {
        Self { holding: Holding::Pending(None), settled: true, outage: false, lease: 0 }
    }

    /// Something else was declared.
    pub(crate) fn unsettle(&mut self) {
        self.settled = false;
    }

    /// What was declared last has been dealt with.
    pub(crate) fn settle(&mut self) {
        self.settled = true;
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.settled
    }

    /// How the store stands to what was declared last.
    pub(crate) fn holding(&self) -> Holding {
        match self.holding.clone() {
            Holding::Held if !self.settled => Holding::Pending(None),
            Holding::AtRisk(error) | Holding::Lost(error) if !self.settled => Holding::Pending(Some(error)),
            holding => holding,
        }
    }

    /// The lease as etcd's own tools print it.
    pub(crate) fn lease(&self) -> String {
        format!("{:x}", self.lease)
    }

    /// Takes the news of the ownership. The begin and the end of an outage are said once each.
    pub(crate) fn take(&mut self, status: OwnershipStatus, metrics: &Metrics) {
        let next = match status {
            OwnershipStatus::Pending { error } => Holding::Pending(error),
            OwnershipStatus::Held { lease, .. } => {
                self.lease = lease;
                Holding::Held
            }
            OwnershipStatus::AtRisk { error, .. } => Holding::AtRisk(error),
            OwnershipStatus::Lost { error } => Holding::Lost(error),
            OwnershipStatus::Replaced { key, lease } => {
                if self.holding != Holding::Replaced(key.clone()) {
                    tracing::error!(
                        MESSAGE_ID = message::REGISTRATION_REPLACED,
                        key,
                        lease = format!("{lease:x}"),
                        "another owner announced {key}, and the newest one wins"
                    );
                }
                Holding::Replaced(key)
            }
        };
        match &next {
            Holding::Pending(Some(error)) | Holding::AtRisk(error) | Holding::Lost(error) if !self.outage => {
                self.outage = true;
                metrics.store_outages.inc();
                tracing::warn!(
                    MESSAGE_ID = message::STORE_UNREACHABLE,
                    error,
                    "the store can't be reached; checks go on: {error}"
                );
            }
            Holding::Held if self.outage => {
                self.outage = false;
                tracing::info!(MESSAGE_ID = message::STORE_BACK, "the store holds the announcement again");
            }
            _ => {}
        }
        self.holding = next;
    }
}

#[cfg(test)]
mod tests {
    use convoy_store::Revision;

    use super::*;

    #[test]
    fn an_old_status_says_nothing_about_a_new_declaration() {
        let mut standing = Standing::new();
        let held = OwnershipStatus::Held { lease: 0xab, revision: Revision::default() };
        standing.unsettle();
        // This one was under way before the declaration.
        standing.take(held.clone(), &Metrics::default());
        assert_eq!(standing.holding(), Holding::Pending(None));
        standing.settle();
        assert_eq!(standing.holding(), Holding::Held);
        assert_eq!(standing.lease(), "ab");
        standing.unsettle();
        standing.take(OwnershipStatus::Lost { error: "gone".into() }, &Metrics::default());
        assert_eq!(standing.holding(), Holding::Pending(Some("gone".into())));
    }

    #[test]
    fn an_outage_is_counted_once() {
        let metrics = Metrics::default();
        let mut standing = Standing::new();
        for error in [Some("a"), None, Some("b")] {
            standing.take(OwnershipStatus::Pending { error: error.map(str::to_owned) }, &metrics);
        }
        assert_eq!(metrics.store_outages.get(), 1);
    }
}
