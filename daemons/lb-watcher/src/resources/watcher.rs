//! All resources of a folder: what is known, what is due, and what becomes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use convoy_disk_watch::{Change, DiskWatch, tree};
use convoy_service::{Notifier, message};
use convoy_store::{CautiousFeed, FeedEvent, KeyRange, OUTAGE_GRACE, Store};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::announce::Announcer;
use super::directory::{Directory, resource_folder, template_folder};
use super::memory::Memory;
use super::metrics::Metrics;
use super::options::Configuration;
use super::ranges::ranges;
use super::story;
use super::target::{Attempt, Outcome, Target, note_broken};
use crate::guarded::{GuardedKeys, HeldLog};
use crate::install::apply::Extent;

/// A store that doesn't answer by then has the lease run out by itself.
const WITHDRAW_DEADLINE: Duration = Duration::from_secs(3);
/// Commands that run when we are told to stop are given this long.
const STOP_DEADLINE: Duration = Duration::from_secs(15);

/// Fed with events, asked when something is due.
pub(super) struct Watcher {
    pub(super) configuration: Configuration,
    store: Store,
    notifier: Notifier,
    targets: BTreeMap<String, Target>,
    /// Resources that can't be used, and why.
    broken: BTreeMap<String, String>,
    /// What was warned of.
    warned: BTreeSet<String>,
    keys: GuardedKeys,
    pub(super) feed: Option<CautiousFeed>,
    followed: Vec<KeyRange>,
    store_error: Option<String>,
    pub(super) disk: DiskWatch,
    pub(super) in_flight: JoinSet<Attempt>,
    announcer: Announcer,
    pub(super) metrics: Metrics,
    ready: bool,
    told: String,
    held: HeldLog,
    held_count: usize,
    memory: Memory,
}

impl Watcher {
    pub(super) fn new(
        configuration: Configuration,
        store: Store,
        notifier: Notifier,
    ) -> anyhow::Result<Self> {
        // Without the folder there is nothing to do, and nothing to wait for.
        Directory::read(&configuration.settings.confdir, configuration.settings.prefix.as_deref())?;
        let memory = Memory::new(&configuration.surroundings());
        let mut watcher = Self {
            keys: GuardedKeys::new(configuration.limits, memory.read()),
            memory,
            announcer: Announcer::new(&store, &configuration),
            store,
            notifier,
            targets: BTreeMap::new(),
            broken: BTreeMap::new(),
            warned: BTreeSet::new(),
            feed: None,
            followed: Vec::new(),
            store_error: None,
            disk: DiskWatch::new(),
            in_flight: JoinSet::new(),
            metrics: Metrics::default(),
            ready: false,
            told: String::new(),
            held: HeldLog::default(),
            held_count: 0,
            configuration,
        };
        watcher.read_again();
        Ok(watcher)
    }

    /// Reads resources and templates again. Those that are written as before go on as they are.
    pub(super) fn read_again(&mut self) {
        let settings = &self.configuration.settings;
        let directory = match Directory::read(&settings.confdir, settings.prefix.as_deref()) {
            Ok(directory) => directory,
            Err(error) => {
                tracing::error!(%error, "the resources known so far are kept: {error}");
                return;
            }
        };
        for warning in directory.warnings.iter().map(ToString::to_string) {
            if self.warned.insert(warning.clone()) {
                tracing::warn!("{warning}");
            }
        }
        self.note_broken(&directory.broken);
        let mut former = std::mem::take(&mut self.targets);
        for (resource, text) in directory.resources {
            let name = resource.name.clone();
            let target = match former.remove(&name) {
                Some(mut target) if target.is_written_as(&text) || target.is_busy() => {
                    // One whose files are under way is taken up anew when they are where they belong.
                    target.make_anew();
                    target
                }
                _ => {
                    let mut target = Target::new(resource, text, self.configuration.surroundings());
                    target.make_anew();
                    target
                }
            };
            self.targets.insert(name, target);
        }
        // A resource that is broken now was good before: its files stay as they are.
        for (name, target) in former {
            if self.broken.contains_key(&name) || target.is_busy() {
                self.targets.insert(name, target);
            } else {
                tracing::info!(TARGET = name, "{name} is gone; its files stay as they are");
            }
        }
        self.follow();
        self.watch_disk();
        self.metrics.forget_all_but(self.targets.keys());
    }

