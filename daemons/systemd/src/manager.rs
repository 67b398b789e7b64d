//! The manager: calls on one connection, signals on another.

use std::num::NonZeroUsize;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use zbus::proxy::CacheProperties;
use zbus::wire::OwnedObjectPath;
use zbus::{Connection, connection};

use crate::path::unit_path;
use crate::proxy::{ManagerProxy, PropertiesOfProxy};
use crate::unit::{Properties, number, status, text};
use crate::{JobResult, ServiceEnd, SystemdError, UnitStatus};

/// A method call that the manager doesn't answer within this time never will.
pub(crate) const CALL_DEADLINE: Duration = Duration::from_secs(25);
/// Reloading reads every unit file again; a busy machine needs its time.
const RELOAD_DEADLINE: Duration = Duration::from_secs(90);
/// Jobs that may end between our call and our look at the signal, on a machine that boots.
const JOBS_KEPT: usize = 1024;

/// A unit's ActiveState (org.freedesktop.systemd1(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ActiveState {
    /// Running, or done with success where that counts as active.
    Active,
    /// Active, and reading its configuration again.
    Reloading,
    /// Not running.
    Inactive,
    /// Not running, after an error.
    Failed,
    /// On its way up.
    Activating,
    /// On its way down.
    Deactivating,
    /// A state that later versions of systemd added.
    Other,
}

impl ActiveState {
    pub(crate) fn parse(text: &str) -> Self {
        match text {
            "active" => Self::Active,
            "reloading" => Self::Reloading,
            "inactive" => Self::Inactive,
            "failed" => Self::Failed,
            "activating" => Self::Activating,
            "deactivating" => Self::Deactivating,
            _ => Self::Other,
        }
    }

    /// Nothing of the unit runs.
    pub fn is_down(self) -> bool {
        matches!(self, Self::Inactive | Self::Failed)
    }
}

/// A job that was queued, to be waited for.
#[derive(Debug)]
pub struct QueuedJob {
    verb: &'static str,
    unit: String,
    job: OwnedObjectPath,
    removed: broadcast::Receiver<JobRemoved>,
    connection: Connection,
}

impl QueuedJob {
    /// Waits until the job has ended, or until the deadline.
    pub async fn ended(mut self, deadline: Duration) -> Result<JobResult, SystemdError> {
        tokio::select! {
            outcome = timeout(deadline, removal(&mut self.removed, &self.job)) => outcome.unwrap_or_else(|_| {
                Err(SystemdError::Deadline { verb: self.verb, unit: self.unit, deadline })
            }),
            () = self.connection.closed() => Err(SystemdError::Closed),
        }
    }
}

async fn removal(
    removed: &mut broadcast::Receiver<JobRemoved>,
    job: &OwnedObjectPath,
) -> Result<JobResult, SystemdError> {
    loop {
        match removed.recv().await {
            Ok(ended) if ended.job == *job => return Ok(ended.result),
            Ok(_) => {}
            Err(broadcast::error::RecvError::Closed) => return Err(SystemdError::Closed),
            // Our job may be among what was missed, so only the deadline can tell.
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "more jobs ended at once than could be followed");
            }
        }
    }
}

#[derive(Debug, Clone)]
struct JobRemoved {
    job: OwnedObjectPath,
    result: JobResult,
}

