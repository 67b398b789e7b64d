//! Says in the store which revision of each app is served, so that an instance is stopped only when nobody sends to it
//! any more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use convoy_keys::{AppName, InstanceName, applied_key};
use convoy_store::{LeaseSettings, Ownership, Store};

/// A router that is gone is waited for so long, and no longer.
const LEASE: Duration = Duration::from_secs(15);
/// Taking the keys out at the end may take so long.
const FAREWELL: Duration = Duration::from_secs(2);

/// The keys below `/convoy/applied/` that are ours. Written when something changed, at rest never.
#[derive(Debug)]
pub(crate) struct Acknowledgement {
    ownership: Ownership,
    consumer: InstanceName,
    served: BTreeMap<AppName, i64>,
}

impl Acknowledgement {
    /// Under this name; load balancers stand under the same prefix, so it says what it is.
    pub(crate) fn new(store: &Store, consumer: InstanceName) -> Self {
        Self { ownership: store.own(LeaseSettings::new(LEASE)), consumer, served: BTreeMap::new() }
    }

    /// Requests for these apps are routed by this revision now; of those that are not known any more nothing is said.
    pub(crate) fn serve(
        &mut self,
        apps: &BTreeSet<AppName>,
        revision: i64,
        is_known: impl Fn(&AppName) -> bool,
    ) {
        if apps.is_empty() {
            return;
        }
        for app in apps {
            if is_known(app) {
                self.served.insert(app.clone(), revision);
            } else {
                self.served.remove(app);
            }
        }
        let keys = self.served.iter();
        let keys =
            keys.map(|(app, revision)| (applied_key(app, &self.consumer), revision.to_string().into_bytes()));
        self.ownership.declare(keys.collect());
    }

    /// Nobody has to wait for us from now on.
    pub(crate) async fn release(self) {
        if let Err(error) = self.ownership.release(FAREWELL).await {
            tracing::debug!(%error, "the applied revisions stay until their lease ends");
        }
    }
}
