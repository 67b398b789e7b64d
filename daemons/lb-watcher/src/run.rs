//! The daemon's loop.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use convoy_config::{SearchPath, etcd_inputs};
use convoy_keys::{instances_prefix, upstream_prefix};
use convoy_service::{Notifier, Reload, Shutdown, Watchdog};
use convoy_store::{CautiousFeed, OUTAGE_GRACE, Store, StoreSettings};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::bootstrap::bootstrap;
use crate::record::Record;
use crate::settings::Settings;
use crate::watcher::Watcher;

/// How often file, template and nginx are looked at when nothing happens.
const LOOK: Duration = Duration::from_secs(10);

/// Runs until a signal to stop.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    let mut shutdown = Shutdown::install().context("signals can't be handled")?;
    let mut hangup = Reload::install().context("signals can't be handled")?;
    let notifier = Notifier::from_env();
    let record = match Record::read(&settings.files)? {
        Some(record) => record,
        // Without a unit nobody has called it before.
        None => bootstrap(&settings).await?,
    };
    let store = Store::new(StoreSettings::try_from(etcd_inputs(&SearchPath::system())?)?)?;
    let (upstreams, owners) = (upstream_prefix(&settings.app), instances_prefix(&settings.app));
    let mut feed = store.follow(&[&upstreams, &owners]).cautious(OUTAGE_GRACE);
    let mut watcher = Watcher::new(settings, record, &store, notifier.clone())?;
    watcher.serve_metrics(std::env::var_os("RUNTIME_DIRECTORY").map(PathBuf::from));
    let worked = work(&mut watcher, &notifier, &mut feed, &mut shutdown, &mut hangup).await;
    drop(feed);
    watcher.stop().await;
    worked
}

async fn work(
    watcher: &mut Watcher,
    notifier: &Notifier,
    feed: &mut CautiousFeed,
    shutdown: &mut Shutdown,
    hangup: &mut Reload,
) -> anyhow::Result<()> {
    let mut watchdog = Watchdog::start(notifier);
    let mut tick = interval(watchdog.interval().unwrap_or(LOOK));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ownership = watcher.ownership();
    let mut looked_at = Instant::now();
    loop {
        watchdog.beat();
        watcher.say_status();
        let due = watcher.due();
        tokio::select! {
            () = shutdown.wait() => return Ok(()),
            () = hangup.wait() => {
                tracing::info!("asked to look at template and nginx again");
                watcher.look();
            }
            event = feed.next() => watcher.take(&event),
            attempt = watcher.attempt() => {
                watcher.conclude(attempt.context("the task that applies configurations ended")?);
                looked_at = Instant::now();
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => watcher.start(),
            Ok(()) = ownership.changed() => {
                let status = ownership.borrow_and_update().clone();
                watcher.take_ownership(&status);
            }
            // Somebody may have edited the file, or reloaded nginx with another one. A failure has its own pace.
            () = sleep_until(looked_at + LOOK), if !watcher.has_failed() => {
                watcher.look();
                looked_at = Instant::now();
            }
            _ = tick.tick() => {}
        }
    }
}
