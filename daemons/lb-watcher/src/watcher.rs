//! What the watcher knows and decides.

use std::path::PathBuf;
use std::time::Duration;

use convoy_keys::upstream_prefix;
use convoy_lb_config::{Configuration, LoadBalancer, Settle, Upstream, read_upstreams};
use convoy_retry::Backoff;
use convoy_service::{Notifier, message};
use convoy_store::{FeedEvent, OwnershipStatus, Revision, Store};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;

use crate::announce::Announcer;
use crate::apply::{Adjustment, Applied, Applier, Failure, Timing};
use crate::balancer::RealBalancer;
use crate::files::StateDir;
use crate::guarded::{GuardedKeys, HeldLog, served_before};
use crate::metrics::{Metrics, Reason};
use crate::record::{Good, Record, Target};
use crate::settings::Settings;
use crate::skipped::SkippedLog;
use crate::story::{Served, Story, count as counted};
use crate::template_file::{TemplateFile, TemplateFileError};

/// How soon servers that were taken out and are still busy are looked at again.
const TIDY: Duration = Duration::from_secs(1);
/// Bounds of the pause before a configuration that failed is tried again.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// A store that doesn't answer by then has the lease run out by itself.
const WITHDRAW_DEADLINE: Duration = Duration::from_secs(3);

/// A configuration and what it stands for.
#[derive(Debug, Clone)]
pub(crate) struct Desired {
    configuration: Configuration,
    revision: Revision,
    /// Something is served although it is gone at this revision: those who wait for that have to wait on.
    has_held: bool,
    upstreams: Vec<Upstream>,
    template: String,
    wanted_at: Instant,
}

/// What comes back from the task that applies.
pub(crate) type Attempt = (Applier<RealBalancer>, Desired, Result<Applied, Failure>);

/// One load balancer's watcher: fed with events, asked when something is due.
#[derive(Debug)]
pub(crate) struct Watcher {
    settings: Settings,
    target: Target,
    load_balancer: LoadBalancer,
    template: TemplateFile,
    keys: GuardedKeys,
    /// The upstreams as they are served: those that are there, and those that are held back.
    upstream_prefix: String,
    /// The revision of the last change to an upstream; records of instances are no reason to write.
    revision: Revision,
    settle: Settle,
    /// There while no application is in flight.
    applier: Option<Applier<RealBalancer>>,
    in_flight: Option<JoinHandle<Attempt>>,
    backoff: Backoff,
    /// When to apply even if no key changes.
    retry_at: Option<Instant>,
    wanted_at: Instant,
    announcer: Announcer,
    skipped: SkippedLog,
    held: HeldLog,
    metrics: Metrics,
    notifier: Notifier,
    ready: bool,
    story: Story,
    told: String,
}

impl Watcher {
    pub(crate) fn new(
        settings: Settings,
        record: Record,
        store: &Store,
        notifier: Notifier,
    ) -> anyhow::Result<Self> {
        let target = record.target;
        let files = &settings.files;
        let engine = files.engine();
        let drain = settings.proxy_options.shutdown_timeout;
        let balancer =
            RealBalancer::new(settings.checker(), settings.reloader(), target.announce, files, drain);
        Ok(Self {
            load_balancer: settings.load_balancer(&target)?,
            template: TemplateFile::new(engine, settings.template.as_deref()),
            keys: GuardedKeys::new(settings.limits, served_before(&settings.app, record.good.as_ref())),
            upstream_prefix: upstream_prefix(&settings.app),
            revision: Revision::default(),
            settle: Settle::new(settings.quiet, settings.longest_wait),
            applier: Some(Applier::new(balancer, settings.files.clone(), Timing::default())),
            in_flight: None,
            backoff: Backoff::new(RETRY.0, RETRY.1),
            retry_at: None,
            wanted_at: Instant::now(),
            announcer: Announcer::new(store, &settings, target.announce)?,
            skipped: SkippedLog::default(),
            held: HeldLog::default(),
            metrics: Metrics::default(),
            notifier,
            ready: false,
            story: Story::begin(engine, settings.app.clone(), target.announce),
            told: String::new(),
            settings,
            target,
        })
    }

