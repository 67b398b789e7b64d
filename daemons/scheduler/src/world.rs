//! What the store says, parsed. Whatever does not parse is kept out, or kept as "there, but unreadable" where its mere
//! presence means something, and named once with its key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use convoy_keys::{
    ClusterKey, Desired, FreezeRecord, MachineId, MachineRecord, MaintenanceRecord, MoveRecord, Record,
    ScheduleRecord, StateRecord, UnitRecord,
};
use convoy_store::{Change, Entry, FeedEvent, Revision};
use convoy_unit_files::{Definition, Strictness, UnitName};

use crate::step::Write;

/// A machine that has a record.
#[derive(Debug, Clone, PartialEq)]
pub struct MachineSeen {
    /// What it says of itself; nothing when its record can't be read. It is there all the same.
    pub record: Option<MachineRecord>,
    /// When it announced itself.
    pub created: Revision,
    /// The lease that its record hangs on.
    pub lease: i64,
}

/// A record that an operator wrote, and the revision of that.
#[derive(Debug, Clone, PartialEq)]
pub struct Written<T> {
    /// The record.
    pub record: T,
    /// When it was written.
    pub modified: Revision,
}

/// A unit that has a record.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitSeen {
    /// When it was submitted: the order of units.
    pub created: Revision,
    /// When it was written last.
    pub modified: Revision,
    /// What can be made of the record.
    pub reading: Reading,
}

/// What can be made of a unit's record.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// A template: never placed itself.
    Template,
    /// A unit.
    Good {
        /// The unit file.
        definition: Arc<Definition>,
        /// What is wanted.
        desired: Desired,
        /// How often a restart was asked for.
        restarts: u64,
    },
    /// The record is one, but its text is no unit file that may run.
    Rejected {
        /// Why, with the remedy.
        problem: String,
        /// What is wanted.
        desired: Desired,
    },
    /// No unit record.
    Unreadable {
        /// Why.
        problem: String,
    },
}

/// An entry of a machine's schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct Scheduled {
    /// The entry; nothing when it can't be read.
    pub record: Option<ScheduleRecord>,
    /// When it was written last.
    pub modified: Revision,
}

impl Scheduled {
    /// The entry says that the machine shall let the unit go.
    pub fn is_eviction(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.desired == Desired::Inactive)
    }
}

/// Something by unit and machine.
pub type Placed<T> = BTreeMap<UnitName, BTreeMap<MachineId, T>>;

/// How soon news want to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum News {
    /// Nothing that counts has changed.
    None,
    /// Soon; more may follow.
    Ordinary,
    /// At once: a machine is gone, or everything was read anew.
    Urgent,
}

/// How far what is known can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Picture {
    /// Nothing was read yet.
    #[default]
    Unread,
    /// In step with the store.
    Current,
    /// The store does not answer.
    Stale,
}

/// The state of the cluster, as far as it concerns placement.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// Machines that are there.
    pub machines: BTreeMap<MachineId, MachineSeen>,
    /// What operators want of machines.
    pub maintenance: BTreeMap<MachineId, Written<MaintenanceRecord>>,
    /// What was submitted.
    pub units: BTreeMap<UnitName, UnitSeen>,
    /// Where operators want units to go.
    pub moves: BTreeMap<UnitName, Written<MoveRecord>>,
    /// What machines have to run.
    pub schedule: Placed<Scheduled>,
    /// What machines have.
    pub states: Placed<StateRecord>,
    /// What is said of a freeze; the record is nothing when it can't be read.
    pub freeze: Option<Written<Option<FreezeRecord>>>,
    /// The operator's word that a freeze shall end.
    pub resume: Option<Revision>,
    /// The store has a name.
    pub cluster: bool,
    /// Machines that vanished since the last look, though they may have been back in between.
    pub departed: BTreeSet<MachineId>,
    /// Everything was read anew since the last look: what happened before is not known.
    pub is_anew: bool,
    /// Machines whose leases are not being renewed for all that is known, if somebody has just asked for that: they may be
    /// gone already.
    pub wavering: Option<BTreeSet<MachineId>>,
    /// Keys whose values can't be used, with the reason.
    pub unusable: BTreeMap<String, String>,
    revision: Revision,
    picture: Picture,
    /// Own writes that the feed has not told of yet. What it tells about these keys from before is old.
    own: BTreeMap<String, Revision>,
    /// A listing came that is older than some of them.
    behind: bool,
}

