//! What goes out by itself: STATUS, and the last words.

use std::fmt::Write;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::Agent;

/// How long a stop waits for systemd's answer.
const ANSWER: Duration = Duration::from_secs(2);

impl Agent {
    pub(super) fn say(&mut self, give_up: Instant) {
        let summary = self.roster.summary();
        let mut status = match (&self.stale, self.listed, self.announced) {
            (Some(_), _, _) | (_, false, _) => "waits for the store".to_owned(),
            (None, true, None) => "follows its schedule, not announced yet".to_owned(),
            (None, true, Some(_)) => "follows its schedule".to_owned(),
        };
        let mut count = |number: usize, what: &str| {
            if number > 0 {
                // Writing to a String never fails.
                let _ = write!(status, ", {number} {what}");
            }
        };
        count(summary.units, "units");
        count(summary.active, "active");
        count(summary.failed, "failed");
        count(summary.unclaimed, "unclaimed");
        count(summary.fenced, "stopped while cut off");
        count(summary.refused, "refused");
        if !self.ready && (self.listed || Instant::now() >= give_up) {
            self.ready = true;
            self.inputs.notifier.ready(&status);
        } else if status != self.status {
            self.inputs.notifier.status(&status);
        }
        self.status = status;
    }

    pub(super) async fn farewell(self) {
        let Self { inputs, roster, performer, announcement, links, bus, .. } = self;
        if let Err(error) = performer.files.save(&roster.manifest()) {
            tracing::error!(%error, "the notes for the next run can't be written");
        }
        let down = match &bus {
            Some(bus) => matches!(timeout(ANSWER, bus.manager.is_shutting_down()).await, Ok(Ok(true))),
            None => false,
        };
        if down {
            inputs.notifier.stopping("the machine is shut down; signing off");
            tracing::info!("the machine is shut down: signing off");
            announcement.end().await;
        } else {
            inputs.notifier.stopping("leaves everything running");
            if let Some(answer) = announcement.leave_for_a_moment(&roster.states()).await {
                links.beat(&answer);
                links.flush().await;
            }
            tracing::info!("everything runs on without the agent");
        }
    }
}