    fn note_broken(&mut self, broken: &BTreeMap<String, String>) {
        for (name, why) in broken {
            if self.broken.get(name) != Some(why) {
                tracing::error!(
                    MESSAGE_ID = message::CONFIG_REJECTED,
                    TARGET = name,
                    error = why,
                    "{name} can't be used, what it made stays: {why}"
                );
                note_broken(&self.configuration.surroundings(), name, why);
            }
        }
        self.broken.clone_from(broken);
    }

    /// Follows the keys that are needed now.
    fn follow(&mut self) {
        let wanted = ranges(self.targets.values().map(Target::resource));
        if wanted == self.followed {
            return;
        }
        self.feed =
            (!wanted.is_empty()).then(|| self.store.follow_ranges(wanted.clone()).cautious(OUTAGE_GRACE));
        self.followed = wanted;
    }

    fn watch_disk(&mut self) {
        let confdir = &self.configuration.settings.confdir;
        let mut folders = tree(&resource_folder(confdir));
        folders.extend(tree(&template_folder(confdir)));
        let places = self.targets.values().flat_map(|target| {
            let files = target.resource().files.iter();
            files.filter_map(|file| Some(PathBuf::from(file.destination(None).ok()?).parent()?.to_owned()))
        });
        folders.extend(places.filter(|folder| !folder.as_os_str().is_empty()));
        self.disk.set(&folders);
    }

    pub(super) fn disk_changed(&mut self, change: &Change) {
        let confdir = &self.configuration.settings.confdir;
        let sources = [resource_folder(confdir), template_folder(confdir)];
        let (source, place) = match change {
            Change::In { folder, .. } => {
                let source = sources.iter().any(|source| folder.starts_with(source));
                (source, !source)
            }
            Change::Anything => (true, true),
        };
        if source {
            self.read_again();
        }
        if place {
            self.targets.values_mut().for_each(Target::look);
        }
    }

    /// Compares everything with what it should be, though nothing is known to have changed.
    pub(super) fn look(&mut self) {
        // Whoever set an interval wants files made anew by the clock, as confd does.
        let anew = self.configuration.settings.interval.is_some();
        for target in self.targets.values_mut().filter(|target| target.standing().problem.is_none()) {
            if anew { target.make_anew() } else { target.look() }
        }
        self.watch_disk();
        self.remember();
    }

    /// Keeps which upstreams are served, for a start that finds fewer.
    fn remember(&mut self) {
        if self.can_start() && self.configuration.settings.extent != Extent::Nothing {
            self.memory.keep(self.keys.upstreams());
        }
    }

    /// Takes in news from the store.
    pub(super) fn take(&mut self, event: &FeedEvent) {
        if let FeedEvent::Stale { error } = event {
            self.keys.apply(event);
            self.metrics.store_up.set(0);
            tracing::warn!(
                MESSAGE_ID = message::STORE_UNREACHABLE,
                error,
                "the store can't be reached; all files stay as they are"
            );
            self.store_error = Some(error.clone());
            return;
        }
        let heard = self.keys.apply(event);
        self.metrics.store_up.set(1);
        if self.store_error.take().is_some() {
            let revision = self.keys.revision().get();
            tracing::info!(MESSAGE_ID = message::STORE_BACK, revision, "the store answers again");
        }
        match event {
            FeedEvent::Listed(_) if heard.changed => {
                self.targets.values_mut().for_each(Target::note_change);
            }
            FeedEvent::Changed { changes, .. } => {
                for target in self.targets.values_mut() {
                    let is_concerned = |key: &str| target.resource().needs(key);
                    // An owner that let go sets free what was held.
                    if heard.said || changes.iter().any(|change| is_concerned(change.key())) {
                        target.note_change();
                    }
                }
            }
            _ => {}
        }
    }

