//! Doing what the roster wants: each thing in a task of its own, each answer back by one channel.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use convoy_keys::{CLUSTER, ClusterRecord, MachineId, Record, UnitRecord, schedule_key, unit_key};
use convoy_store::{Revision, Store};
use convoy_systemd::{Manager, SystemdError, UnitStatus};
use convoy_unit_files::UnitName;
use tokio::sync::mpsc;

use crate::fence::Fence;
use crate::files::{Files, sha256, traits};
use crate::roster::{Batch, BatchOutcome, Confirmation, Job, JobEnd, Launch, Text};

/// Longer than any sensible start; after that the job goes on in systemd and its state is heard of all the same.
const START_DEADLINE: Duration = Duration::from_secs(15 * 60);
/// Longer than any sensible stop.
const STOP_DEADLINE: Duration = Duration::from_secs(15 * 60);

/// An answer.
#[derive(Debug)]
pub(crate) enum Report {
    /// A text arrived, or didn't.
    Text(UnitName, String, Result<Text, String>),
    /// The store said its name.
    Confirmed(Confirmation),
    /// Files were written, and systemd has read them.
    Batch(Batch, BatchOutcome),
    /// A job ended.
    Job(UnitName, Job, JobEnd),
    /// How a unit stands now.
    Status(UnitName, Box<UnitStatus>),
    /// How a fence stands now.
    Fence(Fence, Box<UnitStatus>),
    /// The bus went away under a task.
    BusLost,
}

/// What tasks need.
#[derive(Debug, Clone)]
pub(crate) struct Performer {
    /// This machine.
    pub(crate) machine: MachineId,
    /// The store.
    pub(crate) store: Store,
    /// The files.
    pub(crate) files: Files,
    /// Where answers go.
    pub(crate) reports: mpsc::UnboundedSender<Report>,
}

impl Performer {
    fn report(&self, report: Report) {
        // Only when the agent is being taken down.
        let _ = self.reports.send(report);
    }

    /// Reads a unit's text from the store.
    pub(crate) fn fetch(&self, unit: UnitName, hash: String) {
        let performer = self.clone();
        tokio::spawn(async move {
            let text = performer.text(&unit, &hash).await;
            performer.report(Report::Text(unit, hash, text));
        });
    }

    async fn text(&self, unit: &UnitName, hash: &str) -> Result<Text, String> {
        let key = unit_key(unit);
        let entry = self.store.get(&key).await.map_err(|error| error.to_string())?;
        let entry = entry.ok_or_else(|| format!("{key} is not in the store"))?;
        let record = UnitRecord::parse(&entry.value).map_err(|error| format!("{key}: {error}"))?;
        if sha256(&record.text) != hash {
            return Err(format!("{key} has another text than the schedule names"));
        }
        let traits = traits(unit, &record.text).map_err(|error| format!("{key}: {error}"))?;
        Ok(Text { hash: hash.to_owned(), text: record.text, traits })
    }

    /// Asks the store for its name.
    pub(crate) fn confirm(&self) {
        let performer = self.clone();
        tokio::spawn(async move {
            let confirmation = match performer.store.get(CLUSTER).await {
                Ok(Some(entry)) => match ClusterRecord::parse(&entry.value) {
                    Ok(record) => Confirmation::Named(record.id),
                    Err(_) => Confirmation::Nameless,
                },
                Ok(None) => Confirmation::Nameless,
                Err(_) => Confirmation::Unanswered,
            };
            performer.report(Report::Confirmed(confirmation));
        });
    }

    /// Writes and removes files, and has systemd read them.
    pub(crate) fn batch(&self, manager: &Arc<Manager>, batch: Batch) {
        let (performer, manager) = (self.clone(), Arc::clone(manager));
        tokio::spawn(async move {
            let outcome = performer.carry_out(&manager, &batch).await;
            performer.report(Report::Batch(batch, outcome));
        });
    }

    async fn carry_out(&self, manager: &Manager, batch: &Batch) -> BatchOutcome {
        let mut outcome = BatchOutcome::default();
        let folders = match manager.unit_folders().await {
            Ok(folders) => folders,
            Err(error) => return self.broken(outcome, &error),
        };
        let mut enable: BTreeSet<&UnitName> = BTreeSet::new();
        for write in &batch.writes {
            match self.write(manager, write, &folders).await {
                Ok(()) if write.text.traits.installs => drop(enable.insert(&write.unit)),
                Ok(()) => {}
                Err(why) => drop(outcome.refused.insert(write.unit.clone(), why)),
            }
        }
        for (unit, installs) in &batch.removes {
            if *installs && let Err(error) = manager.disable_for_this_boot(unit.as_str()).await {
                tracing::warn!(unit = %unit, %error, "the links of [Install] could not be removed");
            }
            // One that never failed or is not loaded any more is as good.
            let _ = manager.reset_failed(unit.as_str()).await;
            if let Err(error) = self.files.remove(unit) {
                outcome.refused.insert(unit.clone(), error.to_string());
            }
        }
        for unit in enable {
            if let Err(error) = manager.enable_for_this_boot(unit.as_str()).await {
                tracing::warn!(unit = %unit, %error, "the links of [Install] could not be made");
            }
        }
        if let Err(error) = manager.daemon_reload().await {
            return self.broken(outcome, &error);
        }
        for unit in batch.writes.iter().map(|write| &write.unit).chain(&batch.loads) {
            match manager.unit_status(unit.as_str()).await {
                Ok(status) => drop(outcome.statuses.insert(unit.clone(), status)),
                Err(error) if error.is_disconnected() => return self.broken(outcome, &error),
                Err(error) => tracing::warn!(unit = %unit, %error, "systemd does not say how a unit stands"),
            }
        }
        outcome
    }

