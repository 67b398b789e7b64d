//! An agent that runs nothing: it announces a machine, and reports as its state what its schedule says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use convoy_keys::{
    ClusterKey, Desired, MachineId, MachineRecord, Record, ScheduleRecord, StateRecord, machine_key,
    schedule_prefix, state_key,
};
use convoy_store::{LeaseSettings, Mirror, Ownership, OwnershipStatus, Store};
use convoy_unit_files::UnitName;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// One run of a unit on a machine.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) unit: String,
    pub(crate) machine: String,
    pub(crate) from: Instant,
    pub(crate) to: Option<Instant>,
}

/// All runs on all machines, for judging afterwards.
pub(crate) type Runs = Arc<Mutex<Vec<Run>>>;

/// What kind of agent.
#[derive(Debug, Clone)]
pub(crate) struct Kind {
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) ttl: Duration,
    /// How long a unit takes to stop.
    pub(crate) stop: Duration,
    pub(crate) boot_id: String,
    /// Units found running that no schedule claims.
    pub(crate) running: Vec<(String, String)>,
}

impl Default for Kind {
    fn default() -> Self {
        Self {
            metadata: BTreeMap::new(),
            ttl: Duration::from_secs(30),
            stop: Duration::from_millis(20),
            boot_id: "boot-1".to_owned(),
            running: Vec::new(),
        }
    }
}

/// Something the test does to a unit.
#[derive(Debug)]
enum Act {
    Fail(String, u32),
}

#[derive(Debug)]
pub(crate) struct Agent {
    status: watch::Receiver<OwnershipStatus>,
    acts: mpsc::UnboundedSender<Act>,
    task: JoinHandle<()>,
}

/// What it has.
struct Machine {
    id: MachineId,
    kind: Kind,
    runs: Runs,
    states: BTreeMap<UnitName, StateRecord>,
    /// Units that are stopping, and until when.
    stopping: BTreeMap<UnitName, Instant>,
    run: u64,
}

impl Agent {
    pub(crate) fn start(store: &Store, id: &str, kind: Kind, runs: Runs) -> Self {
        let id = MachineId::parse(id).unwrap();
        let owner = store.own(LeaseSettings::new(kind.ttl));
        let status = owner.status();
        let (acts, received) = mpsc::unbounded_channel();
        let mut machine =
            Machine { id, kind, runs, states: BTreeMap::new(), stopping: BTreeMap::new(), run: 0 };
        for (unit, hash) in machine.kind.running.clone() {
            let unit = UnitName::parse(&unit).unwrap();
            let state = StateRecord { unclaimed: true, ..machine.up(&unit, &hash, 0, "active") };
            machine.states.insert(unit, state);
        }
        let task = tokio::spawn(work(machine, store.clone(), owner, received));
        Self { status, acts, task }
    }

    /// The lease, once it holds one.
    pub(crate) async fn lease(&self) -> i64 {
        let mut status = self.status.clone();
        let held = status.wait_for(|status| matches!(status, OwnershipStatus::Held { .. })).await.unwrap();
        match &*held {
            OwnershipStatus::Held { lease, .. } => *lease,
            other => panic!("{other:?}"),
        }
    }

    /// Says that a unit has failed so often.
    pub(crate) fn fail(&self, unit: &str, failures: u32) {
        self.acts.send(Act::Fail(unit.to_owned(), failures)).unwrap();
    }

    /// Ends without a word; its lease goes on until somebody ends it.
    pub(crate) fn crash(self) {
        self.task.abort();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn work(mut machine: Machine, store: Store, owner: Ownership, mut acts: mpsc::UnboundedReceiver<Act>) {
    let mut feed = store.follow(&[&schedule_prefix(&machine.id)]);
    let mut mirror = Mirror::new();
    owner.declare(machine.keys());
    loop {
        let due = machine.stopping.values().min().copied();
        tokio::select! {
            event = feed.next() => {
                mirror.apply(&event);
            }
            Some(Act::Fail(unit, failures)) = acts.recv() => {
                if let Some(state) = machine.states.get_mut(&UnitName::parse(&unit).unwrap()) {
                    state.failures = failures;
                }
            }
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
        }
        if mirror.has_listed() && !mirror.is_stale() {
            machine.follow(&mirror);
        }
        owner.declare(machine.keys());
    }
}

impl Machine {
    fn follow(&mut self, mirror: &Mirror) {
        let mut wanted = BTreeMap::new();
        for (key, entry) in mirror {
            if let Some(ClusterKey::Schedule(_, unit)) = ClusterKey::parse(key) {
                wanted.insert(unit, ScheduleRecord::parse(&entry.value).unwrap());
            }
        }
        for (unit, record) in &wanted {
            if record.desired == Desired::Inactive {
                continue;
            }
            let active = if record.desired == Desired::Launched { "active" } else { "inactive" };
            self.stopping.remove(unit);
            match self.states.get_mut(unit) {
                Some(state) if state.hash == record.hash && state.restarts == record.restarts => {
                    // Adopted, or as it was.
                    state.unclaimed = false;
                    if state.active != active {
                        active.clone_into(&mut state.active);
                    }
                }
                _ => {
                    self.end(unit);
                    let state = self.up(unit, &record.hash, record.restarts, active);
                    self.states.insert(unit.clone(), state);
                }
            }
        }
        let now = Instant::now();
        for (unit, state) in &self.states {
            let leaves = match wanted.get(unit) {
                Some(record) => record.desired == Desired::Inactive,
                None => !state.unclaimed,
            };
            if leaves {
                self.stopping.entry(unit.clone()).or_insert(now + self.kind.stop);
            }
        }
        let over: Vec<_> =
            self.stopping.iter().filter(|(_, until)| **until <= now).map(|(unit, _)| unit.clone()).collect();
        for unit in over {
            self.stopping.remove(&unit);
            self.states.remove(&unit);
            self.end(&unit);
        }
    }

    fn up(&mut self, unit: &UnitName, hash: &str, restarts: u64, active: &str) -> StateRecord {
        self.run += 1;
        let run =
            Run { unit: unit.to_string(), machine: self.id.to_string(), from: Instant::now(), to: None };
        self.runs.lock().unwrap().push(run);
        StateRecord {
            load: "loaded".to_owned(),
            active: active.to_owned(),
            sub: "running".to_owned(),
            hash: hash.to_owned(),
            restarts,
            invocation_id: format!("{}-{}", self.id, self.run),
            ..StateRecord::default()
        }
    }

    fn end(&self, unit: &UnitName) {
        let mut runs = self.runs.lock().unwrap();
        for run in runs.iter_mut() {
            if run.unit == unit.as_str() && run.machine == self.id.as_str() && run.to.is_none() {
                run.to = Some(Instant::now());
            }
        }
    }

    fn keys(&self) -> BTreeMap<String, Vec<u8>> {
        let record = MachineRecord {
            name: self.id.to_string(),
            metadata: self.kind.metadata.clone(),
            boot_id: self.kind.boot_id.clone(),
            ..MachineRecord::default()
        };
        let mut keys = BTreeMap::from([(machine_key(&self.id), record.to_json().unwrap())]);
        for (unit, state) in &self.states {
            keys.insert(state_key(&self.id, unit), state.to_json().unwrap());
        }
        keys
    }
}
