//! What is counted.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::roster::Summary;

/// All metrics of the agent.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    units: Gauge,
    active: Gauge,
    failed: Gauge,
    unclaimed: Gauge,
    fenced: Gauge,
    refused: Gauge,
    /// 1 while the machine is announced.
    pub announced: Gauge,
    /// Starts and restarts asked of systemd.
    pub starts: Counter,
    /// Stops asked of systemd.
    pub stops: Counter,
    /// Failures of units.
    pub failures: Counter,
    /// Times that systemd was made to read its files.
    pub reloads: Counter,
    /// Changes of what is told to the others.
    pub reports: Counter,
    /// Times the store was out of reach.
    pub store_outages: Counter,
    /// Times the lease was lost.
    pub leases_lost: Counter,
}

impl Metrics {
    /// New metrics, and the registry that shows them.
    pub fn new() -> (Self, Registry) {
        let metrics = Self::default();
        let mut registry = Registry::with_prefix("convoy_agent");
        for (name, help, gauge) in [
            ("units", "Units of this machine", &metrics.units),
            ("units_active", "Units that are up", &metrics.active),
            ("units_failed", "Units that failed", &metrics.failed),
            ("units_unclaimed", "Units whose schedule the store has lost", &metrics.unclaimed),
            ("units_fenced", "Units stopped because this machine was cut off", &metrics.fenced),
            ("units_refused", "Units that can't be had on this machine", &metrics.refused),
            ("announced", "1 while the machine is announced", &metrics.announced),
        ] {
            registry.register(name, help, gauge.clone());
        }
        for (name, help, counter) in [
            ("starts", "Starts and restarts of units", &metrics.starts),
            ("stops", "Stops of units", &metrics.stops),
            ("failures", "Failures of units", &metrics.failures),
            ("reloads", "Times that systemd read its files for us", &metrics.reloads),
            ("reports", "Changes of what is told to the others", &metrics.reports),
            ("store_outages", "Times the store was out of reach", &metrics.store_outages),
            ("leases_lost", "Times the lease was lost", &metrics.leases_lost),
        ] {
            registry.register(name, help, counter.clone());
        }
        (metrics, registry)
    }

    /// Shows how many units stand how.
    pub fn show(&self, summary: &Summary) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.units.set(number(summary.units));
        self.active.set(number(summary.active));
        self.failed.set(number(summary.failed));
        self.unclaimed.set(number(summary.unclaimed));
        self.fenced.set(number(summary.fenced));
        self.refused.set(number(summary.refused));
    }
}
