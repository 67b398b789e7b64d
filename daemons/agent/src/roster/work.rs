//! What has to be done now.

use std::collections::{BTreeMap, BTreeSet};

use convoy_keys::Desired;
use convoy_store::Revision;
use convoy_systemd::UnitStatus;
use convoy_unit_files::UnitName;
use tokio::time::Instant;

use super::unit::{Fetch, Next};
use super::{Job, News, Roster, Text};
use crate::fence::Fence;
use crate::held::{Held, Pending, Run};
use crate::order::by_dependency;

/// A file to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The unit.
    pub unit: UnitName,
    /// What to write.
    pub text: Text,
    /// It is not ours yet: nothing of that name may be there.
    pub is_new: bool,
}

/// Files that are written and removed together; systemd reads them once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// Files to be written.
    pub writes: Vec<Write>,
    /// Units whose files are to go; whether their `[Install]` section did something.
    pub removes: Vec<(UnitName, bool)>,
    /// Units whose files are there, and that systemd has to read.
    pub loads: Vec<UnitName>,
}

/// How a batch went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BatchOutcome {
    /// Units that could not be had, and why.
    pub refused: BTreeMap<UnitName, String>,
    /// What systemd says of those that were written or loaded.
    pub statuses: BTreeMap<UnitName, UnitStatus>,
    /// Why systemd did not read the files; none if it did.
    pub error: Option<String>,
}

/// A start or restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The unit.
    pub unit: UnitName,
    /// Start or restart.
    pub job: Job,
    /// It failed before: systemd has to forget that.
    pub reset: bool,
    /// Only if the schedule still has the entry of this revision, since it may run at most once.
    pub guard: Option<Revision>,
}

/// What has to be done now. All of it is under way as far as the roster is concerned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Work {
    /// Texts to be read from the store: unit and hash.
    pub fetches: Vec<(UnitName, String)>,
    /// The store has to be asked for its name.
    pub confirm: bool,
    /// Files to be written and removed.
    pub batch: Option<Batch>,
    /// Units to be stopped.
    pub stops: Vec<UnitName>,
    /// Units to be started, in this order.
    pub launches: Vec<Launch>,
    /// The schedule has to be read anew.
    pub relist: bool,
    /// The manifest has to be written before any of this.
    pub save: bool,
}

impl Work {
    /// Nothing to be done.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Roster {
    /// What has to be done now.
    pub fn work(&mut self, now: Instant) -> Work {
        self.forgive(now);
        self.lay_down();
        let mut work = Work { relist: std::mem::take(&mut self.relist), ..Work::default() };
        if !self.confirming
            && self.confirm_at.is_none_or(|at| at <= now)
            && self.units.values().any(|unit| unit.suspect)
        {
            self.confirming = true;
            self.confirm_at = None;
            work.confirm = true;
        }
        let next: BTreeMap<UnitName, Next> =
            self.units.iter().map(|(name, unit)| (name.clone(), unit.next(now, self.lease))).collect();
        for (name, next) in &next {
            match next {
                Next::Fetch(hash) => {
                    self.ask(name, hash);
                    work.fetches.push((name.clone(), hash.clone()));
                }
                Next::Stop if self.may_stop(name, now) => {
                    self.begin_stop(name);
                    work.stops.push(name.clone());
                }
                _ => {}
            }
        }
        // All files of one change come before any start: a partner's text may still be on its way.
        let texts_missing =
            self.units.values().any(|unit| matches!(unit.fetch, Fetch::Asked { failures: 0, .. }));
        let files_due = next.values().any(|next| matches!(next, Next::Write | Next::Load | Next::Remove));
        let batch_due = self.batch_at.is_none_or(|(at, _)| at <= now);
        if files_due && !texts_missing && !self.in_batch && batch_due {
            work.batch = Some(self.begin_batch(&next));
        }
        let files_missing = next.values().any(|next| matches!(next, Next::Write | Next::Load));
        if !self.in_batch && !texts_missing && !files_missing {
            work.launches = self.launches(&next);
        }
        // Only the files of an earlier change are in the way of a start, not for ever: a batch that fails is one.
        work.save = std::mem::take(&mut self.unsaved) || work.batch.is_some() || !work.launches.is_empty();
        work
    }

    /// What is only to be loaded and doesn't run counts as never launched, however it came to its end.
    fn lay_down(&mut self) {
        for unit in self.units.values_mut() {
            let loaded = unit.wish.as_ref().is_some_and(|wish| wish.desired == Desired::Loaded);
            if !loaded || unit.job.is_some() || !unit.is_down() {
                continue;
            }
            if let Some(held) = unit.held.as_mut().filter(|held| held.run.is_some() || held.pending.is_some())
            {
                held.run = None;
                held.pending = None;
                held.fenced = false;
                held.failures = 0;
                unit.again_at = None;
                self.unsaved = true;
            }
        }
    }

    fn ask(&mut self, name: &UnitName, hash: &str) {
        let Some(unit) = self.units.get_mut(name) else { return };
        let failures = match &unit.fetch {
            Fetch::Failed { hash: before, failures, .. } if before == hash => *failures,
            _ => 0,
        };
        unit.fetch = Fetch::Asked { hash: hash.to_owned(), failures };
    }

