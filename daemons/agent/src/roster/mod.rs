//! The roster: every unit of this machine, and what follows from what is heard. Pure: time, answers and events come in
//! through methods, [`Work`] goes out.

mod failures;
mod feed;
mod report;
mod unit;
mod work;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use convoy_keys::MachineId;
use convoy_systemd::{JobResult, ServiceEnd, UnitChange, UnitStatus};
use convoy_unit_files::UnitName;
use tokio::time::Instant;

use crate::fence::Fence;
use crate::files::Found;
use crate::held::{Held, Manifest, Run};
pub use feed::{Confirmation, Skipped};
pub use report::Summary;
use unit::{Fetch, Unit};
pub use unit::{Job, Text, Wish};
pub use work::{Batch, BatchOutcome, Launch, Work, Write};

/// Something that happened, for the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// A unit was started, or restarted.
    Started(UnitName),
    /// A unit was stopped because the schedule says so.
    Stopped(UnitName),
    /// A unit failed; how often in a row.
    Failed(UnitName, u32, String),
    /// systemd stops a unit because this machine was cut off.
    Fenced(UnitName),
    /// The store has lost the unit's schedule.
    Unclaimed(UnitName),
    /// A unit that is here already is the one that is wanted.
    Adopted(UnitName),
    /// A unit can't be had here.
    Refused(UnitName, String),
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEnd {
    /// systemd tells.
    Ended(JobResult),
    /// It could not be queued or followed: what systemd says.
    Refused(String),
    /// Nobody knows: the bus went away. What is true will be asked for.
    Unknown,
    /// It was not begun: the schedule has another word by now, or could not be asked.
    Withheld,
}

/// Every unit of this machine.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "they are independent of each other")]
pub struct Roster {
    machine: MachineId,
    units: BTreeMap<UnitName, Unit>,
    fences: BTreeMap<Fence, UnitStatus>,
    cluster: Option<String>,
    revision: i64,
    /// This machine is announced in the store.
    lease: bool,
    /// Files are being written, and systemd reads them.
    in_batch: bool,
    /// No batch before this, since the last one failed.
    batch_at: Option<(Instant, u32)>,
    /// The store is being asked whether it is the one we know.
    confirming: bool,
    /// Not before this, since it could not be asked.
    confirm_at: Option<Instant>,
    /// The store is not the one we thought it was: the schedule has to be read anew.
    relist: bool,
    news: Vec<News>,
    /// Something changed that has to survive us.
    unsaved: bool,
}

impl Roster {
    /// A roster that takes up what an earlier run of the agent left, as far as it is still true. `files` are the
    /// hashes of the unit files that are there, with what they say.
    pub fn adopt(
        machine: MachineId,
        manifest: Manifest,
        files: &BTreeMap<UnitName, Found>,
        now: Instant,
        statuses: &BTreeMap<UnitName, UnitStatus>,
    ) -> Self {
        let mut roster = Self {
            machine,
            units: BTreeMap::new(),
            fences: BTreeMap::new(),
            cluster: manifest.cluster,
            revision: manifest.revision,
            lease: false,
            in_batch: false,
            batch_at: None,
            confirming: false,
            confirm_at: None,
            relist: false,
            news: Vec::new(),
            unsaved: true,
        };
        let mut known = manifest.units;
        let names: BTreeSet<UnitName> = known.keys().chain(files.keys()).cloned().collect();
        for name in names {
            let status = statuses.get(&name).cloned();
            let running = status.as_ref().is_some_and(|status| !status.state().is_down());
            let file = files.get(&name);
            let mut held = known.remove(&name).unwrap_or_else(|| Held {
                loaded: true,
                run: file.filter(|_| running).map(|file| Run { hash: file.hash.clone(), restarts: 0 }),
                ..Held::default()
            });
            let hash = file.map(|file| file.hash.clone()).unwrap_or_default();
            if held.hash != hash || held.traits == crate::held::Traits::default() {
                held.traits = file.map(|file| file.traits.clone()).unwrap_or_default();
            }
            // Killed between the note and the file: the file is what is true, and systemd may not have read it.
            held.loaded &= held.hash == hash && !file.is_some_and(|file| file.changed);
            held.hash = hash;
            settle(&mut held, status.as_ref());
            if running {
                roster.news.push(News::Adopted(name.clone()));
            }
            let up_since = status.as_ref().filter(|status| status.active == "active").map(|_| now);
            let again_at = (held.failures > 0 && !running && held.run.is_some())
                .then(|| now + failures::pause(held.failures));
            let unit = Unit { held: Some(held), status, up_since, again_at, ..Unit::default() };
            roster.units.insert(name, unit);
        }
        roster
    }