/// A connection to the system's manager. It never reconnects by itself; see [`SystemdError::is_disconnected`].
#[derive(Debug)]
pub struct Manager {
    calls: ManagerProxy<'static>,
    connection: Connection,
    removed: broadcast::Sender<JobRemoved>,
    reader: JoinHandle<()>,
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Manager {
    /// Connects to the system bus and subscribes to the manager's signals.
    pub async fn connect() -> Result<Self, SystemdError> {
        let connection = open(CALL_DEADLINE).await?;
        let signals = open(CALL_DEADLINE).await?;
        let proxy = manager(&signals).await?;
        // Without a subscriber the manager sends almost no signals.
        proxy.subscribe().await.map_err(SystemdError::Bus)?;
        let mut stream = proxy.receive_job_removed().await.map_err(SystemdError::Bus)?;
        let (removed, _) = broadcast::channel(JOBS_KEPT);
        let sender = removed.clone();
        let reader = tokio::spawn(async move {
            while let Some(signal) = stream.next().await {
                if let Ok(arguments) = signal.args() {
                    let job = OwnedObjectPath::from(arguments.job().to_owned());
                    // Nobody waiting is the usual case, not an error.
                    let _ = sender.send(JobRemoved { job, result: JobResult::parse(arguments.result()) });
                }
            }
        });
        Ok(Self { calls: manager(&connection).await?, connection, removed, reader })
    }

    /// Starts a unit and waits until its job has ended, or until the deadline.
    pub async fn start_unit(&self, unit: &str, deadline: Duration) -> Result<JobResult, SystemdError> {
        self.job("start", unit, deadline, self.calls.start_unit(unit, "replace")).await
    }

    /// Queues the start of a unit without waiting for it.
    pub async fn queue_start(&self, unit: &str) -> Result<(), SystemdError> {
        let job = self.calls.start_unit(unit, "replace").await;
        job.map(drop).map_err(|error| SystemdError::from_call("start", unit, error))
    }

    /// Queues the start of a unit without waiting for it, unless a job that opposes it is queued already.
    pub async fn queue_start_unless_opposed(&self, unit: &str) -> Result<(), SystemdError> {
        let job = self.calls.start_unit(unit, "fail").await;
        job.map(drop).map_err(|error| SystemdError::from_call("start", unit, error))
    }

    /// Stops a unit and waits until its job has ended, or until the deadline.
    pub async fn stop_unit(&self, unit: &str, deadline: Duration) -> Result<JobResult, SystemdError> {
        self.job("stop", unit, deadline, self.calls.stop_unit(unit, "replace")).await
    }

    /// Restarts a unit and waits until its job has ended, or until the deadline.
    pub async fn restart_unit(&self, unit: &str, deadline: Duration) -> Result<JobResult, SystemdError> {
        self.job("restart", unit, deadline, self.calls.restart_unit(unit, "replace")).await
    }

    /// Reloads a unit and waits until its job has ended, or until the deadline. A stop that is queued goes on, and nothing
    /// is reloaded.
    pub async fn reload_unit(&self, unit: &str, deadline: Duration) -> Result<JobResult, SystemdError> {
        self.job("reload", unit, deadline, self.calls.reload_unit(unit, "fail")).await
    }

    /// Queues the start of a unit, in place of a job that opposes it.
    pub async fn begin_start(&self, unit: &str) -> Result<QueuedJob, SystemdError> {
        self.queue("start", unit, self.calls.start_unit(unit, "replace")).await
    }

    /// Queues the stop of a unit, in place of a job that opposes it.
    pub async fn begin_stop(&self, unit: &str) -> Result<QueuedJob, SystemdError> {
        self.queue("stop", unit, self.calls.stop_unit(unit, "replace")).await
    }

    /// Queues a full stop and a start of a unit. What is bound to it follows.
    pub async fn begin_restart(&self, unit: &str) -> Result<QueuedJob, SystemdError> {
        self.queue("restart", unit, self.calls.restart_unit(unit, "replace")).await
    }

    async fn queue(
        &self,
        verb: &'static str,
        unit: &str,
        call: impl Future<Output = zbus::Result<OwnedObjectPath>>,
    ) -> Result<QueuedJob, SystemdError> {
        // Before the call: a short job may be gone before its path has reached us.
        let removed = self.removed.subscribe();
        let job = call.await.map_err(|error| SystemdError::from_call(verb, unit, error))?;
        Ok(QueuedJob { verb, unit: unit.to_owned(), job, removed, connection: self.connection.clone() })
    }

    /// Makes the links of the unit's `[Install]` section until the next boot. Without such a section nothing happens.
    /// Takes effect with the next [`Manager::daemon_reload`].
    pub async fn enable_for_this_boot(&self, unit: &str) -> Result<(), SystemdError> {
        let done = self.calls.enable_unit_files(&[unit], true, true).await;
        done.map(drop).map_err(|error| SystemdError::from_call("enable", unit, error))
    }

    /// Removes the links again.
    pub async fn disable_for_this_boot(&self, unit: &str) -> Result<(), SystemdError> {
        let done = self.calls.disable_unit_files(&[unit], true).await;
        done.map(drop).map_err(|error| SystemdError::from_call("disable", unit, error))
    }

    /// The unit as it is now; one that nobody has loaded yet is loaded for the answer.
    pub async fn unit_status(&self, unit: &str) -> Result<UnitStatus, SystemdError> {
        Ok(status(&self.all_properties(unit, "Unit").await?))
    }

    /// How the last run of a service ended.
    pub async fn service_end(&self, unit: &str) -> Result<ServiceEnd, SystemdError> {
        let properties = self.all_properties(unit, "Service").await?;
        Ok(ServiceEnd {
            result: text(&properties, "Result").unwrap_or_default(),
            restart: text(&properties, "Restart").unwrap_or_default(),
        })
    }

    /// The main process of a service; none while it has none.
    pub async fn main_process(&self, unit: &str) -> Result<Option<u32>, SystemdError> {
        let properties = self.all_properties(unit, "Service").await?;
        Ok(number(&properties, "MainPID").filter(|pid| *pid != 0))
    }

    /// True while the machine is being shut down or rebooted.
    pub async fn is_shutting_down(&self) -> Result<bool, SystemdError> {
        let state = self.calls.system_state().await;
        let state = state.map_err(|error| SystemdError::from_call("inspect", "systemd", error))?;
        Ok(state == "stopping")
    }

    /// The folders in which unit files are looked for, the first ones winning.
    pub async fn unit_folders(&self) -> Result<Vec<String>, SystemdError> {
        let folders = self.calls.unit_path().await;
        folders.map_err(|error| SystemdError::from_call("inspect", "systemd", error))
    }

    async fn all_properties(&self, unit: &str, interface: &str) -> Result<Properties, SystemdError> {
        let fail = |error| SystemdError::from_call("inspect", unit, error);
        let builder = PropertiesOfProxy::builder(&self.connection)
            .destination("org.freedesktop.systemd1")
            .path(unit_path(unit))
            .cache_properties(CacheProperties::No);
        let proxy = builder.build().await.map_err(fail)?;
        proxy.get_all(&format!("org.freedesktop.systemd1.{interface}")).await.map_err(fail)
    }

    /// Forgets that a unit failed and how often it was started of late.
    pub async fn reset_failed(&self, unit: &str) -> Result<(), SystemdError> {
        let done = self.calls.reset_failed_unit(unit).await;
        done.map_err(|error| SystemdError::from_call("reset", unit, error))
    }

    /// Makes the manager read all unit files again. Needs root.
    pub async fn daemon_reload(&self) -> Result<(), SystemdError> {
        // Own connection, since the deadline of calls is too short for a machine with many units.
        let connection = open(RELOAD_DEADLINE).await?;
        let proxy = manager(&connection).await?;
        proxy.reload().await.map_err(|error| SystemdError::from_call("reload", "systemd", error))
    }

    /// The unit's state; a unit that nobody has loaded yet is loaded for the answer.
    pub async fn active_state(&self, unit: &str) -> Result<ActiveState, SystemdError> {
        let state: String = self.unit_property(unit, "ActiveState").await?;
        Ok(ActiveState::parse(&state))
    }

    /// A property that is a list of strings, such as `BindsTo` or `After`.
    pub async fn unit_list(&self, unit: &str, property: &str) -> Result<Vec<String>, SystemdError> {
        self.unit_property(unit, property).await
    }

    /// A property that is one string, such as `LoadState` or `SubState`.
    pub async fn unit_text(&self, unit: &str, property: &str) -> Result<String, SystemdError> {
        self.unit_property(unit, property).await
    }

    /// A property that is a number, such as `InactiveEnterTimestampMonotonic` (microseconds since boot).
    pub async fn unit_number(&self, unit: &str, property: &str) -> Result<u64, SystemdError> {
        self.unit_property(unit, property).await
    }

    /// Whether a job for the unit is queued or runs.
    pub async fn has_job(&self, unit: &str) -> Result<bool, SystemdError> {
        let (id, _): (u32, OwnedObjectPath) = self.unit_property(unit, "Job").await?;
        Ok(id != 0)
    }

    async fn unit_property<T>(&self, unit: &str, property: &str) -> Result<T, SystemdError>
    where
        T: serde::de::DeserializeOwned + zbus::Type,
    {
        let fail = |error| SystemdError::from_call("inspect", unit, error);
        let path = self.calls.load_unit(unit).await.map_err(fail)?;
        let builder = zbus::proxy::Builder::<zbus::Proxy<'_>>::new(&self.connection)
            .destination("org.freedesktop.systemd1")
            .path(path)
            .interface("org.freedesktop.systemd1.Unit")
            .cache_properties(CacheProperties::No);
        let proxy = builder.build().await.map_err(fail)?;
        proxy.get_property(property).await.map_err(fail)
    }

    async fn job(
        &self,
        verb: &'static str,
        unit: &str,
        deadline: Duration,
        call: impl Future<Output = zbus::Result<OwnedObjectPath>>,
    ) -> Result<JobResult, SystemdError> {
        // Before the call: a short job may be gone before its path has reached us.
        let mut removed = self.removed.subscribe();
        let waited = timeout(deadline, async {
            let job = call.await.map_err(|error| SystemdError::from_call(verb, unit, error))?;
            removal(&mut removed, &job).await
        });
        tokio::select! {
            outcome = waited => outcome.unwrap_or_else(|_| {
                Err(SystemdError::Deadline { verb, unit: unit.to_owned(), deadline })
            }),
            () = self.connection_lost() => Err(SystemdError::Closed),
        }
    }

    async fn connection_lost(&self) {
        self.connection.closed().await;
    }
}

pub(crate) async fn open(deadline: Duration) -> Result<Connection, SystemdError> {
    let builder = connection::Builder::system().method_timeout(deadline);
    // An unread signal holds up every call on its connection; a booting machine sends many at once.
    let builder = builder.max_queued(NonZeroUsize::new(JOBS_KEPT).unwrap_or(NonZeroUsize::MIN));
    builder.build().await.map_err(SystemdError::Bus)
}

pub(crate) async fn manager(connection: &Connection) -> Result<ManagerProxy<'static>, SystemdError> {
    let builder = ManagerProxy::builder(connection).cache_properties(CacheProperties::No);
    builder.build().await.map_err(SystemdError::Bus)
}
