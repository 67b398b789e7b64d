//! The daemon's loop.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use convoy_certificates::server_config;
use convoy_config::ConfigError;
use convoy_keys::AppName;
use convoy_proxy::{Drained, Listener, Proxy, Tls};
use convoy_routing::{Conflict, Table};
use convoy_service::{Notifier, Shutdown, Watchdog, message};
use convoy_store::FeedEvent;
use futures_util::FutureExt;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::access_log::Logs;
use crate::acknowledge::Acknowledgement;
use crate::certificates::CertificateStore;
use crate::changes::{Change, Changes};
use crate::files;
use crate::follower::{Follower, Source};
use crate::imports::Imports;
use crate::metrics::{self, Gauges};
use crate::report;
use crate::saved::Saved;
use crate::settings::Settings;
use crate::sockets::{Kind, Named};
use crate::status_page::{self, Facts, Sources};

/// How long the store may take at the start before an earlier run's table is used.
const FIRST_LISTING: Duration = Duration::from_secs(2);
/// How often the loop comes by when nothing happens.
const TICK: Duration = Duration::from_secs(1);
/// How often the status is renewed when only the number of connections changed.
const STATUS_EVERY: Duration = Duration::from_secs(5);
/// And at most, when routes change quickly: each time systemd tells its own listeners.
const STATUS_PAUSE: Duration = Duration::from_millis(250);
/// How often it is said that entries of the access log were dropped.
const DROPPED_EVERY: Duration = Duration::from_secs(10);
/// A worker that gave no sign of life for so long hangs.
const WORKER_SILENCE: Duration = Duration::from_secs(10);
/// How long an app without targets stays known.
const REMEMBER_EMPTY: Duration = Duration::from_secs(3600);
/// Events taken in a row before the table is published. There is no other delay.
const EVENTS_AT_ONCE: usize = 1000;
/// More than a drain and the end of everything else can take together.
const DRAIN_MARGIN: Duration = Duration::from_secs(10);

/// Runs until a signal to stop.
pub async fn run(mut settings: Settings, sockets: Vec<Named>) -> anyhow::Result<()> {
    bound_connections(&mut settings);
    let mut shutdown = Shutdown::install().context("signals can't be handled")?;
    let notifier = Notifier::from_env();
    let mut follower = Follower::new(
        CertificateStore::new(certificates_folder(&settings, &sockets)),
        Imports::new(settings.imports.clone()),
    );
    let (mut changes, acknowledgement) = if let Some(path) = &settings.routes {
        let (changes, file) = Changes::of_file(path)?;
        follower.take_file(file, unix_time());
        (changes, None)
    } else {
        let (changes, store) = Changes::of_store(&settings.imports)?;
        (changes, Some(Acknowledgement::new(&store, settings.consumer.clone())))
    };
    if settings.routes.is_none() && settings.domains.is_empty() {
        tracing::warn!(
            "no domains are set, so apps are found by their bare names only; set [edge-router] domains"
        );
    }
    if let Changes::Store(_) = &changes {
        notifier.status("waiting for the store");
    }
    tokio::select! {
        () = shutdown.wait() => return Ok(()),
        () = first_table(&mut follower, &mut changes, &settings, &notifier) => {}
    }
    look_at_certificates(&mut follower);
    let listeners = listeners(&mut settings, sockets, &follower.certificates)?;

    let gauges = Arc::new(Gauges::default());
    let (logs, log_writer) =
        Logs::start(settings.access_log, settings.access_log_every, Arc::clone(&gauges.log_dropped))
            .context("the access log can't be started")?;
    let table = Table::empty(Arc::clone(&settings.domains)).next(&follower.routes, follower.revision);
    let proxy = Proxy::start(listeners, table, settings.proxy.clone(), move || logs.log())
        .context("the workers can't be started")?;
    let facts = Arc::new(Mutex::new(Facts::default()));
    if let Some(folder) = &settings.runtime_dir {
        metrics::serve(folder, proxy.metrics(), Arc::clone(&gauges), follower.certificates.resolver());
        let sources = Sources { facts: Arc::clone(&facts), table: proxy.reader(), metrics: proxy.metrics() };
        status_page::serve(folder, sources);
    }
    let mut router = Router {
        follower,
        proxy,
        gauges,
        settings,
        notifier,
        unsaved: true,
        saving: None,
        dropped: (0, Instant::now()),
        untold: false,
        told: None,
        conflicts: BTreeSet::new(),
        acknowledgement,
        facts,
    };
    router.begin();
    router.work(&mut changes, &mut shutdown).await;
    drop(changes);
    router.end().await;
    if let Some(writer) = log_writer
        && writer.join().is_err()
    {
        tracing::error!("the thread of the access log ended by a panic");
    }
    Ok(())
}

