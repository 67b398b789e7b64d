//! A store of paper: what is put, what the rules see of it, and what they write.

use std::collections::BTreeMap;
use std::time::Duration;

use convoy_keys::{
    ClusterKey, ClusterRecord, Desired, MachineId, MachineRecord, MaintenanceMode, MaintenanceRecord,
    MoveRecord, Record, ScheduleRecord, StateRecord, UnitRecord, machine_key, maintenance_key, move_key,
    schedule_key, state_key, unit_key,
};
use convoy_scheduler::{Event, Expected, Memory, Now, Policy, Step, Summary, World, step};
use convoy_store::{Entry, FeedEvent, Revision, Snapshot};
use convoy_unit_files::{Definition, Strictness, UnitName};

/// More looks than this in a row mean that the rules never come to rest.
const LOOKS: usize = 40;

pub(crate) struct Model {
    pub(crate) entries: BTreeMap<String, Entry>,
    revision: i64,
    memory: Memory,
    pub(crate) policy: Policy,
    pub(crate) now: Now,
    /// Machines whose leases are not renewed, as the next look is told.
    pub(crate) wavering: Option<Vec<String>>,
    departed: Vec<String>,
    pub(crate) summary: Summary,
    pub(crate) events: Vec<Event>,
    /// Where units really run, whatever the store says: for ever, or until a fence has stopped them.
    running: BTreeMap<(String, String), Option<Duration>>,
    /// All units may run at most once: a second run is a failure.
    pub(crate) is_strict: bool,
}

/// How long a unit runs on at most when its machine's lease has ended: the lease once more, and the time to stop.
const FENCED: Duration = Duration::from_secs(5 + 10);

pub(crate) fn machine_id(id: &str) -> MachineId {
    MachineId::parse(id).unwrap()
}

pub(crate) fn name(unit: &str) -> UnitName {
    UnitName::parse(unit).unwrap()
}

/// A service with these options of X-Fleet and of X-Convoy.
pub(crate) fn text(fleet: &str, convoy: &str) -> String {
    format!("[Service]\nExecStart=/bin/true\n[X-Fleet]\n{fleet}\n[X-Convoy]\n{convoy}\n")
}

impl Model {
    /// A store that has been led before, with these machines.
    pub(crate) fn new(machines: &[&str]) -> Self {
        let mut model = Self {
            entries: BTreeMap::new(),
            revision: 0,
            memory: Memory::new("name".to_owned()),
            policy: Policy::default(),
            now: Now { monotonic: Duration::from_secs(100), unix: 1_000_000 },
            wavering: None,
            departed: Vec::new(),
            summary: Summary::default(),
            events: Vec::new(),
            running: BTreeMap::new(),
            is_strict: false,
        };
        model.put("/convoy/cluster", &ClusterRecord { id: "c".to_owned() }.to_json().unwrap());
        for id in machines {
            model.machine(id);
        }
        model
    }

    pub(crate) fn put(&mut self, key: &str, value: &[u8]) {
        self.revision += 1;
        let revision = Revision::new(self.revision);
        let create_revision = self.entries.get(key).map_or(revision, |entry| entry.create_revision);
        let entry = Entry {
            key: key.to_owned(),
            value: value.to_vec(),
            create_revision,
            mod_revision: revision,
            version: 1,
            lease: 0,
        };
        self.entries.insert(key.to_owned(), entry);
    }

    pub(crate) fn delete(&mut self, key: &str) {
        self.revision += 1;
        self.entries.remove(key);
    }

    pub(crate) fn machine(&mut self, id: &str) {
        self.machine_as(
            id,
            &MachineRecord { name: id.to_owned(), boot_id: "b1".into(), ..MachineRecord::default() },
        );
    }

    pub(crate) fn machine_as(&mut self, id: &str, record: &MachineRecord) {
        // What still runs is said together with the machine's return.
        if !self.entries.contains_key(&machine_key(&machine_id(id))) {
            let now = self.now.monotonic;
            self.running.retain(|_, stops| stops.is_none_or(|stops| stops > now));
            let alive: Vec<String> = self
                .running
                .keys()
                .filter(|(_, machine)| machine == id)
                .map(|(unit, _)| unit.clone())
                .collect();
            for unit in alive {
                self.running.insert((unit.clone(), id.to_owned()), None);
                self.state(&unit, id, "active");
            }
        }
        self.put(&machine_key(&machine_id(id)), &record.to_json().unwrap());
    }

