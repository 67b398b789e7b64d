//! The loop that keeps all resources of a folder in step with the store.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use convoy_service::{Notifier, Reload, Shutdown, Watchdog};
use convoy_store::{CautiousFeed, FeedEvent, Store};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::options::Configuration;
use super::watch::changed;
use super::watcher::Watcher;

/// How often files in place are looked at when nothing happens.
const LOOK: Duration = Duration::from_secs(10);
/// Runs until a signal to stop.
pub async fn run(configuration: Configuration) -> anyhow::Result<()> {
    let mut shutdown = Shutdown::install().context("signals can't be handled")?;
    let mut hangup = Reload::install().context("signals can't be handled")?;
    let notifier = Notifier::from_env();
    let store = Store::new(configuration.store().await?)?;
    let mut watcher = Watcher::new(configuration, store, notifier.clone())?;
    watcher.metrics.serve(std::env::var_os("RUNTIME_DIRECTORY").map(PathBuf::from));
    let mut watchdog = Watchdog::start(&notifier);
    let mut tick = interval(watchdog.interval().unwrap_or(LOOK));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let period = watcher.configuration.settings.interval.unwrap_or(LOOK);
    let mut looked_at = Instant::now();
    loop {
        watchdog.beat();
        watcher.start_due();
        watcher.say();
        let due = watcher.due();
        tokio::select! {
            () = shutdown.wait() => break,
            () = hangup.wait() => {
                tracing::info!("asked to look at resources, templates and files again");
                watcher.read_again();
            }
            event = next(&mut watcher.feed) => watcher.take(&event),
            Some(attempt) = watcher.in_flight.join_next() => {
                watcher.conclude(attempt.context("the task that applies files ended")?);
            }
            change = changed(&mut watcher.disk) => watcher.disk_changed(&change),
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            () = sleep_until(looked_at + period) => {
                looked_at = Instant::now();
                watcher.look();
            }
            _ = tick.tick() => {}
        }
    }
    Box::pin(watcher.stop()).await;
    Ok(())
}

async fn next(feed: &mut Option<CautiousFeed>) -> FeedEvent {
    match feed {
        Some(feed) => feed.next().await,
        None => std::future::pending().await,
    }
}
