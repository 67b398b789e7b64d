//! What the registrar counts.

use convoy_service::metrics::Registry;
use convoy_service::metrics::prometheus_client::metrics::counter::Counter;
use convoy_service::metrics::prometheus_client::metrics::gauge::Gauge;

/// The registrar's metrics; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// 1 while the instance's upstream keys are in the store.
    pub listed: Gauge,
    /// Good results.
    pub checks_passed: Counter,
    /// Bad results.
    pub checks_failed: Counter,
    /// Changes of the health state.
    pub health_changes: Counter,
    /// Changes of what is announced.
    pub announcements: Counter,
    /// Times that the store could not be reached or the lease was lost.
    pub store_outages: Counter,
}

impl Metrics {
    /// Metrics and the registry that prints them.
    pub fn registered() -> (Self, Registry) {
        let metrics = Self::default();
        let mut registry = Registry::with_prefix("convoy_registrar");
        registry.register("listed", "1 while the instance is listed", metrics.listed.clone());
        registry.register("checks_passed", "Good results of health checks", metrics.checks_passed.clone());
        registry.register("checks_failed", "Bad results of health checks", metrics.checks_failed.clone());
        registry.register("health_changes", "Changes of the health state", metrics.health_changes.clone());
        registry.register("announcements", "Changes of what is announced", metrics.announcements.clone());
        registry.register("store_outages", "Times the store was out of reach", metrics.store_outages.clone());
        (metrics, registry)
    }
}