impl World {
    /// Nothing was read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether this is the state of the store: everything was read, and nothing is known to be missing.
    pub fn is_current(&self) -> bool {
        self.picture == Picture::Current && (!self.behind || self.own.is_empty())
    }

    /// Whether a machine has something to run and is not there.
    pub fn misses_machines(&self) -> bool {
        self.schedule.values().flat_map(BTreeMap::keys).any(|machine| !self.machines.contains_key(machine))
    }

    /// The revision of the last change that is in.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// A look was taken.
    pub fn looked(&mut self) {
        self.departed.clear();
        self.is_anew = false;
        self.wavering = None;
    }

    /// Takes in what the feed tells.
    pub fn apply(&mut self, event: &FeedEvent) -> News {
        match event {
            FeedEvent::Listed(snapshot) => {
                let mut next = Self {
                    revision: snapshot.revision,
                    picture: Picture::Current,
                    own: std::mem::take(&mut self.own),
                    departed: std::mem::take(&mut self.departed),
                    is_anew: true,
                    ..Self::default()
                };
                next.own.retain(|_, revision| *revision > snapshot.revision);
                next.behind = !next.own.is_empty();
                for entry in snapshot.entries.values() {
                    next.put(entry, Some(&self.units));
                }
                *self = next;
                News::Urgent
            }
            FeedEvent::Changed { revision, changes } => {
                self.revision = self.revision.max(*revision);
                changes.iter().map(|change| self.change(change)).max().unwrap_or(News::None)
            }
            FeedEvent::Stale { .. } => {
                if self.picture == Picture::Current {
                    self.picture = Picture::Stale;
                }
                News::None
            }
            FeedEvent::Current { .. } => {
                if self.picture != Picture::Stale {
                    return News::None;
                }
                self.picture = Picture::Current;
                News::Urgent
            }
        }
    }

    /// Takes in own writes that the store has made.
    pub fn wrote(&mut self, writes: &[Write], revision: Revision) {
        for write in writes {
            self.own.insert(write.key.clone(), revision);
            match &write.value {
                Some(value) => {
                    let entry = Entry {
                        key: write.key.clone(),
                        value: value.clone(),
                        create_revision: revision,
                        mod_revision: revision,
                        version: 1,
                        lease: 0,
                    };
                    self.put(&entry, None);
                }
                None => self.remove(&write.key),
            }
        }
    }

    fn change(&mut self, change: &Change) -> News {
        if let Some(own) = self.own.get(change.key()) {
            if change.mod_revision() < *own {
                return News::None;
            }
            let is_own = change.mod_revision() == *own;
            self.own.remove(change.key());
            if is_own {
                return if self.behind && self.own.is_empty() { News::Ordinary } else { News::None };
            }
        }
        match change {
            Change::Put(entry) => {
                self.put(entry, None);
                News::Ordinary
            }
            Change::Delete { key, .. } => {
                self.remove(key);
                let Some(ClusterKey::Machine(id)) = ClusterKey::parse(key) else { return News::Ordinary };
                self.departed.insert(id);
                News::Urgent
            }
        }
    }

