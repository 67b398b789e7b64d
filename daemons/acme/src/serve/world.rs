//! The shared state as types.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use convoy_certificates::Certificate;
use convoy_keys::{
    AccountRecord, Authority, CertificateName, ChallengeRecord, ChallengeToken, EdgeRecord, InstanceName,
    LedgerRecord, OrderRecord,
};

use crate::rules::{Holding, Window, renew_at, seed};

/// A certificate that was ordered.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    pub(crate) certificate: Arc<Certificate>,
    /// URL of the authority's directory.
    pub(crate) authority: String,
}

impl Issued {
    pub(crate) fn seed(&self) -> u64 {
        self.certificate.leaf().map_or(0, |leaf| seed(leaf))
    }

    pub(crate) fn holding(&self, authority: &str, window: Option<Window>) -> Holding {
        let certificate = &self.certificate;
        let (not_before, not_after) = (certificate.not_before(), certificate.not_after());
        Holding {
            not_after,
            renew_at: renew_at(not_before, not_after, window, self.seed()),
            is_ours: self.authority == authority,
        }
    }
}

/// Everything under the keys of certificates, and in files, at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct World {
    /// All changes up to this revision are in.
    pub(crate) revision: i64,
    /// The store was read: what is not here is not there.
    pub(crate) has_listed: bool,
    /// Why it can't be read at the moment.
    pub(crate) stale: Option<String>,
    /// From files and keys.
    pub(crate) given: Vec<Arc<Certificate>>,
    pub(crate) issued: BTreeMap<CertificateName, Issued>,
    pub(crate) orders: BTreeMap<CertificateName, OrderRecord>,
    pub(crate) ledger: BTreeMap<(Authority, CertificateName), LedgerRecord>,
    pub(crate) challenges: BTreeMap<(CertificateName, ChallengeToken), ChallengeRecord>,
    pub(crate) accounts: BTreeMap<Authority, AccountRecord>,
    pub(crate) edges: BTreeMap<InstanceName, EdgeRecord>,
    pub(crate) leader: Option<InstanceName>,
}

impl World {
    /// The records of one authority.
    pub(crate) fn ledger_of(&self, authority: &Authority) -> BTreeMap<CertificateName, LedgerRecord> {
        let records = self.ledger.iter().filter(|((of, _), _)| of == authority);
        records.map(|((_, name), record)| (name.clone(), record.clone())).collect()
    }

    /// Names with an order at an authority that is under way.
    pub(crate) fn open_orders(&self, authority: &str) -> BTreeSet<CertificateName> {
        let orders = self.orders.iter().filter(|(_, order)| order.authority == authority);
        orders.map(|(name, _)| name.clone()).collect()
    }

    /// Whether all edges that are alive answer what was put at a revision; this one among them.
    pub(crate) fn all_answer(&self, revision: i64, own: &InstanceName) -> bool {
        self.edges.contains_key(own) && self.edges.values().all(|edge| edge.revision >= revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_answered_when_every_living_edge_has_it() {
        let (one, two) = (InstanceName::parse("one").unwrap(), InstanceName::parse("two").unwrap());
        let mut world = World::default();
        assert!(!world.all_answer(5, &one), "not even this one is there");
        world.edges.insert(one.clone(), EdgeRecord { revision: 5 });
        assert!(world.all_answer(5, &one));
        world.edges.insert(two.clone(), EdgeRecord { revision: 4 });
        assert!(!world.all_answer(5, &one));
        world.edges.insert(two, EdgeRecord { revision: 9 });
        assert!(world.all_answer(5, &one));
    }
}
