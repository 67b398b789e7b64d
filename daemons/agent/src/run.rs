//! The loop: events come in from store, systemd and tasks; what follows from them is done.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use convoy_keys::{CLUSTER, MachineId, MachineRecord, schedule_prefix};
use convoy_service::{Notifier, Shutdown, Watchdog, message};
use convoy_store::{Feed, FeedEvent, OwnershipStatus, Store};
use convoy_systemd::UnitStatus;
use convoy_unit_files::UnitName;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use crate::announce::Announcement;
use crate::bus::Bus;
use crate::fence::Fence;
use crate::files::Files;
use crate::journal;
use crate::link::Links;
use crate::metrics::Metrics;
use crate::perform::{Performer, Report, statuses};
use crate::roster::{JobEnd, Roster};
use crate::settings::Settings;

/// Changes within this time are told together.
const COALESCE: Duration = Duration::from_millis(15);
/// How long a start waits for the first listing before it says READY without it.
const FIRST_LISTING: Duration = Duration::from_secs(2);
/// How often systemd is asked for everything, in case a signal was missed.
const RESYNC: Duration = Duration::from_secs(300);
const TICK: Duration = Duration::from_secs(10);
/// How long a stop waits for systemd's answer.
const ANSWER: Duration = Duration::from_secs(2);

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

    fn take_feed(&mut self, event: FeedEvent) {
        match event {
            FeedEvent::Listed(snapshot) => {
                self.listed = true;
                self.recovered();
                journal::skipped(&self.roster.take_listing(&snapshot, Instant::now()));
            }
            FeedEvent::Changed { changes, .. } => {
                journal::skipped(&self.roster.take_changes(&changes, Instant::now()));
            }
            FeedEvent::Current { .. } => self.recovered(),
            FeedEvent::Stale { error } => {
                if self.stale.is_none() {
                    self.inputs.metrics.store_outages.inc();
                    tracing::warn!(
                        MESSAGE_ID = message::STORE_UNREACHABLE,
                        error,
                        "the store can't be reached; everything runs on"
                    );
                }
                self.stale = Some(error);
            }
        }
        self.changed();
    }

    fn recovered(&mut self) {
        if self.stale.take().is_some() {
            tracing::info!(MESSAGE_ID = message::STORE_BACK, "the store answers again");
        }
    }

    fn take_report(&mut self, report: Report) {
        let now = Instant::now();
        match report {
            Report::Text(unit, hash, text) => {
                if let Err(error) = &text {
                    tracing::warn!(placed_unit = unit.as_str(), error, "{unit} has no text to run by yet");
                }
                self.roster.take_text(&unit, &hash, text, now);
            }
            Report::Confirmed(confirmation) => self.roster.take_confirmation(&confirmation, now),
            Report::Batch(batch, outcome) => {
                if let Some(error) = &outcome.error {
                    tracing::warn!(error, "systemd did not read the unit files; it is tried again");
                }
                self.roster.take_batch(&batch, &outcome, now);
                self.link_fences();
            }
            Report::Job(unit, job, end) => {
                if let JobEnd::Refused(error) = &end {
                    tracing::warn!(placed_unit = unit.as_str(), error, "systemd refuses a job for {unit}");
                }
                self.roster.take_job(&unit, job, &end, now);
            }
            Report::Status(unit, status) => self.roster.take_status(&unit, &status, None, now),
            Report::Fence(fence, status) => {
                self.roster.take_fence(fence, *status);
                self.link_fences();
            }
            Report::BusLost => self.lose_bus(),
        }
        self.changed();
    }

    fn take_change(&mut self, change: &convoy_systemd::UnitChange, end: Option<&convoy_systemd::ServiceEnd>) {
        let fence = self.roster.fence_of(&change.unit);
        if fence.is_none() && !self.roster.knows(&change.unit) {
            return;
        }
        self.roster.take_change(change, end, Instant::now());
        if fence.is_some() {
            self.link_fences();
        }
        self.changed();
    }

    /// Fences that are up, or on their way up, hear of each keep-alive.
    fn link_fences(&mut self) {
        for (fence, up) in self.roster.fences_up() {
            self.links.set(fence, up);
        }
    }

    fn lose_bus(&mut self) {
        if self.bus.take().is_some() {
            tracing::warn!("the connection to systemd is lost; everything runs on");
            let (names, fences) = (self.roster.names(), self.roster.fences().into_iter().collect());
            self.connecting = Some(tokio::spawn(connect(names, fences)));
        }
    }

    fn take_bus(&mut self, seen: Option<Seen>) {
        self.connecting = None;
        let Some((bus, units, fences)) = seen else {
            self.connecting =
                Some(tokio::spawn(connect(self.roster.names(), self.roster.fences().into_iter().collect())));
            return;
        };
        self.bus = Some(bus);
        for (unit, status) in units {
            self.roster.settle(&unit, &status, Instant::now());
        }
        for (fence, status) in fences {
            self.roster.take_fence(fence, status);
        }
        self.link_fences();
        self.changed();
    }

    fn take_lease(&mut self, status: &OwnershipStatus) {
        match status {
            OwnershipStatus::Held { lease, .. } => {
                if self.announced != Some(*lease) {
                    self.announced = Some(*lease);
                    self.inputs.metrics.announced.set(1);
                    tracing::info!(lease = format!("{lease:x}"), "this machine is announced");
                    // The beat that went with it came before the record did.
                    if let Some(answer) = *self.announcement.answered().borrow() {
                        self.links.beat(&answer);
                    }
                }
                if !std::mem::replace(&mut self.swept, true) {
                    self.announcement.sweep(*lease);
                }
            }
            OwnershipStatus::Lost { error } => {
                if self.announced.take().is_some() {
                    self.inputs.metrics.announced.set(0);
                    self.inputs.metrics.leases_lost.inc();
                    tracing::warn!(
                        MESSAGE_ID = message::LEASE_LOST,
                        error,
                        "this machine's lease is lost; what may run on runs on"
                    );
                }
                self.links.pause();
            }
            OwnershipStatus::Replaced { key, .. } => {
                tracing::error!(
                    key,
                    "another agent announces this machine: do two machines have one machine-id?"
                );
                self.announced = None;
                self.links.pause();
            }
            OwnershipStatus::Pending { .. } | OwnershipStatus::AtRisk { .. } => {}
        }
        self.roster.set_lease(self.announced.is_some());
    }

    fn say(&mut self, give_up: Instant) {
        let summary = self.roster.summary();
        let mut status = match (&self.stale, self.listed, self.announced) {
            (Some(_), _, _) | (_, false, _) => "waits for the store".to_owned(),
            (None, true, None) => "follows its schedule, not announced yet".to_owned(),
            (None, true, Some(_)) => "follows its schedule".to_owned(),
        };
        let mut count = |number: usize, what: &str| {
            if number > 0 {
                // Writing to a String never fails.
                let _ = write!(status, ", {number} {what}");
            }
        };
        count(summary.units, "units");
        count(summary.active, "active");
        count(summary.failed, "failed");
        count(summary.unclaimed, "unclaimed");
        count(summary.fenced, "stopped while cut off");
        count(summary.refused, "refused");
        if !self.ready && (self.listed || Instant::now() >= give_up) {
            self.ready = true;
            self.inputs.notifier.ready(&status);
        } else if status != self.status {
            self.inputs.notifier.status(&status);
        }
        self.status = status;
    }

    async fn farewell(self) {
        let Self { inputs, roster, performer, announcement, links, bus, .. } = self;
        if let Err(error) = performer.files.save(&roster.manifest()) {
            tracing::error!(%error, "the notes for the next run can't be written");
        }
        let down = match &bus {
            Some(bus) => matches!(timeout(ANSWER, bus.manager.is_shutting_down()).await, Ok(Ok(true))),
            None => false,
        };
        if down {
            inputs.notifier.stopping("the machine is shut down; signing off");
            tracing::info!("the machine is shut down: signing off");
            announcement.end().await;
        } else {
            inputs.notifier.stopping("leaves everything running");
            if let Some(answer) = announcement.leave_for_a_moment(&roster.states()).await {
                links.beat(&answer);
                links.flush().await;
            }
            tracing::info!("everything runs on without the agent");
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
