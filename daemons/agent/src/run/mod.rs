//! The loop: events come in from store, systemd and tasks; what follows from them is done.

mod take;
mod tell;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use convoy_keys::{CLUSTER, MachineId, MachineRecord, schedule_prefix};
use convoy_service::{Notifier, Shutdown, Watchdog};
use convoy_store::{Feed, Store};
use convoy_systemd::UnitStatus;
use convoy_unit_files::UnitName;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::announce::Announcement;
use crate::bus::Bus;
use crate::fence::Fence;
use crate::files::Files;
use crate::journal;
use crate::link::Links;
use crate::metrics::Metrics;
use crate::perform::{Performer, Report, statuses};
use crate::roster::Roster;
use crate::settings::Settings;

/// Changes within this time are told together.
const COALESCE: Duration = Duration::from_millis(15);
/// How long a start waits for the first listing before it says READY without it.
const FIRST_LISTING: Duration = Duration::from_secs(2);
/// How often systemd is asked for everything, in case a signal was missed.
const RESYNC: Duration = Duration::from_secs(300);
const TICK: Duration = Duration::from_secs(10);

/// What the agent works with.
#[derive(Debug)]
pub struct Inputs {
    /// What is configured.
    pub settings: Settings,
    /// Who this machine is.
    pub machine: MachineId,
    /// What it says of itself.
    pub record: MachineRecord,
    /// The store.
    pub store: Store,
    /// systemd's ear.
    pub notifier: Notifier,
    /// What is counted.
    pub metrics: Metrics,
}

/// A connection to systemd with a first look at everything.
type Seen = (Bus, BTreeMap<UnitName, UnitStatus>, BTreeMap<Fence, UnitStatus>);

async fn connect(units: Vec<UnitName>, fences: Vec<Fence>) -> Seen {
    let bus = Bus::connect().await;
    let units = statuses(&bus.manager, &units).await;
    let mut stand = BTreeMap::new();
    for fence in fences {
        if let Ok(status) = bus.manager.unit_status(&fence.unit()).await {
            stand.insert(fence, status);
        }
    }
    (bus, units, stand)
}

/// Follows the schedule until a signal says stop.
pub async fn run(inputs: Inputs, mut shutdown: Shutdown) -> anyhow::Result<()> {
    let files = Files::below(Path::new("/"));
    files.prepare().context("the folders for units can't be made")?;
    inputs.notifier.status("looks at what runs here");
    let adopted = tokio::select! {
        adopted = adopt(&inputs.machine, &files) => adopted?,
        () = shutdown.wait() => return Ok(()),
    };
    let (reports, mut answers) = mpsc::unbounded_channel();
    let performer =
        Performer { machine: inputs.machine.clone(), store: inputs.store.clone(), files, reports };
    let (roster, bus) = adopted;
    let mut feed = follow(&inputs);
    let announcement = Announcement::begin(
        &inputs.store,
        inputs.machine.clone(),
        inputs.record.clone(),
        inputs.settings.ttl,
    );
    let mut agent = Agent {
        roster,
        performer,
        announcement,
        links: Links::new(),
        bus: Some(bus),
        connecting: None,
        inputs,
        announced: None,
        swept: false,
        listed: false,
        stale: None,
        ready: false,
        tell_at: Some(Instant::now()),
        status: String::new(),
    };
    agent.link_fences();
    agent.work(&mut shutdown, &mut feed, &mut answers).await;
    drop(feed);
    agent.farewell().await;
    Ok(())
}

fn follow(inputs: &Inputs) -> Feed {
    inputs.store.follow(&[&schedule_prefix(&inputs.machine), CLUSTER])
}

async fn adopt(machine: &MachineId, files: &Files) -> anyhow::Result<(Roster, Bus)> {
    let manifest = match files.load() {
        Ok(manifest) => manifest.unwrap_or_default(),
        Err(error) => {
            // What is on disk and in systemd says most of it.
            tracing::warn!(%error, "the notes of the run before are lost");
            crate::held::Manifest::default()
        }
    };
    let found = files.scan().context("the units of the run before can't be read")?;
    let names: Vec<UnitName> = manifest.units.keys().chain(found.keys()).cloned().collect();
    let fences = found.values().filter_map(|found| found.traits.fence).collect();
    let (bus, units, stand) = connect(names, fences).await;
    let mut roster = Roster::adopt(machine.clone(), manifest, &found, Instant::now(), &units);
    for (fence, status) in stand {
        roster.take_fence(fence, status);
    }
    Ok((roster, bus))
}

