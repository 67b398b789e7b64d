//! The loop: facts come in from engine, checks and store; what follows from them goes out to store and systemd.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use convoy_health::Health;
use convoy_service::{Notifier, Shutdown, Watchdog, message};
use convoy_store::{LeaseSettings, Ownership, OwnershipStatus, Store};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::checker::Checker;
use crate::drain::{Drained, wait_for_readers};
use crate::engine::Lookup;
use crate::locate::{Sighting, View, follow};
use crate::metrics::Metrics;
use crate::options::Options;
use crate::registration::{Holding, Identity, Registration, status_line};
use crate::settings::{Ready, Settings, Subject};
use crate::target::{HealthSource, Target};

/// The loop comes by at least this often: beats the watchdog, and asks for more time while starting.
const TICK: Duration = Duration::from_secs(5);
/// How much more time a start or a stop asks for.
const MORE_TIME: Duration = Duration::from_secs(30);
/// How long a stop waits for the store to take the withdrawal. After that the time to live has to do it.
const WITHDRAWAL: Duration = Duration::from_secs(3);

/// What the loop works with.
#[derive(Debug)]
pub struct Inputs {
    /// What is fixed.
    pub settings: Settings,
    /// The options, for labels to be laid over.
    pub options: Options,
    /// The store.
    pub store: Store,
    /// systemd.
    pub notifier: Notifier,
    /// What is counted.
    pub metrics: Metrics,
    /// Reads the environment.
    pub variable: fn(&str) -> Option<String>,
}

/// Announces the instance until a signal says stop, and withdraws it.
pub async fn run(inputs: Inputs, mut shutdown: Shutdown) -> anyhow::Result<()> {
    let (sender, mut view) = watch::channel(View::default());
    let mut following = None;
    let mut daemon = Daemon::new(inputs);
    match daemon.inputs.settings.subject.clone() {
        Subject::Container { name, engine, .. } => {
            let lookup = Lookup { name, unit: daemon.inputs.settings.instance.app_unit() };
            following = Some(tokio::spawn(follow(engine, lookup, daemon.inputs.variable, sender)));
        }
        Subject::Service(endpoint) => {
            let target = Target::of_service(endpoint, &daemon.inputs.settings, &daemon.inputs.options)
                .context("the service can't be announced")?;
            daemon.set_target(Some(target));
            // There is no container to be followed: the view never changes.
            drop(sender);
        }
    }
    let mut status = daemon.ownership.status();
    let mut watchdog = Watchdog::start(&daemon.inputs.notifier);
    let tick = watchdog.interval().unwrap_or(TICK).min(TICK);
    loop {
        daemon.publish()?;
        tokio::select! {
            () = shutdown.wait() => break,
            Ok(()) = view.changed() => {
                let seen = view.borrow_and_update().clone();
                daemon.take_view(seen);
            }
            () = check_changed(&mut daemon.checker) => daemon.take_report(),
            Ok(()) = status.changed() => {
                let now = status.borrow_and_update().clone();
                daemon.take_status(now);
            }
            () = sleep(tick) => daemon.come_by().await,
        }
        watchdog.beat();
    }
    if let Some(following) = following {
        following.abort();
    }
    daemon.stop(shutdown).await;
    Ok(())
}

async fn check_changed(checker: &mut Option<Checker>) {
    match checker {
        Some(checker) => checker.changed().await,
        None => std::future::pending().await,
    }
}

struct Daemon {
    inputs: Inputs,
    ownership: Ownership,
    registration: Registration,
    checker: Option<Checker>,
    declared: BTreeMap<String, Vec<u8>>,
    holding: Holding,
    /// The lease, for messages.
    lease: Option<i64>,
    /// Whether the instance was listed when it was last looked.
    listed: bool,
    ready: bool,
    /// Why there is no target.
    obstacle: Option<String>,
    /// What the last failed check said.
    trouble: Option<String>,
    status: String,
}

impl Daemon {
    fn new(inputs: Inputs) -> Self {
        let identity = Identity {
            instance: inputs.settings.instance.clone(),
            machine_id: inputs.settings.machine.id.clone().unwrap_or_default(),
            invocation_id: (inputs.variable)("INVOCATION_ID").unwrap_or_default(),
        };
        Self {
            ownership: inputs.store.own(LeaseSettings::new(inputs.settings.ttl)),
            registration: Registration::new(identity),
            inputs,
            checker: None,
            declared: BTreeMap::new(),
            holding: Holding::Pending(None),
            lease: None,
            listed: false,
            ready: false,
            obstacle: None,
            trouble: None,
            status: String::new(),
        }
    }

