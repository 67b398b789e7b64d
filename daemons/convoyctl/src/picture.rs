//! The cluster as the store has it, taken apart into types.

use std::collections::{BTreeMap, BTreeSet};

use convoy_keys::{
    ClusterKey, Desired, FreezeRecord, InstanceRecord, LeaderRecord, MachineId, MachineRecord,
    MaintenanceRecord, MoveRecord, Record, ScheduleRecord, StateRecord, UnitRecord,
};
use convoy_store::{Change, Entry, FeedEvent, Revision};
use convoy_unit_files::{Definition, Rejected, Strictness, UnitName, hash};

/// Everything of Convoy's begins with this, `/convoy/instances/` included.
pub const PREFIX: &str = "/convoy/";
/// Values [`InstanceRecord`].
const INSTANCES: &str = "/convoy/instances/";

/// A unit in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredUnit {
    /// What the operators asked for.
    pub record: UnitRecord,
    /// Units count as submitted in this order.
    pub created: Revision,
    /// The last write.
    pub modified: Revision,
    /// SHA-256 of the text.
    pub hash: String,
}

impl StoredUnit {
    /// How the text is read.
    pub fn strictness(&self) -> Strictness {
        if self.record.compatible { Strictness::Compatible } else { Strictness::Strict }
    }

    /// The text, read.
    pub fn definition(&self, name: &UnitName) -> Result<Definition, Rejected> {
        Definition::read(name, name.as_str(), &self.record.text, self.strictness())
    }
}

/// An instance of an app, as its registrar announced it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// What it says.
    pub record: InstanceRecord,
    /// The last write.
    pub modified: Revision,
}

/// The cluster at one revision. What does not parse is left out and remembered.
#[derive(Debug, Clone, Default)]
pub struct Picture {
    /// The machines that are there.
    pub machines: BTreeMap<MachineId, MachineRecord>,
    /// What operators want of machines.
    pub maintenance: BTreeMap<MachineId, MaintenanceRecord>,
    /// The units.
    pub units: BTreeMap<UnitName, StoredUnit>,
    /// Moves that operators asked for.
    pub moves: BTreeMap<UnitName, MoveRecord>,
    /// What each machine has to run, by unit.
    pub schedule: BTreeMap<UnitName, BTreeMap<MachineId, ScheduleRecord>>,
    /// What each machine runs, by unit.
    pub states: BTreeMap<UnitName, BTreeMap<MachineId, StateRecord>>,
    /// Instances of apps, by `<app>/<instance>`.
    pub instances: BTreeMap<String, Instance>,
    /// The leading scheduler.
    pub leader: Option<LeaderRecord>,
    /// Why nothing moves.
    pub freeze: Option<FreezeRecord>,
    /// Keys with values that are no records, and why.
    pub broken: BTreeMap<String, String>,
}

