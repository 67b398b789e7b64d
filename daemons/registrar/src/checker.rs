//! Checks one target again and again, and tells when its state changes.

use std::time::Duration;

use convoy_health::{Health, Monitor, Outcome, Rules};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::metrics::Metrics;
use crate::probe::Probe;

/// What the checks say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The state.
    pub health: Health,
    /// Results in a row that led to it.
    pub in_a_row: u32,
    /// What the last failed check said.
    pub error: Option<String>,
}

/// Checks a target until it is dropped.
#[derive(Debug)]
pub struct Checker {
    reports: watch::Receiver<Report>,
    task: JoinHandle<()>,
}

impl Checker {
    /// Starts checking. The first check is made at once.
    pub fn start(probe: Probe, rules: Rules, metrics: Metrics) -> Self {
        let first = Report { health: Health::Starting, in_a_row: 0, error: None };
        let (sender, reports) = watch::channel(first);
        Self { reports, task: tokio::spawn(check(probe, rules, sender, metrics)) }
    }

    /// The last report. One is made when the state changes, for the first failure of a row, and for its end.
    pub fn report(&self) -> Report {
        self.reports.borrow().clone()
    }

    /// Resolves when there is another report. Cancel-safe.
    pub async fn changed(&mut self) {
        if self.reports.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn check(probe: Probe, rules: Rules, reports: watch::Sender<Report>, metrics: Metrics) {
    let started = Instant::now();
    let mut monitor = Monitor::new(rules);
    loop {
        let result = probe.run(monitor.rules().timeout()).await;
        let outcome = if result.is_ok() { Outcome::Good } else { Outcome::Bad };
        let error = result.err().map(|error| error.to_string());
        let transition = monitor.observe(outcome, started.elapsed());
        let turned = error.is_some() != reports.borrow().error.is_some();
        match &error {
            Some(error) => {
                metrics.checks_failed.inc();
                tracing::debug!(%error, "a check failed");
            }
            None => {
                metrics.checks_passed.inc();
            }
        }
        if transition.is_some() || turned {
            let next = Report { health: monitor.health(), in_a_row: monitor.in_a_row(), error };
            reports.send_replace(next);
        }
        sleep(monitor.next_wait().max(Duration::from_millis(1))).await;
    }
}