    /// The lease of a machine ends, and all that hangs on it.
    pub(crate) fn lose(&mut self, id: &str) {
        if self.entries.contains_key(&machine_key(&machine_id(id))) {
            self.departed.push(id.to_owned());
            let until = self.now.monotonic + FENCED;
            for ((_, machine), stops) in &mut self.running {
                if machine == id {
                    *stops = Some(until);
                }
            }
        }
        self.delete(&machine_key(&machine_id(id)));
        self.entries.retain(|key, _| !key.starts_with(&format!("/convoy/states/{id}/")));
    }

    pub(crate) fn unit(&mut self, unit: &str, text: &str) {
        self.unit_as(unit, text, Desired::Launched, 0);
    }

    pub(crate) fn unit_as(&mut self, unit: &str, text: &str, desired: Desired, restarts: u64) {
        let record = UnitRecord { text: text.to_owned(), desired, compatible: false, restarts };
        self.put(&unit_key(&name(unit)), &record.to_json().unwrap());
    }

    pub(crate) fn destroy(&mut self, unit: &str) {
        self.delete(&unit_key(&name(unit)));
    }

    pub(crate) fn maintain(&mut self, id: &str, mode: MaintenanceMode, until: Option<u64>) {
        let record = MaintenanceRecord { mode, since: self.now.unix, until };
        self.put(&maintenance_key(&machine_id(id)), &record.to_json().unwrap());
    }

    pub(crate) fn wish(&mut self, unit: &str, id: &str) {
        let record = MoveRecord { machine: machine_id(id) };
        self.put(&move_key(&name(unit)), &record.to_json().unwrap());
    }

    pub(crate) fn has_wish(&self, unit: &str) -> bool {
        self.entries.contains_key(&move_key(&name(unit)))
    }

    pub(crate) fn state(&mut self, unit: &str, id: &str, active: &str) {
        let record = self.entry(unit, id);
        let state = StateRecord {
            active: active.to_owned(),
            hash: record.as_ref().map(|record| record.hash.clone()).unwrap_or_default(),
            restarts: record.map(|record| record.restarts).unwrap_or_default(),
            ..StateRecord::default()
        };
        self.state_as(unit, id, &state);
    }

    pub(crate) fn state_as(&mut self, unit: &str, id: &str, state: &StateRecord) {
        self.put(&state_key(&machine_id(id), &name(unit)), &state.to_json().unwrap());
    }

    fn runs(&mut self, unit: &str, id: &str) {
        let now = self.now.monotonic;
        self.running.retain(|_, stops| stops.is_none_or(|stops| stops > now));
        let elsewhere = self.running.keys().find(|(other, machine)| other == unit && machine != id);
        assert!(!self.is_strict || elsewhere.is_none(), "{unit} starts on {id} and runs on {elsewhere:?}");
        self.running.insert((unit.to_owned(), id.to_owned()), None);
    }

    pub(crate) fn gone(&mut self, unit: &str, id: &str) {
        self.running.remove(&(unit.to_owned(), id.to_owned()));
        self.delete(&state_key(&machine_id(id), &name(unit)));
    }

    pub(crate) fn entry(&self, unit: &str, id: &str) -> Option<ScheduleRecord> {
        let entry = self.entries.get(&schedule_key(&machine_id(id), &name(unit)))?;
        Some(ScheduleRecord::parse(&entry.value).unwrap())
    }

    /// The machines that have a unit, without those that shall let it go.
    pub(crate) fn on(&self, unit: &str) -> Vec<String> {
        let found = self.entries.iter().filter_map(|(key, entry)| match ClusterKey::parse(key) {
            Some(ClusterKey::Schedule(machine, found)) if found.as_str() == unit => {
                let record = ScheduleRecord::parse(&entry.value).unwrap();
                (record.desired != Desired::Inactive).then(|| machine.to_string())
            }
            _ => None,
        });
        found.collect()
    }

    pub(crate) fn advance(&mut self, time: Duration) {
        self.now.monotonic += time;
        self.now.unix += time.as_secs();
    }

    /// Another process leads, which remembers nothing.
    pub(crate) fn new_leader(&mut self) {
        self.memory = Memory::new("another".to_owned());
    }