    /// Makes the metrics readable in this directory.
    pub(crate) fn serve_metrics(&self, runtime_directory: Option<PathBuf>) {
        self.metrics.serve(runtime_directory);
    }

    /// How the announcement stands, to be handed to [`Watcher::take_ownership`].
    pub(crate) fn ownership(&self) -> watch::Receiver<OwnershipStatus> {
        self.announcer.status()
    }

    /// Whether the load balancer does not serve what it should.
    pub(crate) fn has_failed(&self) -> bool {
        self.story.failure.is_some()
    }

    /// Compares template, file and load balancer with what they should be, as soon as possible.
    pub(crate) fn look(&mut self) {
        self.retry_at = Some(Instant::now());
    }

    /// When the next application is due, if one can be made.
    pub(crate) fn due(&self) -> Option<Instant> {
        if self.applier.is_none() || !self.keys.has_listed() {
            return None;
        }
        let settled = self.settle.due().map(Instant::from_std);
        settled.into_iter().chain(self.retry_at).chain(self.keys.due()).min()
    }

    /// Takes in news from the store.
    pub(crate) fn take(&mut self, event: &FeedEvent) {
        let heard = self.keys.apply(event);
        self.story.listed = self.keys.has_listed();
        match event {
            FeedEvent::Stale { error } => {
                self.metrics.store_up.set(0);
                tracing::warn!(
                    MESSAGE_ID = message::STORE_UNREACHABLE,
                    error = %error,
                    "the store can't be reached; what is served stays as it is"
                );
                self.story.store_error = Some(error.clone());
                return;
            }
            FeedEvent::Changed { revision, changes } => {
                if changes.iter().any(|change| change.key().starts_with(&self.upstream_prefix)) {
                    self.note_change(*revision);
                } else if heard.said && !self.keys.held().is_empty() {
                    // An owner let go of what was held.
                    self.note_change(self.revision);
                }
            }
            // After a doubt everything is listed again; without a change that is no reason to write.
            FeedEvent::Listed(snapshot) if heard.changed => self.note_change(snapshot.revision),
            FeedEvent::Listed(_) | FeedEvent::Current { .. } => {}
        }
        self.metrics.store_up.set(1);
        if self.story.store_error.take().is_some() {
            let revision = self.revision.get();
            tracing::info!(MESSAGE_ID = message::STORE_BACK, revision, "the store answers again");
        }
    }

    fn note_change(&mut self, revision: Revision) {
        self.revision = revision;
        self.metrics.desired_revision.set(self.revision.get());
        let now = Instant::now();
        if self.settle.due().is_none() {
            self.wanted_at = now;
        }
        self.settle.changed(now.into_std());
    }

    /// Renders what is known now and has it applied.
    pub(crate) fn start(&mut self) {
        let Some(mut applier) = self.applier.take() else { return };
        self.settle.started();
        self.retry_at = None;
        match self.desire() {
            Ok(desired) => {
                let files = self.settings.files.clone();
                let target = self.target.clone();
                self.in_flight = Some(tokio::spawn(async move {
                    let outcome = applier.apply(&desired.configuration).await;
                    let remembered = outcome.and_then(|how| remember(&files, target, &desired).map(|()| how));
                    (applier, desired, remembered)
                }));
            }
            Err(error) => {
                self.applier = Some(applier);
                self.settle.finished(Instant::now().into_std());
                self.fail("template", message::CONFIG_REJECTED, &error.to_string());
            }
        }
    }

    fn desire(&mut self) -> Result<Desired, TemplateFileError> {
        let view = self.keys.view(Instant::now());
        let has_held = self.say_held();
        let entries = view
            .iter()
            .filter(|(key, _)| key.starts_with(&self.upstream_prefix))
            .map(|(key, value)| (key.as_str(), value.as_slice()));
        let (upstreams, skipped) = read_upstreams(&self.settings.app, &self.load_balancer.listen, entries);
        let told = skipped.iter().map(|entry| (entry.key.clone(), entry.reason.to_string()));
        self.metrics.skipped.inc_by(self.skipped.update(told));
        self.metrics.skipped_keys.set(gauge(skipped.len()));
        self.story.skipped = skipped.len();
        let (template, text) = self.template.current()?;
        Ok(Desired {
            configuration: template.render(&self.load_balancer, &upstreams)?,
            revision: self.revision,
            has_held,
            upstreams,
            template: text.to_owned(),
            wanted_at: self.wanted_at,
        })
    }

