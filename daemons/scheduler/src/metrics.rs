//! What can be counted.

use std::path::Path;
use std::sync::Arc;

use convoy_service::metrics::{self, Registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

/// Bounds of the durations of passes, in seconds.
const BOUNDS: [f64; 8] = [0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.25, 1.0];

/// The scheduler's metrics, under the prefix `scheduler`.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub(crate) leader: Gauge,
    pub(crate) store_up: Gauge,
    pub(crate) units: Gauge,
    pub(crate) pending: Gauge,
    pub(crate) moving: Gauge,
    pub(crate) machines: Gauge,
    pub(crate) frozen: Gauge,
    pub(crate) unusable: Gauge,
    pub(crate) moves: Counter,
    pub(crate) placements: Counter,
    pub(crate) machines_lost: Counter,
    pub(crate) takeovers: Counter,
    pub(crate) transactions: Counter,
    pub(crate) refused: Counter,
    pub(crate) pass_seconds: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            leader: Gauge::default(),
            store_up: Gauge::default(),
            units: Gauge::default(),
            pending: Gauge::default(),
            moving: Gauge::default(),
            machines: Gauge::default(),
            frozen: Gauge::default(),
            unusable: Gauge::default(),
            moves: Counter::default(),
            placements: Counter::default(),
            machines_lost: Counter::default(),
            takeovers: Counter::default(),
            transactions: Counter::default(),
            refused: Counter::default(),
            pass_seconds: Histogram::new(BOUNDS),
        }
    }
}

impl Metrics {
    /// Makes them readable at `metrics.sock` in the runtime directory.
    pub(crate) fn serve(&self, folder: &Path) {
        let path = folder.join("metrics.sock");
        match metrics::bind(&path) {
            Ok(listener) => {
                tokio::spawn(metrics::serve(Arc::new(self.registry()), listener));
            }
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "metrics can't be read from outside");
            }
        }
    }

    fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("scheduler");
        for (name, help, gauge) in [
            ("leader", "1 while this scheduler leads", &self.leader),
            ("store_up", "1 while the leader's picture of the store is current", &self.store_up),
            ("units", "Units that should be on a machine", &self.units),
            ("pending", "Units that are on no machine", &self.pending),
            ("moving", "Units under way from one machine to another", &self.moving),
            ("machines", "Machines that are there", &self.machines),
            ("frozen", "Machines that are away while moves are frozen", &self.frozen),
            ("unusable_keys", "Keys that are left out now", &self.unusable),
        ] {
            registry.register(name, help, gauge.clone());
        }
        for (name, help, counter) in [
            ("moves", "Units moved to another machine", &self.moves),
            ("placements", "Units that got a machine", &self.placements),
            ("machines_lost", "Machines that vanished", &self.machines_lost),
            ("takeovers", "Leaderships won", &self.takeovers),
            ("transactions", "Transactions made", &self.transactions),
            ("transactions_refused", "Transactions that came too late or got no answer", &self.refused),
        ] {
            registry.register(name, help, counter.clone());
        }
        registry.register(
            "pass_duration_seconds",
            "Time of one look at the world",
            self.pass_seconds.clone(),
        );
        registry
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn a_scrape_names_everything() {
        let metrics = Metrics::default();
        metrics.units.set(12);
        metrics.moves.inc();
        metrics.pass_seconds.observe(0.002);
        let mut text = String::new();
        encode(&mut text, &metrics.registry()).unwrap();
        for line in
            ["scheduler_units 12", "scheduler_moves_total 1", "scheduler_pass_duration_seconds_count 1"]
        {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}