    /// Lets the store and systemd know what follows from the facts, as far as it is news.
    fn publish(&mut self) -> anyhow::Result<()> {
        let keys = self.registration.keys().context("the instance's record can't be written")?;
        if keys != self.declared {
            self.declared.clone_from(&keys);
            self.holding = Holding::Pending(None);
            self.inputs.metrics.announcements.inc();
            self.ownership.declare(keys);
        }
        let listed =
            self.registration.is_offered() && matches!(self.holding, Holding::Held | Holding::AtRisk(_));
        self.tell_listing(listed);
        let status = status_line(
            &self.registration,
            &self.holding,
            self.obstacle.as_deref(),
            self.trouble.as_deref(),
            self.inputs.settings.ttl,
        );
        let watched = self.inputs.settings.ready == Ready::Watching;
        if !self.ready && (listed || watched) {
            self.ready = true;
            self.inputs.notifier.ready(&status);
        } else if status != self.status {
            self.inputs.notifier.status(&status);
        }
        self.status = status;
        Ok(())
    }

    fn tell_listing(&mut self, listed: bool) {
        // Between a change and its arrival in the store the listing is not news either way.
        let settled = !matches!(self.holding, Holding::Pending(_));
        if listed == self.listed || !settled {
            return;
        }
        self.listed = listed;
        self.inputs.metrics.listed.set(i64::from(listed));
        let instance = self.inputs.settings.instance.to_string();
        match self.registration.target() {
            Some(target) if listed => tracing::info!(
                MESSAGE_ID = message::REGISTERED,
                app_instance = instance,
                address = %target.endpoint,
                key = target.settings.keys.join(" "),
                lease = format!("{:x}", self.lease.unwrap_or_default()),
                ttl_seconds = self.inputs.settings.ttl.as_secs(),
                "listed {} as {}",
                target.endpoint,
                target.settings.keys.join(", ")
            ),
            _ => {
                let reason =
                    self.obstacle.as_deref().or(self.trouble.as_deref()).unwrap_or("its lease is gone");
                tracing::info!(
                    MESSAGE_ID = message::WITHDRAWN,
                    app_instance = instance,
                    reason,
                    "no longer listed: {reason}"
                );
            }
        }
    }

    /// The engine showed where the container is.
    fn take_view(&mut self, view: View) {
        let Subject::Container { name, address, .. } = self.inputs.settings.subject.clone() else { return };
        if let Some(trouble) = &view.trouble {
            tracing::warn!(
                error = trouble,
                "the container can't be followed at the moment; what is known stays"
            );
        }
        let obstacle = match view.sighting {
            Sighting::Unknown => view.trouble.unwrap_or_else(|| format!("looking for container {name}")),
            Sighting::Absent => format!("there is no container {name}"),
            Sighting::Stopped { id, death } => {
                let how = death.map(|death| format!(" ({death})")).unwrap_or_default();
                if self.registration.target().is_some() {
                    tracing::warn!(
                        MESSAGE_ID = message::CONTAINER_DIED,
                        container = name,
                        container_id = id,
                        "the container's process ended{how}"
                    );
                }
                format!("container {name} does not run{how}")
            }
            Sighting::Running(found) => {
                let target =
                    Target::of_container(&found, address, &self.inputs.settings, &self.inputs.options);
                match target {
                    Ok(target) => {
                        self.obstacle = None;
                        return self.set_target(Some(target));
                    }
                    Err(refusal) => {
                        let text = refusal.to_string();
                        if self.obstacle.as_ref() != Some(&text) {
                            tracing::error!(
                                MESSAGE_ID = message::ADDRESS_REFUSED,
                                container = name,
                                error = text,
                                "the container runs, but can't be announced: {text}"
                            );
                        }
                        text
                    }
                }
            }
        };
        self.obstacle = Some(obstacle);
        self.set_target(None);
    }

    fn set_target(&mut self, target: Option<Target>) {
        let old = self
            .registration
            .target()
            .map(|target| (target.run.clone(), target.health.clone(), target.settings.rules.clone()));
        let new = target
            .as_ref()
            .map(|target| (target.run.clone(), target.health.clone(), target.settings.rules.clone()));
        self.registration.set_target(target, now());
        if old == new {
            return;
        }
        self.trouble = None;
        self.checker = None;
        match new {
            Some((_, HealthSource::Probe(probe), rules)) => {
                self.checker = Some(Checker::start(probe, rules, self.inputs.metrics.clone()));
            }
            Some((_, HealthSource::Engine(health), _)) => self.set_health(health, None),
            Some((_, HealthSource::Assumed, _)) => self.set_health(Health::Passing, None),
            None => {}
        }
    }

    /// The checks said something.
    fn take_report(&mut self) {
        let Some(report) = self.checker.as_ref().map(Checker::report) else { return };
        self.trouble.clone_from(&report.error);
        self.set_health(report.health, report.error.as_deref());
    }

    fn set_health(&mut self, health: Health, error: Option<&str>) {
        let before = self.registration.health();
        self.registration.set_health(health, now());
        let state = self.registration.state().as_str();
        let instance = self.inputs.settings.instance.to_string();
        if before == health {
            return;
        }
        if health == Health::Failing {
            let error = error.unwrap_or("the engine's health check fails");
            tracing::warn!(
                MESSAGE_ID = message::HEALTH_CHANGED,
                app_instance = instance,
                state,
                error,
                "the instance is failing: {error}"
            );
        } else {
            tracing::info!(
                MESSAGE_ID = message::HEALTH_CHANGED,
                app_instance = instance,
                state,
                "the instance is {state}"
            );
        }
        self.inputs.metrics.health_changes.inc();
    }