    fn say_held(&mut self) -> bool {
        let held = self.held.update(&self.keys);
        self.metrics.held.set(gauge(held));
        self.story.held = held;
        held > 0
    }

    /// Waits for the application in flight; for ever when there is none. Cancel-safe.
    pub(crate) async fn attempt(&mut self) -> Result<Attempt, JoinError> {
        match &mut self.in_flight {
            Some(task) => {
                let attempt = task.await;
                self.in_flight = None;
                attempt
            }
            None => std::future::pending().await,
        }
    }

    /// Takes in how an application ended.
    pub(crate) fn conclude(&mut self, (applier, desired, outcome): Attempt) {
        if outcome.is_ok() && applier.leaving() > 0 {
            self.retry_at = Some(Instant::now() + TIDY);
        }
        self.applier = Some(applier);
        self.settle.finished(Instant::now().into_std());
        match outcome {
            Ok(how) => self.succeed(&desired, how),
            Err(failure) => {
                let id =
                    if failure.is_rejection() { message::CONFIG_REJECTED } else { message::RELOAD_FAILED };
                self.fail(failure.kind(), id, &failure.to_string());
            }
        }
    }

    fn succeed(&mut self, desired: &Desired, how: Applied) {
        let digest = desired.configuration.digest();
        let count = desired.upstreams.len();
        let recovered = self.story.failure.take().is_some();
        self.backoff.reset();
        match how {
            Applied::Adjusted(adjustment) => self.tell_adjusted(desired, adjustment),
            Applied::Reloaded(steps) => {
                let took = steps.served_at.saturating_duration_since(desired.wanted_at);
                self.metrics.reloads.inc();
                self.story.changes.1 += 1;
                if steps.fell_back {
                    self.metrics.failures.get_or_create(&Reason { reason: "runtime" }).inc();
                }
                self.metrics.last_apply_milliseconds.set(gauge(took.as_millis()));
                tracing::info!(
                    MESSAGE_ID = message::CONFIG_APPLIED,
                    revision = desired.revision.get(),
                    configuration = digest.as_str(),
                    upstreams = count,
                    took_ms = gauge(took.as_millis()),
                    check_ms = gauge(steps.check.as_millis()),
                    reload_ms = gauge(steps.reload.as_millis()),
                    serve_ms = gauge(steps.serve.as_millis()),
                    handover_ms = gauge(steps.handover.as_millis()),
                    "{} serves {} of {} at revision {}",
                    self.story.engine,
                    counted(count, "upstream"),
                    self.settings.app,
                    desired.revision
                );
            }
            Applied::FileRestored => {
                tracing::warn!("the configuration file had been changed by somebody else and was put back");
            }
            Applied::Already if recovered => {
                tracing::info!("{} serves what it should again", self.story.engine);
            }
            Applied::Already => {}
        }
        self.metrics.installed_revision.set(desired.revision.get());
        self.metrics.loaded_revision.set(desired.revision.get());
        self.metrics.upstreams.set(gauge(count));
        self.story.served =
            Some(Served { digest: digest.short().to_owned(), revision: desired.revision, upstreams: count });
        if desired.has_held {
            self.announcer.serve_as_before();
        } else {
            self.announcer.serve(desired.revision);
        }
    }

    /// Only servers came and went.
    fn tell_adjusted(&mut self, desired: &Desired, adjustment: Adjustment) {
        let count = desired.upstreams.len();
        let took = adjustment.served_at.saturating_duration_since(desired.wanted_at);
        self.metrics.runtime_changes.inc();
        self.metrics.last_apply_milliseconds.set(gauge(took.as_millis()));
        self.story.changes.0 += 1;
        tracing::info!(
            MESSAGE_ID = message::CONFIG_APPLIED,
            revision = desired.revision.get(),
            configuration = desired.configuration.digest().as_str(),
            upstreams = count,
            took_ms = gauge(took.as_millis()),
            commands = adjustment.changes,
            change_ms = gauge(adjustment.change.as_millis()),
            file_ms = gauge(adjustment.file.as_millis()),
            "{} serves {} of {} at revision {}, without a reload",
            self.story.engine,
            counted(count, "upstream"),
            self.settings.app,
            desired.revision
        );
    }

