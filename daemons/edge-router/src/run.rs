//! The daemon's life: start, loop, end.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use convoy_acme::Certificates;
use convoy_keys::AppName;
use convoy_proxy::Proxy;
use convoy_routing::Table;
use convoy_service::{Notifier, Shutdown};
use convoy_store::FeedEvent;
use tokio::time::{Instant, timeout};

use crate::access_log::Logs;
use crate::acknowledge::Acknowledgement;
use crate::changes::{Change, Changes};
use crate::doors::{certificates_folder, listeners};
use crate::follower::{Follower, Source};
use crate::imports::Imports;
use crate::metrics::{self, Counted, Gauges};
use crate::router::Router;
use crate::saved::Saved;
use crate::settings::Settings;
use crate::sockets::Named;
use crate::status_page::{self, Facts, Sources};
use crate::{certificates, files, orders};

/// How long the store may take at the start before an earlier run's table is used.
const FIRST_LISTING: Duration = Duration::from_secs(2);

/// Runs until a signal to stop.
pub async fn run(mut settings: Settings, sockets: Vec<Named>) -> anyhow::Result<()> {
    bound_connections(&mut settings);
    let mut shutdown = Shutdown::install().context("signals can't be handled")?;
    let notifier = Notifier::from_env();
    let mut follower = Follower::new(Imports::new(settings.imports.clone()));
    let (mut changes, store) = if let Some(path) = &settings.routes {
        let (changes, file) = Changes::of_file(path)?;
        follower.take_file(file, unix_time());
        (changes, None)
    } else {
        let (changes, store) = Changes::of_store(&settings.imports)?;
        (changes, Some(store))
    };
    let acknowledgement = store.as_ref().map(|store| Acknowledgement::new(store, settings.consumer.clone()));
    let own = certificates::settings(&settings, certificates_folder(&settings, &sockets))?;
    let certificates = Certificates::start(own, store).map_err(|error| orders::with_key(&error))?;
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
    if settings.routes.is_none() {
        tokio::select! {
            () = shutdown.wait() => return Ok(()),
            () = first_certificates(&certificates) => {}
        }
    }
    let listeners = listeners(&mut settings, sockets, &certificates)?;

    let gauges = Arc::new(Gauges::default());
    let (logs, log_writer) =
        Logs::start(settings.access_log, settings.access_log_every, Arc::clone(&gauges.log_dropped))
            .context("the access log can't be started")?;
    let table = Table::empty(Arc::clone(&settings.domains)).next(&follower.routes, follower.revision);
    let proxy = Proxy::start(listeners, table, settings.proxy.clone(), move || logs.log())
        .context("the workers can't be started")?;
    let facts = Arc::new(Mutex::new(Facts::default()));
    if let Some(folder) = &settings.runtime_dir {
        let counted = Counted {
            resolver: certificates.resolver(),
            orders: certificates.metrics(),
            status: certificates.status(),
        };
        metrics::serve(folder, proxy.metrics(), Arc::clone(&gauges), counted);
        let sources = Sources {
            facts: Arc::clone(&facts),
            table: proxy.reader(),
            metrics: proxy.metrics(),
            certificates: certificates.status(),
        };
        status_page::serve(folder, sources);
    }
    let mut router = Router {
        follower,
        proxy,
        certificates,
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

/// Waits for the certificates that the store has, as long as for its routes: who connects first is not to be shown none.
async fn first_certificates(certificates: &Certificates) {
    let mut status = certificates.status();
    let known = status.wait_for(|status| status.is_listed || status.store_error.is_some());
    // Without an answer those of an earlier run are served, and the status tells.
    let _ = timeout(FIRST_LISTING, known).await;
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

pub(crate) fn take(follower: &mut Follower, change: Change, now: u64) -> BTreeSet<AppName> {
    match change {
        Change::Store(event) => follower.take(&event, now),
        Change::File(Ok(file)) => follower.take_file(file, now),
        Change::File(Err(error)) => {
            tracing::warn!(error, "the routes file is of no use; requests are routed as before");
            BTreeSet::new()
        }
    }
}

pub(crate) fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
