//! The watchdog: WatchdogSec= in systemd.service(5).

use std::time::Duration;

use tokio::time::Instant;

use crate::Notifier;

/// Proof of life, to be given by the loop that does the work, never by a timer beside it.
#[derive(Debug)]
pub struct Watchdog {
    notifier: Notifier,
    /// A third of the unit's `WatchdogSec=`.
    interval: Option<Duration>,
    last: Option<Instant>,
}

impl Watchdog {
    /// Reads the unit's `WatchdogSec=` from the environment.
    pub fn start(notifier: &Notifier) -> Self {
        let interval = sd_notify::watchdog_enabled().map(|limit| limit / 3);
        Self { notifier: notifier.clone(), interval, last: None }
    }

    /// How often [`Watchdog::beat`] has to be called at least; none when the unit has no watchdog.
    pub fn interval(&self) -> Option<Duration> {
        self.interval
    }

    /// The loop came by. Cheap: systemd hears of it only when some of the interval has passed.
    pub fn beat(&mut self) {
        let Some(interval) = self.interval else { return };
        let now = Instant::now();
        if self.last.is_none_or(|last| now.duration_since(last) >= interval / 2) {
            self.notifier.watchdog();
            self.last = Some(now);
        }
    }

    /// Resolves when the next beat is due; for ever pending without a watchdog. For `select!` in a loop that may
    /// have nothing else to do.
    pub async fn due(&self) {
        match self.interval {
            Some(interval) => tokio::time::sleep(interval).await,
            None => std::future::pending().await,
        }
    }
}