    /// Takes in an entry. `known` are units that were parsed before.
    fn put(&mut self, entry: &Entry, known: Option<&BTreeMap<UnitName, UnitSeen>>) {
        self.unusable.remove(&entry.key);
        let modified = entry.mod_revision;
        let Some(key) = ClusterKey::parse(&entry.key) else {
            return self
                .refuse(entry, "no machine and no unit can have such a name; delete the key".to_owned());
        };
        match key {
            ClusterKey::Machine(id) => {
                let record =
                    self.parse::<MachineRecord>(entry, "the machine is taken for one that is cordoned");
                self.machines
                    .insert(id, MachineSeen { record, created: entry.create_revision, lease: entry.lease });
            }
            ClusterKey::Maintenance(id) => {
                match self.parse::<MaintenanceRecord>(entry, "it counts for nothing; delete the key") {
                    Some(record) => drop(self.maintenance.insert(id, Written { record, modified })),
                    None => drop(self.maintenance.remove(&id)),
                }
            }
            ClusterKey::Move(unit) => {
                match self.parse::<MoveRecord>(entry, "it counts for nothing; delete the key") {
                    Some(record) => drop(self.moves.insert(unit, Written { record, modified })),
                    None => drop(self.moves.remove(&unit)),
                }
            }
            ClusterKey::Unit(unit) => {
                let seen = match known.and_then(|known| known.get(&unit)) {
                    Some(seen) if seen.modified == modified && seen.created == entry.create_revision => {
                        seen.clone()
                    }
                    _ => UnitSeen {
                        created: entry.create_revision,
                        modified,
                        reading: read(&unit, &entry.value),
                    },
                };
                if let Reading::Unreadable { problem } = &seen.reading {
                    let problem = format!("{problem}; submit the unit again; where it runs it is left alone");
                    self.refuse(entry, problem);
                }
                self.units.insert(unit, seen);
            }
            ClusterKey::Schedule(machine, unit) => {
                let record = self.parse::<ScheduleRecord>(entry, "it is written anew");
                self.schedule.entry(unit).or_default().insert(machine, Scheduled { record, modified });
            }
            ClusterKey::State(machine, unit) => {
                let record = self.parse::<StateRecord>(entry, "the unit is taken to be there");
                self.states.entry(unit).or_default().insert(machine, record.unwrap_or_default());
            }
            ClusterKey::Freeze => {
                let record = self.parse::<FreezeRecord>(entry, "it counts for nothing and is removed");
                self.freeze = Some(Written { record, modified });
            }
            ClusterKey::Resume => self.resume = Some(modified),
            ClusterKey::Cluster => self.cluster = true,
            ClusterKey::Leader => {}
        }
    }

    fn remove(&mut self, key: &str) {
        self.unusable.remove(key);
        match ClusterKey::parse(key) {
            Some(ClusterKey::Machine(id)) => drop(self.machines.remove(&id)),
            Some(ClusterKey::Maintenance(id)) => drop(self.maintenance.remove(&id)),
            Some(ClusterKey::Move(unit)) => drop(self.moves.remove(&unit)),
            Some(ClusterKey::Unit(unit)) => drop(self.units.remove(&unit)),
            Some(ClusterKey::Schedule(machine, unit)) => take_out(&mut self.schedule, &machine, &unit),
            Some(ClusterKey::State(machine, unit)) => take_out(&mut self.states, &machine, &unit),
            Some(ClusterKey::Freeze) => self.freeze = None,
            Some(ClusterKey::Resume) => self.resume = None,
            Some(ClusterKey::Cluster) => self.cluster = false,
            Some(ClusterKey::Leader) | None => {}
        }
    }

    fn parse<T: Record>(&mut self, entry: &Entry, consequence: &str) -> Option<T> {
        match T::parse(&entry.value) {
            Ok(record) => Some(record),
            Err(error) => {
                self.refuse(entry, format!("{error}; {consequence}"));
                None
            }
        }
    }

    fn refuse(&mut self, entry: &Entry, problem: String) {
        self.unusable.insert(entry.key.clone(), problem);
    }
}

fn read(name: &UnitName, value: &[u8]) -> Reading {
    let record = match UnitRecord::parse(value) {
        Ok(record) => record,
        Err(error) => return Reading::Unreadable { problem: error.to_string() },
    };
    if name.is_template() {
        return Reading::Template;
    }
    let strictness = if record.compatible { Strictness::Compatible } else { Strictness::Strict };
    match Definition::read(name, name.as_str(), &record.text, strictness) {
        Ok(definition) => Reading::Good {
            definition: Arc::new(definition),
            desired: record.desired,
            restarts: record.restarts,
        },
        Err(rejected) => Reading::Rejected { problem: rejected.to_string(), desired: record.desired },
    }
}

fn take_out<T>(placed: &mut Placed<T>, machine: &MachineId, unit: &UnitName) {
    if let Some(machines) = placed.get_mut(unit) {
        machines.remove(machine);
        if machines.is_empty() {
            placed.remove(unit);
        }
    }
}