struct Agent {
    inputs: Inputs,
    roster: Roster,
    performer: Performer,
    announcement: Announcement,
    links: Links,
    bus: Option<Bus>,
    connecting: Option<JoinHandle<Seen>>,
    /// The lease under which the machine's record is in the store.
    announced: Option<i64>,
    /// What earlier runs left in the store is gone.
    swept: bool,
    /// The schedule was read.
    listed: bool,
    /// Why the store can't be followed.
    stale: Option<String>,
    ready: bool,
    /// When the others are to be told what changed.
    tell_at: Option<Instant>,
    status: String,
}

impl Agent {
    async fn work(
        &mut self,
        shutdown: &mut Shutdown,
        feed: &mut Feed,
        answers: &mut mpsc::UnboundedReceiver<Report>,
    ) {
        let mut watchdog = Watchdog::start(&self.inputs.notifier);
        let mut tick = interval(watchdog.interval().unwrap_or(TICK).min(TICK));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut lease = self.announcement.status();
        let mut answered = self.announcement.answered();
        let give_up = Instant::now() + FIRST_LISTING;
        let mut resync = Instant::now() + RESYNC;
        loop {
            if self.proceed() {
                *feed = follow(&self.inputs);
            }
            self.tell_if_due();
            self.say(give_up);
            watchdog.beat();
            let due = self.roster.due().filter(|_| self.bus.is_some());
            let wait = [due, self.tell_at, (!self.ready).then_some(give_up)].into_iter().flatten().min();
            tokio::select! {
                () = shutdown.wait() => return,
                event = feed.next() => self.take_feed(event),
                Some(report) = answers.recv() => self.take_report(report),
                told = hear(&mut self.bus), if self.bus.is_some() => match told {
                    Some((change, end)) => self.take_change(&change, end.as_ref()),
                    None => self.lose_bus(),
                },
                seen = reconnected(&mut self.connecting), if self.connecting.is_some() => self.take_bus(seen),
                Ok(()) = lease.changed() => {
                    let status = lease.borrow_and_update().clone();
                    self.take_lease(&status);
                }
                Ok(()) = answered.changed() => {
                    let answer = *answered.borrow_and_update();
                    match answer.filter(|answer| self.announced == Some(answer.lease)) {
                        Some(answer) => self.links.beat(&answer),
                        None => self.links.pause(),
                    }
                }
                () = sleep_until(wait.unwrap_or_else(Instant::now)), if wait.is_some() => {}
                () = sleep_until(resync) => {
                    resync = Instant::now() + RESYNC;
                    if let Some(bus) = &self.bus {
                        self.performer.look(&bus.manager, self.roster.names(), self.roster.fences());
                    }
                }
                _ = tick.tick() => {}
            }
        }
    }

    /// Does what has to be done. True if the schedule has to be read anew.
    fn proceed(&mut self) -> bool {
        let mut relist = false;
        if let Some(bus) = &self.bus {
            let manager = Arc::clone(&bus.manager);
            let work = self.roster.work(Instant::now());
            if work.save
                && let Err(error) = self.performer.files.save(&self.roster.manifest())
            {
                tracing::error!(%error, "the notes for the next run can't be written");
            }
            for (unit, hash) in work.fetches {
                self.performer.fetch(unit, hash);
            }
            relist = work.relist;
            if work.confirm {
                self.performer.confirm();
            }
            if let Some(batch) = work.batch {
                self.inputs.metrics.reloads.inc();
                self.performer.batch(&manager, batch);
            }
            for unit in work.stops {
                self.inputs.metrics.stops.inc();
                self.performer.stop(&manager, unit);
            }
            if !work.launches.is_empty() {
                self.inputs.metrics.starts.inc_by(work.launches.len() as u64);
                self.performer.launch(&manager, work.launches);
            }
        }
        for news in self.roster.take_news() {
            journal::tell(&news, &self.inputs.metrics);
        }
        relist
    }

    fn changed(&mut self) {
        self.tell_at.get_or_insert_with(|| Instant::now() + COALESCE);
    }

    fn tell_if_due(&mut self) {
        if self.tell_at.is_none_or(|at| at > Instant::now()) {
            return;
        }
        self.tell_at = None;
        self.inputs.metrics.show(&self.roster.summary());
        if self.announcement.tell(&self.roster.states()) {
            self.inputs.metrics.reports.inc();
        }
    }
}

async fn hear(bus: &mut Option<Bus>) -> Option<crate::bus::Told> {
    match bus {
        Some(bus) => bus.next().await,
        None => std::future::pending().await,
    }
}

/// None when the task that connects ended without a connection.
async fn reconnected(connecting: &mut Option<JoinHandle<Seen>>) -> Option<Seen> {
    match connecting {
        Some(task) => task.await.ok(),
        None => std::future::pending().await,
    }
}
