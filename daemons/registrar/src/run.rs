//! The loop: facts come in from engine, checks and store; what follows from them goes out to store and systemd.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use convoy_health::Health;
use convoy_service::{Notifier, Shutdown, Watchdog, message};
use convoy_store::{LeaseSettings, Ownership, Store};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::checker::Checker;
use crate::engine::Lookup;
use crate::locate::{Sighting, View, follow};
use crate::metrics::Metrics;
use crate::options::Options;
use crate::registration::{Identity, Registration, status_line};
use crate::settings::{Ready, Settings, Subject};
use crate::standing::{Holding, Standing};
use crate::target::{HealthSource, Target};
use crate::withdraw::{WITHDRAWAL, withdraw};

/// The loop comes by at least this often: beats the watchdog, and asks for more time while starting.
const TICK: Duration = Duration::from_secs(5);
/// How much more time a start or a stop asks for.
pub(crate) const MORE_TIME: Duration = Duration::from_secs(30);

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
            outcome = daemon.ownership.applied(), if !daemon.standing.is_settled() => {
                if let Err(error) = outcome {
                    tracing::debug!(%error, "the announcement is not in the store as declared");
                }
                daemon.standing.settle();
            }
            Ok(()) = status.changed() => {
                let now = status.borrow_and_update().clone();
                daemon.standing.take(now, &daemon.inputs.metrics);
            }
            () = sleep(tick) => daemon.come_by().await,
        }
        watchdog.beat();
    }
    if let Some(following) = following {
        following.abort();
    }
    daemon.checker = None;
    let Daemon { inputs, ownership, registration, listed, .. } = daemon;
    withdraw(&inputs, registration, ownership, listed, shutdown).await;
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
    standing: Standing,
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
            standing: Standing::new(),
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
            self.standing.unsettle();
            self.inputs.metrics.announcements.inc();
            self.ownership.declare(keys);
        }
        let holding = self.standing.holding();
        let listed = self.registration.is_offered() && matches!(holding, Holding::Held | Holding::AtRisk(_));
        let status = status_line(
            &self.registration,
            &holding,
            self.obstacle.as_deref(),
            self.trouble.as_deref(),
            self.inputs.settings.ttl,
        );
        // Between a change and its arrival in the store the listing is not news either way.
        if !matches!(holding, Holding::Pending(_)) {
            self.tell_listing(listed);
        }
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
        if listed == self.listed {
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
                lease = self.standing.lease(),
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
            tracing::warn!(error = trouble, "the container can't be followed at the moment: {trouble}");
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

    /// What has to be done now and then without news.
    async fn come_by(&mut self) {
        if !self.ready {
            self.inputs.notifier.extend_timeout(MORE_TIME);
        }
        // The newer owner may be gone: then the key is ours again. Looking costs the store no write.
        if let Holding::Replaced(key) = self.standing.holding()
            && let Ok(None) = self.inputs.store.get(&key).await
        {
            let mut without = self.declared.clone();
            without.remove(&key);
            self.ownership.declare(without);
            // Not applied in time means that it is told again at the next round.
            if let Ok(Ok(_)) = timeout(WITHDRAWAL, self.ownership.applied()).await {
                self.ownership.declare(self.declared.clone());
            }
        }
    }
}

/// Seconds since the epoch.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
