//! The cluster's store, for scenarios that change more keys than `etcdctl` can.

use anyhow::Result;
use convoy_store::{Store, StoreSettings};
use tokio::runtime::Builder;

use crate::{Stage, member};

impl Stage {
    /// Runs `work` to its end with a connection to the cluster's store.
    pub fn with_store<F, T>(&self, work: impl FnOnce(Store) -> F + Send) -> Result<T>
    where
        F: Future<Output = Result<T>>,
        T: Send,
    {
        let members = (1..=3).map(|number| member(self.cluster.machine(number).address()));
        let endpoints = members.map(|address| format!("http://{address}")).collect();
        self.cluster.with_network(move || {
            // Of one thread, since that one is in the network.
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                work(Store::new(StoreSettings { endpoints, ..StoreSettings::default() })?).await
            })
        })?
    }
}
