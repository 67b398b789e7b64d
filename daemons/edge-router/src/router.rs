//! The loop: follows changes, publishes tables, tells how things stand.

use std::collections::BTreeSet;
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use convoy_acme::Certificates;
use convoy_keys::AppName;
use convoy_proxy::{Drained, Proxy};
use convoy_routing::{Conflict, Table};
use convoy_service::{Notifier, Shutdown, Watchdog};
use futures_util::FutureExt;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::acknowledge::Acknowledgement;
use crate::certificates;
use crate::changes::{Change, Changes};
use crate::follower::{Follower, Source};
use crate::metrics::Gauges;
use crate::report;
use crate::run::{take, unix_time};
use crate::saved::Saved;
use crate::settings::Settings;
use crate::status_page::Facts;

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
/// How long another edge may take to be told that it orders from now on.
const HAND_OVER: Duration = Duration::from_secs(2);

pub(crate) struct Router {
    pub(crate) follower: Follower,
    pub(crate) proxy: Proxy,
    pub(crate) certificates: Certificates,
    pub(crate) gauges: Arc<Gauges>,
    pub(crate) settings: Settings,
    pub(crate) notifier: Notifier,
    /// The table on disk is not the one that is served.
    pub(crate) unsaved: bool,
    pub(crate) saving: Option<JoinHandle<()>>,
    /// Entries of the access log that were reported as dropped, and when.
    pub(crate) dropped: (u64, Instant),
    /// Something changed since the status was told.
    pub(crate) untold: bool,
    pub(crate) told: Option<(Instant, String)>,
    /// Those that were told.
    pub(crate) conflicts: BTreeSet<Conflict>,
    pub(crate) acknowledgement: Option<Acknowledgement>,
    pub(crate) facts: Arc<Mutex<Facts>>,
}

impl Router {
    pub(crate) fn begin(&mut self) {
        self.tell_conflicts();
        self.want_certificates(&self.proxy.table());
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

    pub(crate) async fn work(&mut self, changes: &mut Changes, shutdown: &mut Shutdown) {
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
            self.publish_table();
            self.unsaved = true;
            self.follower.tell(changed);
            self.tell_conflicts();
        }
    }

    fn publish_table(&self) {
        let former = self.proxy.table();
        let table = former.next(&self.follower.routes, self.follower.revision);
        let has_other_hosts = !table.has_hosts_of(&former);
        self.proxy.publish(table);
        if has_other_hosts {
            self.want_certificates(&self.proxy.table());
        }
    }

    /// A copy of all names, so only for orders.
    fn want_certificates(&self, table: &Table) {
        if self.certificates.has_orders() {
            self.certificates.want(certificates::wanted(table));
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
            self.publish_table();
        }
        self.tell_dropped();
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
        let saved = Saved::of(&self.follower.routes, &self.follower.imports, self.follower.revision, now);
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

    pub(crate) async fn end(mut self) {
        let open = self.proxy.open_connections();
        self.notifier.stopping(&format!("finishing {open} connections; new ones wait at the socket"));
        self.notifier.extend_timeout(self.settings.drain.old + self.settings.drain.last + DRAIN_MARGIN);
        tracing::info!(CONNECTIONS = open, "stopping; open requests are finished");
        if let Some(acknowledgement) = self.acknowledgement.take() {
            acknowledgement.release().await;
        }
        let drained = self.drain().await;
        // Up to here this edge answered an authority like all others.
        self.certificates.stop(HAND_OVER).await;
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
