//! The daemon's loop: take part in the election, and lead when it is won.

use std::future::Future;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use convoy_keys::{LEADER, LeaderRecord, Record};
use convoy_service::{Notifier, Watchdog};
use convoy_store::{Election, ElectionStatus, Entry, LeaseSettings, Store};
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use crate::lead::{Lead, leader_changed};
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::story;

/// A store that doesn't answer by then has the leadership run out by itself.
const RESIGN: Duration = Duration::from_secs(3);
/// How often the loop comes by when nothing happens and nobody watches.
const TICK: Duration = Duration::from_secs(30);

/// What the world is told about the daemon.
struct Front {
    notifier: Notifier,
    ready: bool,
    told: String,
}

impl Front {
    /// Tells systemd how things stand, if that has changed.
    fn say(&mut self, line: String) {
        if line != self.told {
            if self.ready {
                self.notifier.status(&line);
            }
            self.told = line;
        }
    }

    fn ready(&mut self) {
        if !self.ready {
            self.ready = true;
            self.notifier.ready(&self.told);
        }
    }
}

/// Runs until `shutdown` is over. A leader that stops makes room at once.
pub async fn run(
    settings: Settings,
    store: Store,
    notifier: Notifier,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let metrics = Metrics::default();
    if let Some(folder) = &settings.runtime_dir {
        metrics.serve(folder);
    }
    let election = campaign(&settings, &store);
    let mut front = Front { notifier: notifier.clone(), ready: false, told: String::new() };
    tokio::select! {
        () = shutdown => {}
        () = work(&settings, &store, &election, &metrics, &mut front) => {}
    }
    notifier.stopping("making room for another leader");
    if let Err(error) = election.resign(RESIGN).await {
        tracing::warn!(%error, "the leadership is left to run out");
    }
    Ok(())
}

fn campaign(settings: &Settings, store: &Store) -> Election {
    let (machine, name) = (settings.machine.clone(), settings.name.clone());
    store.campaign(LEADER, LeaseSettings::new(settings.ttl), move || {
        let record = LeaderRecord {
            machine: machine.clone(),
            name: name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            since: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        };
        // Four short fields are always JSON.
        record.to_json().unwrap_or_default()
    })
}

async fn work(settings: &Settings, store: &Store, election: &Election, metrics: &Metrics, front: &mut Front) {
    let mut watchdog = Watchdog::start(&front.notifier);
    let mut tick = interval(watchdog.interval().unwrap_or(TICK));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut status = election.status();
    let mut known = String::new();
    let mut lead = None;
    loop {
        watchdog.beat();
        let now = status.borrow_and_update().clone();
        let begins = take(&now, &mut lead, settings, &mut known, metrics, front);
        if begins && let ElectionStatus::Leads(leadership) = now {
            metrics.takeovers.inc();
            lead = Some(Lead::begin(store.clone(), settings.policy.clone(), metrics.clone(), leadership));
            continue;
        }
        let due = lead.as_ref().and_then(Lead::due);
        tokio::select! {
            changed = status.changed() => if changed.is_err() { return },
            () = news(lead.as_mut()) => {}
            () = sleep_until(due.unwrap_or_else(tokio::time::Instant::now)), if due.is_some() => {
                if let Some(leading) = &mut lead
                    && leading.look().await.is_err()
                {
                    tracing::warn!("the store refused a write of this leader: another one leads, or soon will");
                    election.step_down(leading.leadership());
                    lead = None;
                    // The election says so too, a moment later; until then there is nothing to be led.
                    if status.changed().await.is_err() {
                        return;
                    }
                }
            }
            _ = tick.tick() => {}
        }
    }
}

async fn news(lead: Option<&mut Lead>) {
    match lead {
        Some(lead) => lead.news().await,
        None => std::future::pending().await,
    }
}

/// Takes in how the election stands. True if a leadership begins.
fn take(
    status: &ElectionStatus,
    lead: &mut Option<Lead>,
    settings: &Settings,
    known: &mut String,
    metrics: &Metrics,
    front: &mut Front,
) -> bool {
    match status {
        ElectionStatus::Leads(leadership) => {
            let goes_on = lead.as_ref().is_some_and(|lead| lead.leadership().lease() == leadership.lease());
            if !goes_on {
                *lead = None;
            }
            tell_leader(known, &settings.name, true);
            let summary = lead.as_ref().and_then(|lead| lead.summary.as_ref());
            front.say(story::leads(summary, lead.as_ref().and_then(|lead| lead.stale.as_deref())));
            front.ready();
            metrics.leader.set(1);
            return !goes_on;
        }
        ElectionStatus::Follows { leader, stale } => {
            let name = name_of(leader);
            tell_leader(known, &name, false);
            front.say(story::follows(&name, stale.as_deref()));
            front.ready();
        }
        ElectionStatus::Vacant { error } => {
            known.clear();
            front.say(story::vacant(error.as_deref()));
        }
    }
    *lead = None;
    metrics.leader.set(0);
    false
}

fn tell_leader(known: &mut String, name: &str, is_own: bool) {
    if known != name {
        leader_changed(name, is_own);
        name.clone_into(known);
    }
}

/// A leader's record was written by another version perhaps; its name is for people only.
fn name_of(leader: &Entry) -> String {
    match LeaderRecord::parse(&leader.value) {
        Ok(record) if record.name.is_empty() => record.machine.short().to_owned(),
        Ok(record) => record.name.chars().filter(|c| !c.is_control()).take(64).collect(),
        Err(_) => "an unknown machine".to_owned(),
    }
}