    /// The load balancer does not serve what it should: says so, once per reason, and tries again after a pause.
    fn fail(&mut self, reason: &'static str, message_id: &'static str, error: &str) {
        self.metrics.failures.get_or_create(&Reason { reason }).inc();
        let pause = self.backoff.next();
        self.retry_at = Some(Instant::now() + pause);
        if self.story.failure.as_deref() == Some(error) {
            tracing::debug!(error, "the load balancer still does not serve what it should");
            return;
        }
        tracing::error!(
            MESSAGE_ID = message_id,
            TARGET_UNIT = self.settings.unit(),
            revision = self.revision.get(),
            error,
            "the last good configuration of {} stays: {error}",
            self.settings.app
        );
        self.story.failure = Some(error.to_owned());
    }

    /// Takes in how the announcement stands.
    pub(crate) fn take_ownership(&mut self, status: &OwnershipStatus) {
        let address = self.announcer.address();
        let former = std::mem::take(&mut self.story.lease_error);
        match status {
            OwnershipStatus::Held { .. } => {
                if self.story.served.is_some() && (!self.ready || former.is_some()) {
                    tracing::info!(
                        MESSAGE_ID = message::REGISTERED,
                        key = self.announcer.key(),
                        address = %address,
                        "the load balancer is announced at {address}"
                    );
                }
                self.ready_once();
            }
            OwnershipStatus::Pending { error } => self.story.lease_error.clone_from(error),
            OwnershipStatus::AtRisk { error, .. } => self.story.lease_error = Some(error.clone()),
            OwnershipStatus::Lost { error } => {
                tracing::warn!(
                    key = self.announcer.key(),
                    error = %error,
                    "the announcement has run out; it comes back as soon as the store answers"
                );
                self.story.lease_error = Some(error.clone());
            }
            OwnershipStatus::Replaced { key, lease } => {
                tracing::error!(
                    MESSAGE_ID = message::REGISTRATION_REPLACED,
                    key = %key,
                    lease,
                    "another load balancer of this name has announced itself"
                );
                self.story.lease_error = Some(format!("{key} belongs to another load balancer of this name"));
                self.ready_once();
            }
        }
    }

    fn ready_once(&mut self) {
        if !self.ready && self.story.served.is_some() {
            self.ready = true;
            self.told = self.story.line();
            self.notifier.ready(&self.told);
        }
    }

    /// Tells systemd how things stand, if that has changed.
    pub(crate) fn say_status(&mut self) {
        let line = self.story.line();
        if line != self.told {
            self.notifier.status(&line);
            self.told = line;
        }
    }

    /// Withdraws, and gives the edge routers a moment before the load balancer is stopped.
    pub(crate) async fn stop(self) {
        self.notifier.stopping("withdrawing the load balancer");
        let key = self.announcer.key().to_owned();
        let announced = self.story.served.is_some();
        match self.announcer.withdraw(WITHDRAW_DEADLINE).await {
            Ok(()) if announced => {
                tracing::info!(MESSAGE_ID = message::WITHDRAWN, key, "the load balancer is withdrawn");
                tokio::time::sleep(self.settings.drain).await;
            }
            Ok(()) => {}
            Err(error) => tracing::warn!(key, %error, "not withdrawn; the announcement ends with its lease"),
        }
    }
}

/// A number for a metric or a journal field; what doesn't fit is as large as can be told.
fn gauge(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// Keeps what bootstrap needs, should nginx be started again.
fn remember(files: &StateDir, target: Target, desired: &Desired) -> Result<(), Failure> {
    let good = Good::new(desired.configuration.digest().as_str(), desired.revision.get(), &desired.upstreams);
    let record = Record { target, good: Some(good) };
    if Record::read(files)?.as_ref() != Some(&record) {
        record.write(files)?;
    }
    if files.read(&files.good_template())?.as_deref() != Some(desired.template.as_str()) {
        files.replace(&files.good_template(), &desired.template)?;
    }
    Ok(())
}