    fn broken(&self, mut outcome: BatchOutcome, error: &SystemdError) -> BatchOutcome {
        if error.is_disconnected() {
            self.report(Report::BusLost);
        }
        outcome.error = Some(error.to_string());
        outcome
    }

    async fn write(
        &self,
        manager: &Manager,
        write: &crate::roster::Write,
        folders: &[String],
    ) -> Result<(), String> {
        if let Some(path) = self.files.obstacle(&write.unit, folders) {
            return Err(format!(
                "{} is this machine's own; remove it or submit the unit under another name",
                path.display()
            ));
        }
        if write.is_new {
            let status = manager.unit_status(write.unit.as_str()).await.map_err(|error| error.to_string())?;
            // An instance of a template of the machine, started by hand: not ours to take over, nor to stop.
            if !status.active.is_empty() && !status.state().is_down() {
                return Err(format!(
                    "{} runs here already, and not by the schedule; stop it and it is started anew",
                    write.unit
                ));
            }
        }
        self.files.write(&write.unit, &write.text.text, &write.text.traits).map_err(|error| error.to_string())
    }

    /// Stops a unit.
    pub(crate) fn stop(&self, manager: &Arc<Manager>, unit: UnitName) {
        let (performer, manager) = (self.clone(), Arc::clone(manager));
        tokio::spawn(async move {
            let ended = async { manager.begin_stop(unit.as_str()).await?.ended(STOP_DEADLINE).await }.await;
            let end = match ended {
                // What systemd doesn't know doesn't run.
                Err(SystemdError::NoSuchUnit { .. }) => JobEnd::Ended(convoy_systemd::JobResult::Done),
                other => performer.end(other),
            };
            performer.report(Report::Job(unit, Job::Stop, end));
        });
    }

    /// Queues starts in order, and waits for all of them at once.
    pub(crate) fn launch(&self, manager: &Arc<Manager>, launches: Vec<Launch>) {
        let (performer, manager) = (self.clone(), Arc::clone(manager));
        tokio::spawn(async move {
            for launch in launches {
                let (unit, job) = (launch.unit.clone(), launch.job);
                match performer.begin(&manager, launch).await {
                    Ok(queued) => {
                        let performer = performer.clone();
                        tokio::spawn(async move {
                            let end = performer.end(queued.ended(START_DEADLINE).await);
                            performer.report(Report::Job(unit, job, end));
                        });
                    }
                    Err(end) => performer.report(Report::Job(unit, job, end)),
                }
            }
        });
    }

    async fn begin(&self, manager: &Manager, launch: Launch) -> Result<convoy_systemd::QueuedJob, JobEnd> {
        let unit = launch.unit.as_str();
        if let Some(revision) = launch.guard {
            self.still_scheduled(&launch.unit, revision).await?;
        }
        if launch.reset {
            // Without that the start limit may be in the way.
            let _ = manager.reset_failed(unit).await;
        }
        let queued = match launch.job {
            Job::Restart => manager.begin_restart(unit).await,
            Job::Start | Job::Stop => manager.begin_start(unit).await,
        };
        queued.map_err(|error| self.end(Err(error)))
    }

    /// A watch may be behind. This machine is announced, so that from here on nobody gives the unit to another one
    /// without this machine's word; what was decided before is seen by a read.
    async fn still_scheduled(&self, unit: &UnitName, revision: Revision) -> Result<(), JobEnd> {
        match self.store.get(&schedule_key(&self.machine, unit)).await {
            Ok(Some(entry)) if entry.mod_revision == revision => Ok(()),
            Ok(_) => Err(JobEnd::Withheld),
            Err(error) => {
                tracing::debug!(unit = %unit, %error, "a unit that may run at most once has to wait");
                Err(JobEnd::Withheld)
            }
        }
    }

    fn end(&self, ended: Result<convoy_systemd::JobResult, SystemdError>) -> JobEnd {
        match ended {
            Ok(result) => JobEnd::Ended(result),
            Err(error) if error.is_disconnected() => {
                self.report(Report::BusLost);
                JobEnd::Unknown
            }
            Err(SystemdError::Deadline { .. }) => JobEnd::Ended(convoy_systemd::JobResult::Timeout),
            Err(error) => JobEnd::Refused(error.to_string()),
        }
    }

    /// Asks how units and fences stand.
    pub(crate) fn look(&self, manager: &Arc<Manager>, units: Vec<UnitName>, fences: BTreeSet<Fence>) {
        let (performer, manager) = (self.clone(), Arc::clone(manager));
        tokio::spawn(async move {
            for (unit, status) in statuses(&manager, &units).await {
                performer.report(Report::Status(unit, Box::new(status)));
            }
            for fence in fences {
                if let Ok(status) = manager.unit_status(&fence.unit()).await {
                    performer.report(Report::Fence(fence, Box::new(status)));
                }
            }
        });
    }
}

/// How units stand; those that systemd doesn't say are left out.
pub(crate) async fn statuses(manager: &Manager, units: &[UnitName]) -> BTreeMap<UnitName, UnitStatus> {
    let mut statuses = BTreeMap::new();
    for unit in units {
        if let Ok(status) = manager.unit_status(unit.as_str()).await {
            statuses.insert(unit.clone(), status);
        }
    }
    statuses
}
