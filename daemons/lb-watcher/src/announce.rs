//! The load balancer's own keys.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use convoy_keys::{InstanceName, applied_key, lb_key};
use convoy_store::{LeaseSettings, Ownership, OwnershipStatus, Revision, Store, StoreError};
use tokio::sync::watch;

use crate::settings::Settings;

/// Announces where the load balancer is and which revision it serves; both under one lease.
///
/// Nothing is announced before [`Announcer::serve`], and nothing is written while the revision stays.
#[derive(Debug)]
pub(crate) struct Announcer {
    ownership: Ownership,
    lb_key: String,
    applied_key: String,
    address: SocketAddr,
    announced: Option<Revision>,
}

impl Announcer {
    pub(crate) fn new(store: &Store, settings: &Settings, address: SocketAddr) -> anyhow::Result<Self> {
        // Edge routers stand beside load balancers under the same prefix, so the name says what it is.
        let consumer = InstanceName::parse(&format!("lb-{}", settings.instance))?;
        Ok(Self {
            ownership: store.own(LeaseSettings::new(settings.lease_ttl)),
            lb_key: lb_key(&settings.app, &settings.instance),
            applied_key: applied_key(&settings.app, &consumer),
            address,
            announced: None,
        })
    }

    /// nginx serves this revision.
    pub(crate) fn serve(&mut self, revision: Revision) {
        if self.announced == Some(revision) {
            return;
        }
        self.announced = Some(revision);
        self.ownership.declare(BTreeMap::from([
            (self.lb_key.clone(), self.address.to_string().into_bytes()),
            (self.applied_key.clone(), revision.to_string().into_bytes()),
        ]));
    }

    /// nginx serves, but nothing newer than what was announced last; nothing at all, if nothing was.
    pub(crate) fn serve_as_before(&mut self) {
        if self.announced.is_none() {
            self.serve(Revision::default());
        }
    }

    /// Where requests are taken.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The key of the announcement.
    pub(crate) fn key(&self) -> &str {
        &self.lb_key
    }

    /// How the announcement stands.
    pub(crate) fn status(&self) -> watch::Receiver<OwnershipStatus> {
        self.ownership.status()
    }

    /// Takes the keys out of the store.
    pub(crate) async fn withdraw(self, deadline: Duration) -> Result<(), StoreError> {
        self.ownership.release(deadline).await
    }
}