/// Where certificates are, if anybody asks for them: without a door for TLS a folder may hold what it likes.
fn certificates_folder(settings: &Settings, sockets: &[Named]) -> Option<PathBuf> {
    let has_tls = sockets.iter().any(|socket| Kind::of(&socket.name) == Some(Kind::Https));
    settings.certificates.clone().filter(|_| has_tls)
}

/// The sockets with what is spoken on them.
fn listeners(
    settings: &mut Settings,
    sockets: Vec<Named>,
    certificates: &CertificateStore,
) -> anyhow::Result<Vec<Listener>> {
    let mut listeners = Vec::with_capacity(sockets.len());
    for Named { name, socket } in sockets {
        let proxy_protocol = settings.proxy_protocol.contains(&name);
        let tls = match Kind::of(&name) {
            Some(Kind::Https) => {
                settings.proxy.https_port = settings.proxy.https_port.or(socket.port());
                Some(tls(settings, &name, certificates)?)
            }
            Some(Kind::Http) | None => None,
        };
        listeners.push(Listener { socket, tls, proxy_protocol });
    }
    Ok(listeners)
}

fn tls(settings: &Settings, socket: &str, certificates: &CertificateStore) -> anyhow::Result<Tls> {
    if settings.certificates.is_none() && settings.routes.is_some() {
        let problem = format!(
            "the socket {socket} is for TLS and there are no certificates; give --certificates FOLDER"
        );
        return Err(ConfigError::value("sockets", problem).into());
    }
    let resolver = certificates.resolver();
    if resolver.certificates().count() == 0 {
        tracing::warn!(SOCKET = socket, "there are no certificates yet, so nobody can connect with TLS");
    }
    let config = server_config(Arc::clone(&resolver)).context("TLS can't be set up")?;
    let covers = move |opened: &str, host: &str| resolver.certificates().covers(opened, host);
    Ok(Tls { config: Arc::new(config), covers: Arc::new(covers) })
}

/// Serves certificates that changed, and tells those that can't be served.
fn look_at_certificates(follower: &mut Follower) {
    for (path, error) in follower.certificates.refresh() {
        tracing::warn!(
            MESSAGE_ID = message::VALUE_SKIPPED,
            error = %error,
            path = %path.display(),
            "the certificate {} is unusable and is skipped: {error}",
            path.display()
        );
    }
}

/// More connections than there is room for would end in failures that a limit answers with 503.
fn bound_connections(settings: &mut Settings) {
    let (room, limit) = (files::room_for_clients(), &mut settings.proxy.max_connections);
    if room < *limit && settings.max_connections_given {
        tracing::warn!(
            MAX_CONNECTIONS = *limit,
            ROOM = room,
            "fewer files may be open than max_connections needs; raise LimitNOFILE= or lower it to {room}"
        );
    }
    *limit = room.min(*limit);
}

/// Waits for the store, and takes the table of an earlier run when it doesn't answer.
async fn first_table(
    follower: &mut Follower,
    changes: &mut Changes,
    settings: &Settings,
    notifier: &Notifier,
) {
    let deadline = Instant::now() + FIRST_LISTING;
    let mut saved = settings.state_dir.as_deref().and_then(|folder| match Saved::read(folder) {
        Ok(saved) => saved,
        Err(error) => {
            tracing::warn!(%error, path = %folder.display(), "the table of an earlier run is of no use");
            None
        }
    });
    while follower.source == Source::Nothing {
        let left = deadline.saturating_duration_since(Instant::now());
        let event = match &saved {
            Some(_) => timeout(left, changes.next()).await.ok(),
            None => Some(changes.next().await),
        };
        let is_away = match event {
            Some(change) => {
                let is_away = matches!(change, Change::Store(FeedEvent::Stale { .. }));
                take(follower, change, unix_time());
                is_away
            }
            None => true,
        };
        if is_away && follower.source == Source::Nothing {
            if let Some(saved) = saved.take() {
                follower.adopt(&saved);
                tracing::warn!(
                    REVISION = follower.revision,
                    SAVED_AT = saved.time,
                    "the store does not answer; requests are routed by the table of an earlier run"
                );
            } else if let Some((_, error)) = follower.away() {
                notifier.status(&format!("waiting for the store: {error}"));
            }
        }
    }
}