    /// What has to be written down.
    pub fn manifest(&self) -> Manifest {
        let units = self.units.iter().filter_map(|(name, unit)| Some((name.clone(), unit.held.clone()?)));
        Manifest { cluster: self.cluster.clone(), revision: self.revision, units: units.collect() }
    }

    /// What happened since the last call.
    pub fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// Whether this machine is announced in the store: units that are bound to that are started only then.
    pub fn set_lease(&mut self, lease: bool) {
        self.lease = lease;
    }

    /// The fences that units of this machine are bound to.
    pub fn fences(&self) -> BTreeSet<Fence> {
        self.units.values().filter_map(|unit| unit.held.as_ref()?.traits.fence).collect()
    }

    /// The fences that units of this machine are bound to, and whether they are up or on their way up.
    pub fn fences_up(&self) -> Vec<(Fence, bool)> {
        let up = |fence: &Fence| self.fences.get(fence).is_some_and(holds);
        self.fences().into_iter().map(|fence| (fence, up(&fence))).collect()
    }

    /// How a unit stands after a time in which nothing was heard.
    pub fn settle(&mut self, name: &UnitName, status: &UnitStatus, now: Instant) {
        if let Some(unit) = self.units.get_mut(name)
            && unit.job.is_none()
            && let Some(held) = &mut unit.held
        {
            settle(held, Some(status));
            self.unsaved = true;
        }
        self.take_status(name, status, None, now);
    }

    /// The units that systemd has to be asked about.
    pub fn names(&self) -> Vec<UnitName> {
        self.units.keys().cloned().collect()
    }

    /// Whether changes of this unit matter.
    pub fn knows(&self, name: &str) -> bool {
        UnitName::parse(name).is_ok_and(|name| self.units.contains_key(&name))
    }

    /// The fence that lives in this unit, if one of ours does.
    pub fn fence_of(&self, unit: &str) -> Option<Fence> {
        // Most changes of a machine are none of ours.
        if !unit.starts_with("convoy-lease") {
            return None;
        }
        self.fences().into_iter().find(|fence| fence.unit() == unit)
    }

    /// systemd told of a change. `end` comes with a service that failed or is about to be started again by systemd.
    pub fn take_change(&mut self, change: &UnitChange, end: Option<&ServiceEnd>, now: Instant) {
        if let Some(fence) = self.fence_of(&change.unit) {
            let mut status = self.fences.get(&fence).cloned().unwrap_or_default();
            status.apply(change);
            self.take_fence(fence, status);
            return;
        }
        let Ok(name) = UnitName::parse(&change.unit) else { return };
        let Some(unit) = self.units.get(&name) else { return };
        let mut status = unit.status.clone().unwrap_or_default();
        status.apply(change);
        self.take_status(&name, &status, end, now);
    }

    /// systemd told how a fence stands.
    pub fn take_fence(&mut self, fence: Fence, status: UnitStatus) {
        let before = self.fences.insert(fence, status);
        let fell = before.as_ref().is_some_and(holds);
        let Some(now) = self.fences.get(&fence).filter(|now| !holds(now)) else { return };
        // An agent that was away when it fell sees only how it ended.
        let fell = fell || (before.is_none() && now.active == "failed");
        if !fell {
            return;
        }
        let missed = before.is_none();
        for (name, unit) in &mut self.units {
            let down = unit.is_down();
            let Some(held) = &mut unit.held else { continue };
            let bound = held.traits.fence == Some(fence) && held.run.is_some() && !held.fenced;
            if bound && (missed == down) && unit.job != Some(Job::Stop) {
                held.fenced = true;
                self.unsaved = true;
                self.news.push(News::Fenced(name.clone()));
            }
        }
    }