impl Picture {
    /// The picture of a listing.
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut picture = Self::default();
        for entry in entries {
            picture.set(&entry.key, Some(entry));
        }
        picture
    }

    /// Takes in what a feed tells. False if nothing can have changed.
    pub fn apply(&mut self, event: &FeedEvent) -> bool {
        match event {
            FeedEvent::Listed(snapshot) => {
                *self = Self::of(snapshot.entries.values());
                true
            }
            FeedEvent::Changed { changes, .. } => {
                for change in changes {
                    match change {
                        Change::Put(entry) => self.set(&entry.key, Some(entry)),
                        Change::Delete { key, .. } => self.set(key, None),
                    }
                }
                true
            }
            FeedEvent::Stale { .. } | FeedEvent::Current { .. } => false,
        }
    }

    fn set(&mut self, key: &str, entry: Option<&Entry>) {
        self.broken.remove(key);
        if let Some(instance) = key.strip_prefix(INSTANCES) {
            let record = entry.map(|entry| (entry, InstanceRecord::parse(&entry.value)));
            match record {
                Some((entry, Ok(record))) => {
                    let instance = instance.to_owned();
                    self.instances.insert(instance, Instance { record, modified: entry.mod_revision });
                }
                _ => drop(self.instances.remove(instance)),
            }
            return;
        }
        match ClusterKey::parse(key) {
            Some(ClusterKey::Machine(id)) => {
                let record = self.broken_or(key, entry);
                put(&mut self.machines, id, record);
            }
            Some(ClusterKey::Maintenance(id)) => {
                let record = self.broken_or(key, entry);
                put(&mut self.maintenance, id, record);
            }
            Some(ClusterKey::Move(unit)) => {
                let record = self.broken_or(key, entry);
                put(&mut self.moves, unit, record);
            }
            Some(ClusterKey::Schedule(id, unit)) => {
                let record = self.broken_or(key, entry);
                put_below(&mut self.schedule, unit, id, record);
            }
            Some(ClusterKey::State(id, unit)) => {
                let record = self.broken_or(key, entry);
                put_below(&mut self.states, unit, id, record);
            }
            Some(ClusterKey::Unit(unit)) => {
                let record: Option<UnitRecord> = self.broken_or(key, entry);
                let stored = record.zip(entry).map(|(record, entry)| StoredUnit {
                    hash: hash(&record.text),
                    record,
                    created: entry.create_revision,
                    modified: entry.mod_revision,
                });
                put(&mut self.units, unit, stored);
            }
            Some(ClusterKey::Leader) => self.leader = self.broken_or(key, entry),
            Some(ClusterKey::Freeze) => self.freeze = self.broken_or(key, entry),
            Some(ClusterKey::Cluster | ClusterKey::Resume) | None => {}
        }
    }

    fn broken_or<R: Record>(&mut self, key: &str, entry: Option<&Entry>) -> Option<R> {
        match R::parse(&entry?.value) {
            Ok(record) => Some(record),
            Err(error) => {
                self.broken.insert(key.to_owned(), error.to_string());
                None
            }
        }
    }

    /// The units in the order in which they were submitted.
    pub fn in_order(&self) -> Vec<(&UnitName, &StoredUnit)> {
        let mut units: Vec<_> = self.units.iter().collect();
        units.sort_by_key(|(_, unit)| unit.created);
        units
    }

    /// The machines that have to have the unit.
    pub fn scheduled(&self, unit: &UnitName) -> impl Iterator<Item = (&MachineId, &ScheduleRecord)> {
        let entries = self.schedule.get(unit).into_iter().flatten();
        entries.filter(|(_, record)| record.desired != Desired::Inactive)
    }

    /// The states of a unit, by machine.
    pub fn states_of(&self, unit: &UnitName) -> impl Iterator<Item = (&MachineId, &StateRecord)> {
        self.states.get(unit).into_iter().flatten()
    }

    /// The state of a unit on a machine.
    pub fn state(&self, unit: &UnitName, machine: &MachineId) -> Option<&StateRecord> {
        self.states.get(unit)?.get(machine)
    }

    /// The machine that a unit is on: the scheduled one; else one that says that the unit runs there.
    pub fn machine_of(&self, unit: &UnitName) -> Option<&MachineId> {
        let scheduled = self.scheduled(unit).map(|(machine, _)| machine).next();
        scheduled.or_else(|| {
            let runs =
                |state: &StateRecord| matches!(state.active.as_str(), "active" | "activating" | "reloading");
            self.states_of(unit).find(|(_, state)| runs(state)).map(|(machine, _)| machine)
        })
    }

    /// Units that run though the store knows nothing of them, with their machines.
    pub fn unclaimed(&self) -> Vec<(&UnitName, &MachineId)> {
        let states =
            self.states.iter().flat_map(|(unit, all)| all.iter().map(move |(id, state)| (unit, id, state)));
        states.filter(|(.., state)| state.unclaimed).map(|(unit, id, _)| (unit, id)).collect()
    }

    /// Every machine that is there, or that has units or orders.
    pub fn known_machines(&self) -> BTreeSet<&MachineId> {
        let scheduled = self.schedule.values().flat_map(BTreeMap::keys);
        self.machines.keys().chain(self.maintenance.keys()).chain(scheduled).collect()
    }

    /// Whether the text asks for all machines. Text that can't be read asks for nothing.
    pub fn is_global(&self, unit: &UnitName) -> bool {
        self.units
            .get(unit)
            .and_then(|stored| stored.definition(unit).ok())
            .is_some_and(|read| read.rules.global)
    }

    /// A machine as fleet's tables show it: the beginning of its id and its address, or all of it.
    pub fn label(&self, machine: &MachineId, full: bool) -> String {
        let id = if full || machine.short().len() == machine.as_str().len() {
            machine.as_str().to_owned()
        } else {
            format!("{}...", machine.short())
        };
        match self.machines.get(machine).and_then(|record| record.address) {
            Some(address) => format!("{id}/{address}"),
            None => id,
        }
    }
}

fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => drop(map.insert(key, value)),
        None => drop(map.remove(&key)),
    }
}

fn put_below<K: Ord, L: Ord, V>(map: &mut BTreeMap<K, BTreeMap<L, V>>, key: K, below: L, value: Option<V>) {
    if let Some(value) = value {
        map.entry(key).or_default().insert(below, value);
    } else if let Some(inner) = map.get_mut(&key) {
        inner.remove(&below);
        if inner.is_empty() {
            map.remove(&key);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn entry(key: &str, value: &str, revision: i64) -> Entry {
        Entry {
            key: key.to_owned(),
            value: value.as_bytes().to_vec(),
            create_revision: Revision::new(revision),
            mod_revision: Revision::new(revision),
            version: 1,
            lease: 0,
        }
    }

    pub(crate) fn picture(entries: &[(&str, &str)]) -> Picture {
        let entries: Vec<Entry> =
            (1..).zip(entries).map(|(revision, (key, value))| entry(key, value, revision)).collect();
        Picture::of(&entries)
    }

    pub(crate) fn unit(name: &str) -> UnitName {
        UnitName::parse(name).unwrap()
    }

    pub(crate) fn machine(id: &str) -> MachineId {
        MachineId::parse(id).unwrap()
    }

    #[test]
    fn a_picture_is_taken_from_keys_and_follows_changes() {
        let mut picture = picture(&[
            ("/convoy/machines/m1", r#"{"name":"one","address":"10.0.0.1"}"#),
            ("/convoy/units/b.service", r#"{"text":"","desired":"launched"}"#),
            ("/convoy/units/a.service", r#"{"text":"[X-Fleet]\nGlobal=true\n","desired":"loaded"}"#),
            ("/convoy/units/evil.service", r#"{"text":42}"#),
            ("/convoy/schedule/m1/b.service", r#"{"hash":"x","desired":"launched"}"#),
            (
                "/convoy/states/m1/b.service",
                r#"{"load":"loaded","active":"active","sub":"running","hash":"x"}"#,
            ),
            (
                "/convoy/instances/b/1",
                r#"{"state":"passing","machine_id":"m1","unit":"b@1.service","since":1}"#,
            ),
            ("/convoy/routes/b", "{}"),
        ]);
        let names: Vec<_> = picture.in_order().iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(names, ["b.service", "a.service"], "in the order of submission");
        assert!(picture.is_global(&unit("a.service")) && !picture.is_global(&unit("b.service")));
        assert_eq!(picture.machine_of(&unit("b.service")), Some(&machine("m1")));
        assert_eq!(picture.label(&machine("m1"), false), "m1/10.0.0.1");
        assert_eq!(picture.broken.keys().collect::<Vec<_>>(), ["/convoy/units/evil.service"]);
        assert_eq!(picture.instances.len(), 1);

        let gone = |key: &str| Change::Delete { key: key.into(), mod_revision: Revision::new(20) };
        picture.apply(&FeedEvent::Changed {
            revision: Revision::new(20),
            changes: vec![
                gone("/convoy/schedule/m1/b.service"),
                gone("/convoy/units/evil.service"),
                gone("/convoy/instances/b/1"),
            ],
        });
        assert_eq!(picture.machine_of(&unit("b.service")), Some(&machine("m1")), "it still runs there");
        assert!(picture.broken.is_empty() && picture.instances.is_empty());
        assert!(picture.schedule.is_empty());
    }

    #[test]
    fn a_machine_is_shown_as_fleet_shows_it() {
        let id = "148a18ff6e954cd892dac9de9bb90d5a";
        let picture =
            picture(&[(&format!("/convoy/machines/{id}"), r#"{"name":"one","address":"10.0.1.1"}"#)]);
        let other = machine("113f16a7aaaaaaaa");
        for (id, full, label) in [
            (&machine(id), false, "148a18ff.../10.0.1.1"),
            (&machine(id), true, "148a18ff6e954cd892dac9de9bb90d5a/10.0.1.1"),
            (&other, false, "113f16a7..."),
            (&other, true, "113f16a7aaaaaaaa"),
        ] {
            assert_eq!(picture.label(id, full), label);
        }
    }
}