fn take(follower: &mut Follower, change: Change, now: u64) -> BTreeSet<AppName> {
    match change {
        Change::Store(event) => follower.take(&event, now),
        Change::File(Ok(file)) => follower.take_file(file, now),
        Change::File(Err(error)) => {
            tracing::warn!(error, "the routes file is of no use; requests are routed as before");
            BTreeSet::new()
        }
    }
}

struct Router {
    follower: Follower,
    proxy: Proxy,
    gauges: Arc<Gauges>,
    settings: Settings,
    notifier: Notifier,
    /// The table on disk is not the one that is served.
    unsaved: bool,
    saving: Option<JoinHandle<()>>,
    /// Entries of the access log that were reported as dropped, and when.
    dropped: (u64, Instant),
    /// Something changed since the status was told.
    untold: bool,
    told: Option<(Instant, String)>,
    /// Those that were told.
    conflicts: BTreeSet<Conflict>,
    acknowledgement: Option<Acknowledgement>,
    facts: Arc<Mutex<Facts>>,
}

impl Router {
    fn begin(&mut self) {
        self.tell_conflicts();
        tracing::info!(
            SERVICES = self.follower.routes.service_count(),
            TARGETS = self.follower.routes.target_count(),
            REVISION = self.follower.revision,
            "requests are routed from now on"
        );
        let status = self.status();
        self.notifier.ready(&status);
        self.told = Some((Instant::now(), status));
        self.acknowledge_all();
        self.renew_facts(true);
        self.look();
    }

    /// Says for every app which revision is served. Not for what comes from the disk: that may be long out of date.
    fn acknowledge_all(&mut self) {
        let table = self.proxy.table();
        let apps = table.services().iter().map(|service| service.app().clone()).collect();
        self.acknowledge(&apps);
    }

    fn acknowledge(&mut self, apps: &BTreeSet<AppName>) {
        if let Some(acknowledgement) = &mut self.acknowledgement
            && self.follower.source == Source::Store
        {
            let table = self.proxy.table();
            acknowledgement.serve(apps, self.follower.revision, |app| table.service(app).is_some());
        }
    }

