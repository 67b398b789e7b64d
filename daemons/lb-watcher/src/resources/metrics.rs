//! What can be counted about resources.

use std::collections::BTreeSet;
use std::path::PathBuf;

use convoy_service::metrics::{self, Registry};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::target::{Outcome, Standing};

/// Which resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Resource {
    resource: String,
}

/// Which resource, and why it failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Failed {
    resource: String,
    reason: &'static str,
}

/// The metrics, under the prefix `lb_watcher`.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) store_up: Gauge,
    pub(crate) held: Gauge,
    up_to_date: Family<Resource, Gauge>,
    loaded_revision: Family<Resource, Gauge>,
    loads: Family<Resource, Counter>,
    failures: Family<Failed, Counter>,
    known: BTreeSet<String>,
}

impl Metrics {
    /// Makes them readable at `metrics.sock` in the runtime directory, if there is one.
    pub(crate) fn serve(&self, runtime_directory: Option<PathBuf>) {
        let mut registry = Registry::with_prefix("lb_watcher");
        registry.register("store_up", "1 while the store answers", self.store_up.clone());
        registry.register(
            "held_removals",
            "Upstreams that are served although they are gone",
            self.held.clone(),
        );
        registry.register(
            "resource_up_to_date",
            "1 while the files of a resource are in place and loaded",
            self.up_to_date.clone(),
        );
        registry.register(
            "resource_loaded_revision",
            "Store revision of the files that are loaded",
            self.loaded_revision.clone(),
        );
        registry.register("resource_loads", "Files put in place and loaded", self.loads.clone());
        registry.register("resource_failures", "Files not put in place or not loaded", self.failures.clone());
        metrics::serve_in(runtime_directory, registry);
    }

    /// An attempt has ended.
    pub(crate) fn count(&self, name: &str, outcome: Outcome, standing: &Standing) {
        let resource = Resource { resource: name.to_owned() };
        match outcome {
            Outcome::Loaded => drop(self.loads.get_or_create(&resource).inc()),
            Outcome::Unchanged => {}
            Outcome::Failed(reason) => {
                self.failures.get_or_create(&Failed { resource: name.to_owned(), reason }).inc();
            }
        }
        if let Some(revision) = standing.loaded {
            self.loaded_revision.get_or_create(&resource).set(revision.get());
        }
        self.up_to_date.get_or_create(&resource).set(i64::from(standing.problem.is_none()));
    }

    /// Resources that are gone are not told of any more.
    pub(crate) fn forget_all_but<'n>(&mut self, names: impl IntoIterator<Item = &'n String>) {
        let names: BTreeSet<String> = names.into_iter().cloned().collect();
        for gone in self.known.difference(&names) {
            let resource = Resource { resource: gone.clone() };
            self.up_to_date.remove(&resource);
            self.loaded_revision.remove(&resource);
        }
        self.known = names;
    }
}