    /// A text arrived, or didn't.
    pub fn take_text(&mut self, name: &UnitName, asked: &str, text: Result<Text, String>, now: Instant) {
        let Some(unit) = self.units.get_mut(name) else { return };
        let failures = match &unit.fetch {
            Fetch::Asked { hash, failures } if hash == asked => *failures,
            _ => return,
        };
        match text {
            Ok(text) => {
                unit.error = None;
                unit.fetch = Fetch::Got(text);
            }
            Err(error) => {
                let failures = failures + 1;
                unit.error = Some(error);
                unit.fetch = Fetch::Failed {
                    hash: asked.to_owned(),
                    failures,
                    again_at: now + super::pause_after(failures),
                };
            }
        }
    }

    /// A stop that failed is not repeated at once.
    fn may_stop(&self, name: &UnitName, now: Instant) -> bool {
        self.units
            .get(name)
            .is_some_and(|unit| unit.again_at.is_none_or(|at| at <= now) || unit.held_failures() > 0)
    }

    fn begin_stop(&mut self, name: &UnitName) {
        if let Some(unit) = self.units.get_mut(name) {
            unit.job = Some(Job::Stop);
            unit.again_at = None;
        }
    }

    fn begin_batch(&mut self, next: &BTreeMap<UnitName, Next>) -> Batch {
        let mut batch = Batch::default();
        for (name, next) in next {
            let Some(unit) = self.units.get_mut(name) else { continue };
            match next {
                Next::Write => {
                    let Fetch::Got(text) = std::mem::take(&mut unit.fetch) else { continue };
                    let is_new = unit.held.is_none();
                    let held = unit.held.get_or_insert_with(Held::default);
                    held.hash.clone_from(&text.hash);
                    held.traits.clone_from(&text.traits);
                    held.loaded = false;
                    unit.writing = true;
                    batch.writes.push(Write { unit: name.clone(), text, is_new });
                }
                Next::Load => {
                    unit.writing = true;
                    batch.loads.push(name.clone());
                }
                Next::Remove => {
                    unit.writing = true;
                    let installs = unit.held.as_ref().is_some_and(|held| held.traits.installs);
                    batch.removes.push((name.clone(), installs));
                }
                _ => {}
            }
        }
        self.in_batch = true;
        batch
    }

    /// A batch went through, or didn't.
    pub fn take_batch(&mut self, batch: &Batch, outcome: &BatchOutcome, now: Instant) {
        self.in_batch = false;
        self.unsaved = true;
        self.batch_at = outcome.error.as_ref().map(|_| {
            let failures = self.batch_at.map_or(0, |(_, failures)| failures) + 1;
            (now + super::pause_after(failures), failures)
        });
        for (name, _) in &batch.removes {
            let Some(unit) = self.units.get_mut(name) else { continue };
            unit.writing = false;
            if outcome.error.is_none() && !outcome.refused.contains_key(name) {
                let wish = unit.wish.take();
                *unit = super::Unit { wish, ..super::Unit::default() };
            } else {
                unit.error = outcome.refused.get(name).or(outcome.error.as_ref()).cloned();
            }
        }
        let new: BTreeSet<&UnitName> =
            batch.writes.iter().filter(|write| write.is_new).map(|write| &write.unit).collect();
        for name in batch.writes.iter().map(|write| &write.unit).chain(&batch.loads) {
            let Some(unit) = self.units.get_mut(name) else { continue };
            unit.writing = false;
            if let Some(why) = outcome.refused.get(name) {
                unit.refused = Some(why.clone());
                if new.contains(name) {
                    unit.held = None;
                } else if let Some(held) = &mut unit.held {
                    held.hash.clear();
                }
                self.news.push(News::Refused(name.clone(), why.clone()));
                continue;
            }
            unit.error.clone_from(&outcome.error);
            let Some(held) = &mut unit.held else { continue };
            held.loaded = outcome.error.is_none();
            if let Some(status) = outcome.statuses.get(name) {
                self.take_status(name, status, None, now);
            }
        }
        self.units.retain(|_, unit| unit.held.is_some() || unit.wish.is_some() || unit.writing);
    }

    fn launches(&mut self, next: &BTreeMap<UnitName, Next>) -> Vec<Launch> {
        let due: BTreeMap<&UnitName, (Job, &Run)> = next
            .iter()
            .filter_map(|(name, next)| match next {
                Next::Start(run) => Some((name, (Job::Start, run))),
                Next::Restart(run) => Some((name, (Job::Restart, run))),
                _ => None,
            })
            .collect();
        let after: BTreeMap<&UnitName, &[String]> = due
            .keys()
            .map(|name| {
                let held = self.units.get(*name).and_then(|unit| unit.held.as_ref());
                (*name, held.map_or(&[][..], |held| &held.traits.starts_after))
            })
            .collect();
        let order: Vec<UnitName> = by_dependency(&after).into_iter().cloned().collect();
        let mut launches = Vec::with_capacity(order.len());
        for name in order {
            let (Some((job, run)), Some(unit)) = (due.get(&name), self.units.get_mut(&name)) else {
                continue;
            };
            let reset = unit.has_failed();
            let Some(held) = &mut unit.held else { continue };
            let once = held.traits.fence == Some(Fence::Lease);
            let guard = unit.wish.as_ref().filter(|_| once).map(|wish| wish.revision);
            let before = unit.status.as_ref().map(|status| status.invocation_id.clone()).unwrap_or_default();
            held.pending = Some(Pending { run: (*run).clone(), before });
            unit.job = Some(*job);
            unit.again_at = None;
            launches.push(Launch { unit: name, job: *job, reset, guard });
        }
        launches
    }
}

impl super::Unit {
    fn held_failures(&self) -> u32 {
        self.held.as_ref().map_or(0, |held| held.failures)
    }
}
