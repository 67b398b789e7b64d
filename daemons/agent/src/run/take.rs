//! What comes in: from the store, from systemd, from the tasks that were sent.

use convoy_service::message;
use convoy_store::{FeedEvent, OwnershipStatus};
use convoy_systemd::{ServiceEnd, UnitChange};
use tokio::time::Instant;

use super::{Agent, Seen, connect};
use crate::journal;
use crate::perform::Report;
use crate::roster::JobEnd;

impl Agent {
    pub(super) fn take_feed(&mut self, event: FeedEvent) {
        match event {
            FeedEvent::Listed(snapshot) => {
                self.listed = true;
                self.recovered();
                journal::skipped(&self.roster.take_listing(&snapshot, Instant::now()));
            }
            FeedEvent::Changed { changes, .. } => {
                journal::skipped(&self.roster.take_changes(&changes, Instant::now()));
            }
            FeedEvent::Current { .. } => self.recovered(),
            FeedEvent::Stale { error } => {
                if self.stale.is_none() {
                    self.inputs.metrics.store_outages.inc();
                    tracing::warn!(
                        MESSAGE_ID = message::STORE_UNREACHABLE,
                        error,
                        "the store can't be reached; everything runs on"
                    );
                }
                self.stale = Some(error);
            }
        }
        self.changed();
    }

    pub(super) fn recovered(&mut self) {
        if self.stale.take().is_some() {
            tracing::info!(MESSAGE_ID = message::STORE_BACK, "the store answers again");
        }
    }

    pub(super) fn take_report(&mut self, report: Report) {
        let now = Instant::now();
        match report {
            Report::Text(unit, hash, text) => {
                if let Err(error) = &text {
                    tracing::warn!(placed_unit = unit.as_str(), error, "{unit} has no text to run by yet");
                }
                self.roster.take_text(&unit, &hash, text, now);
            }
            Report::Confirmed(confirmation) => self.roster.take_confirmation(&confirmation, now),
            Report::Batch(batch, outcome) => {
                if let Some(error) = &outcome.error {
                    tracing::warn!(error, "systemd did not read the unit files; it is tried again");
                }
                self.roster.take_batch(&batch, &outcome, now);
                self.link_fences();
            }
            Report::Job(unit, job, end) => {
                if let JobEnd::Refused(error) = &end {
                    tracing::warn!(placed_unit = unit.as_str(), error, "systemd refuses a job for {unit}");
                }
                self.roster.take_job(&unit, job, &end, now);
            }
            Report::Status(unit, status) => self.roster.take_status(&unit, &status, None, now),
            Report::Fence(fence, status) => {
                self.roster.take_fence(fence, *status);
                self.link_fences();
            }
            Report::BusLost => self.lose_bus(),
        }
        self.changed();
    }

    pub(super) fn take_change(&mut self, change: &UnitChange, end: Option<&ServiceEnd>) {
        let fence = self.roster.fence_of(&change.unit);
        if fence.is_none() && !self.roster.knows(&change.unit) {
            return;
        }
        self.roster.take_change(change, end, Instant::now());
        if fence.is_some() {
            self.link_fences();
        }
        self.changed();
    }

    /// Fences that are up, or on their way up, hear of each keep-alive.
    pub(super) fn link_fences(&mut self) {
        for (fence, up) in self.roster.fences_up() {
            self.links.set(fence, up);
        }
    }

    pub(super) fn lose_bus(&mut self) {
        if self.bus.take().is_some() {
            tracing::warn!("the connection to systemd is lost; everything runs on");
            let (names, fences) = (self.roster.names(), self.roster.fences().into_iter().collect());
            self.connecting = Some(tokio::spawn(connect(names, fences)));
        }
    }

    pub(super) fn take_bus(&mut self, seen: Option<Seen>) {
        self.connecting = None;
        let Some((bus, units, fences)) = seen else {
            self.connecting =
                Some(tokio::spawn(connect(self.roster.names(), self.roster.fences().into_iter().collect())));
            return;
        };
        self.bus = Some(bus);
        for (unit, status) in units {
            self.roster.settle(&unit, &status, Instant::now());
        }
        for (fence, status) in fences {
            self.roster.take_fence(fence, status);
        }
        self.link_fences();
        self.changed();
    }

    pub(super) fn take_lease(&mut self, status: &OwnershipStatus) {
        match status {
            OwnershipStatus::Held { lease, .. } => {
                if self.announced != Some(*lease) {
                    self.announced = Some(*lease);
                    self.inputs.metrics.announced.set(1);
                    tracing::info!(lease = format!("{lease:x}"), "this machine is announced");
                    // The beat that went with it came before the record did.
                    if let Some(answer) = *self.announcement.answered().borrow() {
                        self.links.beat(&answer);
                    }
                }
                if !std::mem::replace(&mut self.swept, true) {
                    self.announcement.sweep(*lease);
                }
            }
            OwnershipStatus::Lost { error } => {
                if self.announced.take().is_some() {
                    self.inputs.metrics.announced.set(0);
                    self.inputs.metrics.leases_lost.inc();
                    tracing::warn!(
                        MESSAGE_ID = message::LEASE_LOST,
                        error,
                        "this machine's lease is lost; what may run on runs on"
                    );
                }
                self.links.pause();
            }
            OwnershipStatus::Replaced { key, .. } => {
                tracing::error!(
                    key,
                    "another agent announces this machine: do two machines have one machine-id?"
                );
                self.announced = None;
                self.links.pause();
            }
            OwnershipStatus::Pending { .. } | OwnershipStatus::AtRisk { .. } => {}
        }
        self.roster.set_lease(self.announced.is_some());
    }
}