    async fn work(&mut self, changes: &mut Changes, shutdown: &mut Shutdown) {
        let mut watchdog = Watchdog::start(&self.notifier);
        let mut tick = interval(watchdog.interval().map_or(TICK, |limit| limit.min(TICK)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.proxy.is_alive(WORKER_SILENCE) {
                watchdog.beat();
            }
            tokio::select! {
                biased;
                () = shutdown.wait() => return,
                change = changes.next() => self.follow(change, changes),
                _ = tick.tick() => self.look(),
            }
        }
    }

    /// Takes the change and all others that are there, then publishes one table for them.
    fn follow(&mut self, change: Change, changes: &mut Changes) {
        let now = unix_time();
        let source = self.follower.source;
        let mut apps = take(&mut self.follower, change, now);
        for _ in 0..EVENTS_AT_ONCE {
            let Some(change) = changes.next().now_or_never() else { break };
            apps.extend(take(&mut self.follower, change, now));
        }
        look_at_certificates(&mut self.follower);
        self.publish(&apps);
        if self.follower.source == source {
            self.acknowledge(&apps);
        } else {
            self.acknowledge_all();
        }
        self.tell_status(true);
    }

    fn publish(&mut self, changed: &BTreeSet<AppName>) {
        if !changed.is_empty() {
            let table = self.proxy.table().next(&self.follower.routes, self.follower.revision);
            self.proxy.publish(table);
            self.unsaved = true;
            self.follower.tell(changed);
            self.tell_conflicts();
        }
    }

    /// Two apps that want the same requests: one of them will wonder.
    fn tell_conflicts(&mut self) {
        let conflicts: BTreeSet<_> = self.proxy.table().conflicts().collect();
        for conflict in conflicts.difference(&self.conflicts) {
            tracing::warn!(ROUTE = conflict.loser.as_str(), HOST = %conflict.host, "{conflict}");
        }
        self.conflicts = conflicts;
    }

    fn look(&mut self) {
        let now = unix_time();
        if self.follower.routes.forget_empty(now.saturating_sub(REMEMBER_EMPTY.as_secs())) {
            let table = self.proxy.table().next(&self.follower.routes, self.follower.revision);
            self.proxy.publish(table);
        }
        self.tell_dropped();
        look_at_certificates(&mut self.follower);
        // What comes from the store is kept; what comes from the file is there already.
        if self.unsaved && self.follower.source == Source::Store {
            self.save(now);
        }
        self.tell_status(false);
    }

    /// The disk may take its time; nobody waits for it. The next table is written when this one is.
    fn save(&mut self, now: u64) {
        let Some(folder) = self.settings.state_dir.clone() else { return };
        if self.saving.as_ref().is_some_and(|saving| !saving.is_finished()) {
            return;
        }
        self.unsaved = false;
        let saved = Saved::of(
            &self.follower.routes,
            &self.follower.certificates,
            &self.follower.imports,
            self.follower.revision,
            now,
        );
        self.saving = Some(tokio::task::spawn_blocking(move || write(&saved, &folder)));
    }

    fn tell_dropped(&mut self) {
        let (told, at) = self.dropped;
        let dropped = self.gauges.log_dropped.load(Relaxed);
        if dropped > told && at.elapsed() >= DROPPED_EVERY {
            tracing::warn!(
                DROPPED = dropped - told,
                "the journal does not keep up; entries of the access log were dropped"
            );
            self.dropped = (dropped, Instant::now());
        }
    }

    fn status(&self) -> String {
        report::status(&self.follower, self.proxy.open_connections(), unix_time())
    }

    fn tell_status(&mut self, changed: bool) {
        let (routes, gauges) = (&self.follower.routes, &self.gauges);
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        gauges.services.store(number(routes.service_count()), Relaxed);
        gauges.targets.store(number(routes.target_count()), Relaxed);
        gauges.revision.store(self.follower.revision, Relaxed);
        gauges.store_up.store(i64::from(self.follower.away().is_none()), Relaxed);
        gauges.connections.store(number(self.proxy.open_connections()), Relaxed);
        gauges.skipped.store(routes.skipped(), Relaxed);
        self.untold |= changed;
        self.renew_facts(changed);
        let pause = if self.untold { STATUS_PAUSE } else { STATUS_EVERY };
        if self.told.as_ref().is_none_or(|(at, _)| at.elapsed() >= pause) {
            self.untold = false;
            let status = self.status();
            if self.told.as_ref().is_none_or(|(_, told)| *told != status) {
                self.notifier.status(&status);
            }
            self.told = Some((Instant::now(), status));
        }
    }

    /// Finishes what is open, and tells all the while what that is.
    async fn drain(&self) -> Drained {
        let mut drained = pin!(self.proxy.drain(self.settings.drain));
        let mut tick = interval(TICK);
        tick.tick().await;
        loop {
            tokio::select! {
                drained = &mut drained => return drained,
                _ = tick.tick() => {
                    let open = self.proxy.open_connections();
                    self.notifier.status(&format!("finishing {open} connections; new ones wait at the socket"));
                }
            }
        }
    }

    /// What the page shows.
    fn renew_facts(&self, changed: bool) {
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        facts.status = self.status();
        if changed || self.told.is_none() {
            let unusable = self.follower.routes.unusable();
            facts.unusable = unusable.map(|(key, reason)| (key.to_owned(), reason.to_owned())).collect();
        }
    }

    async fn end(mut self) {
        let open = self.proxy.open_connections();
        self.notifier.stopping(&format!("finishing {open} connections; new ones wait at the socket"));
        self.notifier.extend_timeout(self.settings.drain.old + self.settings.drain.last + DRAIN_MARGIN);
        tracing::info!(CONNECTIONS = open, "stopping; open requests are finished");
        if let Some(acknowledgement) = self.acknowledgement.take() {
            acknowledgement.release().await;
        }
        let drained = self.drain().await;
        if let Some(saving) = self.saving.take()
            && saving.await.is_err()
        {
            tracing::error!("the task that saves the table ended by a panic");
        }
        if let Some(folder) = &self.settings.state_dir
            && self.unsaved
            && self.follower.source == Source::Store
        {
            write(
                &Saved::of(
                    &self.follower.routes,
                    &self.follower.certificates,
                    &self.follower.imports,
                    self.follower.revision,
                    unix_time(),
                ),
                folder,
            );
        }
        let took = u64::try_from(drained.took.as_millis()).unwrap_or(u64::MAX);
        if drained.cut > 0 {
            tracing::warn!(CUT = drained.cut, TOOK_MS = took, "stopped; some connections were cut");
        } else {
            tracing::info!(TOOK_MS = took, "stopped; no request was lost");
        }
    }
}

fn write(saved: &Saved, folder: &Path) {
    if let Err(error) = saved.write(folder) {
        tracing::warn!(%error, path = %folder.display(), "the table can't be saved");
    }
}

pub(crate) fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