    /// When something is due next.
    pub(super) fn due(&self) -> Option<Instant> {
        if !self.can_start() {
            return None;
        }
        let held = self.keys.due();
        self.targets.values().filter_map(Target::due).chain(held).min()
    }

    /// Files are made of what is known; before the store was read nothing is, unless nothing is asked of it.
    fn can_start(&self) -> bool {
        self.keys.has_listed() || self.followed.is_empty()
    }

    /// Begins what is due.
    pub(super) fn start_due(&mut self) {
        if !self.can_start() {
            return;
        }
        let now = Instant::now();
        if self.keys.due().is_some_and(|due| due <= now) {
            self.targets.values_mut().for_each(Target::note_change);
        }
        if !self.targets.values().any(|target| target.due().is_some_and(|due| due <= now)) {
            return;
        }
        let view = self.keys.view(now);
        self.held_count = self.held.update(&self.keys);
        self.metrics.held.set(i64::try_from(self.held_count).unwrap_or(i64::MAX));
        let revision = self.keys.revision();
        for (name, target) in &mut self.targets {
            if target.due().is_none_or(|due| due > now) {
                continue;
            }
            let mut keys = view.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
            match target.start(&mut keys, (revision, self.held_count > 0)) {
                Ok(work) => drop(self.in_flight.spawn(work)),
                Err(outcome) => self.metrics.count(name, outcome, target.standing()),
            }
        }
    }

    /// Takes in how an application ended.
    pub(super) fn conclude(&mut self, attempt: Attempt) {
        let name = attempt.name.clone();
        let Some(target) = self.targets.get_mut(&name) else { return };
        let outcome = target.conclude(attempt);
        self.metrics.count(&name, outcome, target.standing());
        if outcome != Outcome::Unchanged || !self.ready {
            self.announcer.serve(self.targets.values());
        }
        // What was written anew while files were under way.
        let settings = &self.configuration.settings;
        let path = resource_folder(&settings.confdir).join(&name);
        let is_current = std::fs::read_to_string(path)
            .is_ok_and(|text| self.targets.get(&name).is_some_and(|target| target.is_written_as(&text)));
        if !is_current && !self.broken.contains_key(&name) {
            self.read_again();
        }
    }

    /// Tells systemd how things stand, if that has changed.
    pub(super) fn say(&mut self) {
        let line = story::line(
            &self.targets,
            &self.broken,
            self.can_start(),
            self.store_error.as_deref(),
            self.held_count,
        );
        // Each resource has had its try; one that is broken must not keep the others from counting as served.
        if !self.ready && self.can_start() && self.targets.values().all(|target| target.standing().is_decided)
        {
            self.ready = true;
            self.notifier.ready(&line);
        } else if line != self.told {
            self.notifier.status(&line);
        }
        self.told = line;
    }

    /// Lets commands that run come to their end, and withdraws what is announced.
    pub(super) async fn stop(mut self) {
        self.notifier.stopping("waiting for checks and reloads that run");
        self.remember();
        let limit = Instant::now() + STOP_DEADLINE;
        loop {
            tokio::select! {
                ended = self.in_flight.join_next() => match ended {
                    Some(Ok(attempt)) => self.conclude(attempt),
                    Some(Err(error)) => tracing::warn!(%error, "a task ended badly"),
                    None => break,
                },
                () = sleep_until(limit) => {
                    tracing::warn!("a check or a reload did not end in time; it is begun again at the next start");
                    break;
                }
            }
        }
        self.announcer.withdraw(WITHDRAW_DEADLINE).await;
    }
}