    /// systemd told how a unit stands.
    pub fn take_status(
        &mut self,
        name: &UnitName,
        status: &UnitStatus,
        end: Option<&ServiceEnd>,
        now: Instant,
    ) {
        let Some(unit) = self.units.get_mut(name) else { return };
        let before = unit.status.replace(status.clone());
        if status.active != "active" {
            unit.up_since = None;
        } else if unit.up_since.is_none() {
            unit.up_since = Some(now);
        }
        if status.state().is_down() {
            // What stood in the way may be gone.
            unit.refused = None;
        }
        if failures::is_failure(before.as_ref(), status, end) {
            self.fail(name, status, end, now);
        }
    }

    /// A job of ours has ended.
    pub fn take_job(&mut self, name: &UnitName, job: Job, end: &JobEnd, now: Instant) {
        let Some(unit) = self.units.get_mut(name) else { return };
        if unit.job != Some(job) {
            // A stop took its place.
            return;
        }
        unit.job = None;
        self.unsaved = true;
        let Some(held) = &mut unit.held else { return };
        match (job, end) {
            (_, JobEnd::Unknown) | (Job::Stop, JobEnd::Withheld) => {}
            (Job::Stop, JobEnd::Ended(result)) if result.is_done() => {
                held.run = None;
                held.pending = None;
                held.fenced = false;
                held.failures = 0;
                unit.error = None;
                unit.again_at = None;
                // The signal may still be on its way.
                if let Some(status) = &mut unit.status
                    && !status.state().is_down()
                {
                    "inactive".clone_into(&mut status.active);
                    "dead".clone_into(&mut status.sub);
                }
                self.news.push(News::Stopped(name.clone()));
            }
            (Job::Stop, JobEnd::Ended(result)) => {
                unit.error = Some(format!("the stop ended with: {result}"));
                unit.again_at = Some(now + failures::RETRY);
            }
            (Job::Stop, JobEnd::Refused(why)) => {
                unit.error = Some(why.clone());
                unit.again_at = Some(now + failures::RETRY);
            }
            (Job::Start | Job::Restart, JobEnd::Withheld) => {
                held.pending = None;
                unit.again_at = Some(now + failures::RETRY);
            }
            (Job::Start | Job::Restart, JobEnd::Ended(result)) => {
                held.run = held.pending.take().map(|pending| pending.run).or(held.run.take());
                held.fenced = false;
                unit.again_at = None;
                if result.is_done() {
                    unit.error = None;
                    self.news.push(News::Started(name.clone()));
                } else {
                    unit.error = Some(format!("the start ended with: {result}"));
                    // A unit that failed is looked after by its failures; the others never came to run.
                    if *result == JobResult::Dependency || (*result == JobResult::Timeout && unit.is_down()) {
                        self.stumble(name, now);
                    }
                }
            }
            (Job::Start | Job::Restart, JobEnd::Refused(why)) => {
                held.run = held.pending.take().map(|pending| pending.run).or(held.run.take());
                unit.error = Some(why.clone());
                self.stumble(name, now);
            }
        }
    }

    /// When something has to be done though nothing is heard.
    pub fn due(&self) -> Option<Instant> {
        let units = self.units.values().flat_map(|unit| {
            let fetch = match &unit.fetch {
                Fetch::Failed { again_at, .. } => Some(*again_at),
                _ => None,
            };
            let failing = unit.held.as_ref().is_some_and(|held| held.failures > 0);
            let steady = unit.up_since.filter(|_| failing).map(|since| since + failures::STEADY);
            // A unit that waits for the lease is woken by it.
            let waits = unit.held.as_ref().is_some_and(|held| held.traits.fence.is_some()) && !self.lease;
            [fetch, unit.again_at.filter(|_| !waits && unit.job.is_none()), steady]
        });
        let batch = self.batch_at.map(|(at, _)| at);
        units.chain([batch, self.confirm_at]).flatten().min()
    }
}

fn holds(fence: &UnitStatus) -> bool {
    matches!(fence.active.as_str(), "active" | "activating")
}

/// Takes a run that was under way when the agent was killed for what it became.
fn settle(held: &mut Held, status: Option<&UnitStatus>) {
    let Some(pending) = held.pending.take() else { return };
    let invocation = status.map(|status| status.invocation_id.as_str()).unwrap_or_default();
    if !invocation.is_empty() && invocation != pending.before {
        held.run = Some(pending.run);
        held.fenced = false;
    }
}

/// How long to wait after the bus or the store failed.
pub(crate) fn pause_after(failures: u32) -> Duration {
    failures::pause(failures.max(1)).min(Duration::from_secs(30))
}
