//! Everything together: a store, an authority, an address, and edges.

use std::sync::Arc;
use std::time::Duration;

use convoy_acme::{Limits, OrderSettings, Sealing, Settings};
use convoy_keys::{AcmeKey, Authority, CertificateName, InstanceName, LedgerRecord, Record};
use convoy_store::{LeaseSettings, Store, StoreSettings};
use convoy_test_etcd::Etcd;
use convoy_test_pebble::{Options, Pebble, free_address, is_there};
use tempfile::TempDir;

use crate::edge::Edge;
use crate::front::Front;

/// How long it takes until another edge orders, when the one that did has died.
pub(crate) const LEASE: Duration = Duration::from_secs(2);

pub(crate) struct Stage {
    pub(crate) front: Front,
    pub(crate) pebble: Pebble,
    pub(crate) etcd: Etcd,
    pub(crate) place: TempDir,
}

pub(crate) fn name(text: &str) -> CertificateName {
    CertificateName::parse(text).unwrap()
}

impl Stage {
    /// None where pebble isn't installed.
    pub(crate) async fn set() -> Option<Self> {
        Self::set_with(Options::default()).await
    }

    /// With another kind of authority.
    pub(crate) async fn set_with(options: Options) -> Option<Self> {
        if !is_there() {
            return None;
        }
        let address = free_address();
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("secret"), "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n")
            .unwrap();
        let (etcd, pebble, front) =
            tokio::join!(Etcd::start(1), Pebble::start(address, options), Front::start(address));
        Some(Self { front, pebble: pebble.unwrap(), etcd: etcd.unwrap(), place })
    }

    pub(crate) fn store(&self) -> Store {
        Store::new(StoreSettings { endpoints: self.etcd.endpoints(), ..StoreSettings::default() }).unwrap()
    }

    pub(crate) fn sealing(&self) -> Arc<Sealing> {
        Arc::new(Sealing::read(&self.place.path().join("secret")).unwrap())
    }

    pub(crate) fn orders(&self) -> OrderSettings {
        OrderSettings {
            agree_to_terms: true,
            contacts: vec!["mailto:test@a.example".into()],
            trust: Some(self.pebble.trust()),
            limits: Limits { shortest_wait: Duration::from_secs(4), ..Limits::default() },
            ..OrderSettings::new(self.pebble.url())
        }
    }

    pub(crate) fn settings(&self, edge: &str, orders: OrderSettings) -> Settings {
        Settings {
            sealing: Some(self.sealing()),
            orders: Some(orders),
            lease: LeaseSettings::new(LEASE),
            ..Settings::new(InstanceName::parse(edge).unwrap())
        }
    }

    /// Three edges that want names, with the front before them.
    pub(crate) fn edges(&self, orders: &OrderSettings, names: &[&str]) -> Vec<Arc<Edge>> {
        let edges: Vec<_> = ["edge-1", "edge-2", "edge-3"]
            .map(|edge| Edge::start(self.settings(edge, orders.clone()), Some(self.store())))
            .into();
        for edge in &edges {
            edge.certificates.want(names.iter().copied().map(name).collect());
        }
        self.front.lead_to(&edges);
        edges
    }

    /// Ends an edge as a crash would: nothing is said to anybody.
    pub(crate) fn kill(&self, edges: &mut Vec<Arc<Edge>>, number: usize) {
        let killed = edges.remove(number);
        self.front.lead_to(edges);
        drop(killed);
    }

    /// The number of the edge that orders.
    pub(crate) async fn leader(&self, edges: &[Arc<Edge>]) -> usize {
        let names = ["edge-1", "edge-2", "edge-3"];
        let status = edges[0].status("an edge that orders", |status| status.leader.is_some()).await;
        let leader = status.leader.as_ref().unwrap();
        names.iter().position(|name| *name == leader.as_str()).unwrap()
    }

    pub(crate) async fn ledger(&self, of: &str) -> LedgerRecord {
        let key = AcmeKey::Ledger(Authority::of(&self.pebble.url()).unwrap(), name(of));
        let entry = self.store().get(&key.to_string()).await.unwrap();
        entry.map_or_else(LedgerRecord::default, |entry| LedgerRecord::parse(&entry.value).unwrap())
    }

    /// All that is left in the store, by the kinds of the keys.
    pub(crate) async fn left(&self, kind: &str) -> usize {
        self.store().list(&format!("/convoy/acme/{kind}/")).await.unwrap().entries.len()
    }
}
