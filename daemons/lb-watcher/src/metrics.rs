//! What can be counted.

use std::path::PathBuf;

use convoy_service::metrics::{self, Registry};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

/// Why an application failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Reason {
    pub(crate) reason: &'static str,
}

/// The watcher's metrics, under the prefix `lb_watcher`.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) desired_revision: Gauge,
    pub(crate) installed_revision: Gauge,
    pub(crate) loaded_revision: Gauge,
    pub(crate) upstreams: Gauge,
    pub(crate) skipped_keys: Gauge,
    pub(crate) skipped: Counter,
    pub(crate) reloads: Counter,
    pub(crate) runtime_changes: Counter,
    pub(crate) failures: Family<Reason, Counter>,
    pub(crate) held: Gauge,
    pub(crate) store_up: Gauge,
    pub(crate) last_apply_milliseconds: Gauge,
}

impl Metrics {
    /// Makes them readable at `metrics.sock` in the runtime directory, if there is one.
    pub(crate) fn serve(&self, runtime_directory: Option<PathBuf>) {
        metrics::serve_in(runtime_directory, self.registry());
    }

    fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("lb_watcher");
        let gauges = [
            ("desired_revision", "Store revision that should be served", &self.desired_revision),
            ("installed_revision", "Store revision of the configuration file", &self.installed_revision),
            ("loaded_revision", "Store revision that is proved to be served", &self.loaded_revision),
            ("upstreams", "Instances in the configuration that is served", &self.upstreams),
            ("skipped_keys", "Keys that are left out now", &self.skipped_keys),
            ("held_removals", "Upstreams that are served although they are gone", &self.held),
            ("store_up", "1 while the store answers", &self.store_up),
            (
                "last_apply_milliseconds",
                "Time from change to proof, last time",
                &self.last_apply_milliseconds,
            ),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        registry.register("skipped", "Values that were found unusable", self.skipped.clone());
        registry.register("reloads", "Reloads that were proved", self.reloads.clone());
        registry.register(
            "runtime_changes",
            "Changes of servers that the running process took without a reload",
            self.runtime_changes.clone(),
        );
        registry.register(
            "failures",
            "Configurations that are not served, by reason; runtime means that a reload was needed",
            self.failures.clone(),
        );
        registry
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn metrics_have_a_prefix_and_a_reason() {
        let metrics = Metrics::default();
        metrics.loaded_revision.set(7);
        metrics.failures.get_or_create(&Reason { reason: "refused" }).inc();
        let mut text = String::new();
        encode(&mut text, &metrics.registry()).unwrap();
        assert!(text.contains("lb_watcher_loaded_revision 7"), "{text}");
        assert!(text.contains("lb_watcher_failures_total{reason=\"refused\"} 1"), "{text}");
    }
}