    /// One look, without carrying anything out.
    pub(crate) fn look(&mut self) -> Step {
        let mut world = World::new();
        let revision = Revision::new(self.revision);
        world.apply(&FeedEvent::Listed(Snapshot { revision, entries: self.entries.clone() }));
        assert!(world.is_current());
        // As if the feed had told of everything.
        world.is_anew = false;
        world.departed = std::mem::take(&mut self.departed).iter().map(|id| machine_id(id)).collect();
        world.wavering = self.wavering.as_ref().map(|ids| ids.iter().map(|id| machine_id(id)).collect());
        step(&world, &self.policy, &mut self.memory, self.now)
    }

    /// One look, and its transactions. Fails if one of them would be refused.
    pub(crate) fn pass(&mut self) -> Step {
        let step = self.look();
        self.events.extend(step.events.iter().cloned());
        for batch in &step.batches {
            assert!(batch.writes.len() <= 126, "{} writes in one transaction", batch.writes.len());
            for key in &batch.present {
                assert!(self.entries.contains_key(key), "{key} has to be there");
            }
            for key in &batch.absent {
                assert!(!self.entries.contains_key(key), "{key} must not be there");
            }
            for write in &batch.writes {
                let found = self.entries.get(&write.key).map(|entry| entry.mod_revision);
                match write.expected {
                    Expected::Absent => assert_eq!(found, None, "{}", write.key),
                    Expected::At(revision) => assert_eq!(found, Some(revision), "{}", write.key),
                    Expected::Any => {}
                }
            }
            for write in &batch.writes {
                match &write.value {
                    Some(value) => self.put(&write.key, value),
                    None => self.delete(&write.key),
                }
            }
            self.events.extend(batch.events.iter().cloned());
        }
        self.summary = step.summary.clone();
        step
    }

    /// Looks until there is nothing to do any more. Gives what happened.
    pub(crate) fn settle(&mut self) -> Vec<Event> {
        self.events.clear();
        for _ in 0..LOOKS {
            if self.pass().batches.is_empty() {
                return std::mem::take(&mut self.events);
            }
        }
        panic!("the rules do not come to rest: {:?}", self.events);
    }

    /// Looks, and lets the agents of the machines that are there follow, until nothing happens any more.
    pub(crate) fn live(&mut self) -> Vec<Event> {
        let mut all = Vec::new();
        for _ in 0..LOOKS {
            all.extend(self.settle());
            if !self.obey() {
                return all;
            }
        }
        panic!("the fleet does not come to rest: {all:?}");
    }

    /// What agents do: start what is new, stop what is gone. True if there was anything to do.
    pub(crate) fn obey(&mut self) -> bool {
        let mut wanted = BTreeMap::new();
        let mut states = BTreeMap::new();
        for (key, entry) in &self.entries {
            match ClusterKey::parse(key) {
                Some(ClusterKey::Schedule(machine, unit)) => {
                    wanted.insert((machine, unit), ScheduleRecord::parse(&entry.value).unwrap());
                }
                Some(ClusterKey::State(machine, unit)) => {
                    if let Ok(state) = StateRecord::parse(&entry.value) {
                        states.insert((machine, unit), state);
                    }
                }
                _ => {}
            }
        }
        let is_there = |model: &Self, machine: &MachineId| model.entries.contains_key(&machine_key(machine));
        let mut any = false;
        for ((machine, unit), record) in &wanted {
            let state = states.get(&(machine.clone(), unit.clone()));
            let up = state.is_some_and(|state| {
                state.hash == record.hash && state.restarts == record.restarts && !state.unclaimed
            });
            if record.desired == Desired::Inactive || up || !is_there(self, machine) {
                continue;
            }
            let active = if record.desired == Desired::Launched { "active" } else { "inactive" };
            self.runs(unit.as_str(), machine.as_str());
            self.state(unit.as_str(), machine.as_str(), active);
            any = true;
        }
        for ((machine, unit), state) in &states {
            let leaves = match wanted.get(&(machine.clone(), unit.clone())) {
                Some(record) => record.desired == Desired::Inactive,
                None => !state.unclaimed,
            };
            if leaves && is_there(self, machine) {
                self.gone(unit.as_str(), machine.as_str());
                any = true;
            }
        }
        any
    }
}

pub(crate) fn hash(unit: &str, text: &str) -> String {
    Definition::read(&name(unit), unit, text, Strictness::Strict).unwrap().hash
}