    /// The store said how things stand.
    fn take_status(&mut self, status: OwnershipStatus) {
        let was_out = is_out(&self.holding);
        self.holding = match status {
            OwnershipStatus::Pending { error } => Holding::Pending(error),
            OwnershipStatus::Held { lease, .. } => {
                self.lease = Some(lease);
                Holding::Held
            }
            OwnershipStatus::AtRisk { error, .. } => Holding::AtRisk(error),
            OwnershipStatus::Lost { error } => Holding::Lost(error),
            OwnershipStatus::Replaced { key, lease } => {
                if self.holding != Holding::Replaced(key.clone()) {
                    tracing::error!(
                        MESSAGE_ID = message::REGISTRATION_REPLACED,
                        key,
                        lease = format!("{lease:x}"),
                        "another owner announced {key}, and the newest one wins"
                    );
                }
                Holding::Replaced(key)
            }
        };
        match &self.holding {
            Holding::Pending(Some(error)) | Holding::AtRisk(error) | Holding::Lost(error) if !was_out => {
                self.inputs.metrics.store_outages.inc();
                tracing::warn!(
                    MESSAGE_ID = message::STORE_UNREACHABLE,
                    error,
                    "the store can't be reached; checks go on: {error}"
                );
            }
            Holding::Held if was_out => {
                tracing::info!(MESSAGE_ID = message::STORE_BACK, "the store holds the announcement again");
            }
            _ => {}
        }
    }

    /// What has to be done now and then without news.
    async fn come_by(&mut self) {
        if !self.ready {
            self.inputs.notifier.extend_timeout(MORE_TIME);
        }
        // The newer owner may be gone: then the key is ours again. Looking costs the store no write.
        if let Holding::Replaced(key) = &self.holding
            && let Ok(None) = self.inputs.store.get(key).await
        {
            let mut without = self.declared.clone();
            without.remove(key);
            self.ownership.declare(without);
            // Not applied in time means that it is told again at the next round.
            if let Ok(Ok(_)) = timeout(WITHDRAWAL, self.ownership.applied()).await {
                self.ownership.declare(self.declared.clone());
            }
        }
    }

    /// Takes the instance off the list, waits until every reader has noticed, and lets the lease go.
    async fn stop(mut self, mut shutdown: Shutdown) {
        let limit = self.inputs.settings.drain;
        self.inputs.notifier.stopping("withdrawing the instance");
        self.inputs.notifier.extend_timeout(limit + MORE_TIME);
        self.checker = None;
        if self.registration.is_offered() && self.listed {
            tokio::select! {
                () = self.drain(limit) => {}
                // A second signal: somebody is in a hurry.
                () = shutdown.wait() => tracing::warn!("told to stop again; the drain is cut short"),
            }
        }
        let instance = self.inputs.settings.instance.to_string();
        match self.ownership.release(WITHDRAWAL).await {
            Ok(()) => tracing::info!(
                MESSAGE_ID = message::WITHDRAWN,
                app_instance = instance,
                reason = "stop",
                "the instance is withdrawn"
            ),
            Err(error) => tracing::warn!(
                %error,
                app_instance = instance,
                ttl_seconds = self.inputs.settings.ttl.as_secs(),
                "the lease could not be revoked; the keys go when it runs out"
            ),
        }
        self.inputs.metrics.listed.set(0);
    }

    async fn drain(&mut self, limit: Duration) {
        self.registration.drain(now());
        let Ok(keys) = self.registration.keys() else { return };
        self.ownership.declare(keys);
        let revision = match timeout(WITHDRAWAL, self.ownership.applied()).await {
            Ok(Ok(revision)) => revision,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the store does not take the withdrawal; stopping without a drain");
                return;
            }
            Err(_) => {
                tracing::warn!("the store does not answer; stopping without a drain");
                return;
            }
        };
        self.inputs.notifier.status("draining: waiting until every load balancer has taken the instance off");
        let app = &self.inputs.settings.instance.app;
        match wait_for_readers(&self.inputs.store, app, revision, limit).await {
            Drained::Proved { readers } => {
                tracing::info!(readers, %revision, "drained: {readers} readers serve without the instance");
            }
            Drained::TimedOut { behind } => {
                let behind = behind.into_iter().collect::<Vec<_>>().join(" ");
                tracing::warn!(
                    behind,
                    %revision,
                    "stopping although these did not say in time that they serve without the instance: {behind}"
                );
            }
        }
    }
}

fn is_out(holding: &Holding) -> bool {
    matches!(holding, Holding::Pending(Some(_)) | Holding::AtRisk(_) | Holding::Lost(_))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
