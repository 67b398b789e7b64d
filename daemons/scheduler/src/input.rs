//! The question to placement: machines, units, and where they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use convoy_keys::{Desired, MachineId, MaintenanceMode, StateRecord};
use convoy_placement::{Accepts, Capacity, Machine, Unit};
use convoy_unit_files::{Definition, Rules, UnitName};

use crate::memory::Memory;
use crate::presence::{Census, Presence};
use crate::world::{Reading, Scheduled, UnitSeen, World};

/// What is to be done about a unit.
#[derive(Debug, Clone)]
pub(crate) enum Standing {
    /// It is to run where placement says.
    Runs {
        definition: Arc<Definition>,
        desired: Desired,
        restarts: u64,
        /// Where it is now, as placement was told.
        current: Option<MachineId>,
    },
    /// Nobody can say what it is any more: it stays as it is, but for what is wanted of it where that is known.
    Kept { desired: Option<Desired> },
    /// It is to be nowhere.
    Nowhere {
        /// Somebody said so: a machine that runs it all the same is told to let it go.
        dismissed: bool,
    },
}

/// The question, and what each unit's part in it is.
#[derive(Debug, Default)]
pub(crate) struct Input {
    pub(crate) machines: Vec<Machine>,
    /// Each with its place in the order of submission.
    pub(crate) units: Vec<(u64, Unit)>,
    pub(crate) standings: BTreeMap<UnitName, Standing>,
    /// Units that nobody can place, with the reason.
    pub(crate) unplaceable: Vec<(UnitName, String)>,
}

/// Asks where everything shall be.
pub(crate) fn input(world: &World, memory: &Memory, census: &Census) -> Input {
    let mut input = Input {
        machines: census
            .machines
            .iter()
            .filter_map(|(id, presence)| machine(world, memory, id, *presence))
            .collect(),
        ..Input::default()
    };
    for (name, seen) in &world.units {
        let number = u64::try_from(seen.created.get()).unwrap_or_default();
        let standing = standing(world, memory, census, name, seen);
        match &standing {
            Standing::Runs { definition, current, .. } => {
                let unit = unit(world, memory, census, name, definition, current.as_ref());
                input.units.push((number, unit));
            }
            Standing::Kept { .. } => {
                if let Some((machine, _)) = entries(world, name).next() {
                    let (rules, current) = (pinned(machine, &Rules::default()), Some(machine.to_string()));
                    let name = name.to_string();
                    let unit = Unit { name, rules, wanted: true, current, ..Unit::default() };
                    input.units.push((number, unit));
                }
            }
            Standing::Nowhere { .. } => {}
        }
        let wanted = |desired: &Desired| *desired != Desired::Inactive;
        match &seen.reading {
            Reading::Rejected { problem, desired } if wanted(desired) => {
                input.unplaceable.push((name.clone(), format!("rejected: {problem}")));
            }
            Reading::Unreadable { problem } => {
                input.unplaceable.push((name.clone(), format!("its record can't be read: {problem}")));
            }
            _ => {}
        }
        input.standings.insert(name.clone(), standing);
    }
    // Whoever has an entry and no record was destroyed.
    for name in world.schedule.keys() {
        input.standings.entry(name.clone()).or_insert(Standing::Nowhere { dismissed: false });
    }
    input
}

/// A unit's entries, without those that say that it shall go.
pub(crate) fn entries<'a>(
    world: &'a World,
    unit: &UnitName,
) -> impl Iterator<Item = (&'a MachineId, &'a Scheduled)> {
    world.schedule.get(unit).into_iter().flatten().filter(|(_, entry)| !entry.is_eviction())
}

fn machine(world: &World, memory: &Memory, id: &MachineId, presence: Presence) -> Option<Machine> {
    let record = memory.machines.get(id).and_then(|known| known.record.as_ref());
    let accepts = match presence {
        Presence::Present => accepts(world, id),
        Presence::Held => Accepts::Present,
        Presence::Gone { .. } => return None,
    };
    Some(Machine {
        id: id.to_string(),
        metadata: record.map(|record| record.metadata.clone()).unwrap_or_default(),
        capacity: Capacity {
            memory: record.and_then(|record| record.memory),
            cpu_millis: record.and_then(|record| record.cpu_millis),
        },
        accepts,
    })
}

/// What a machine that is there takes.
pub(crate) fn accepts(world: &World, id: &MachineId) -> Accepts {
    let mode = world.maintenance.get(id).map(|asked| asked.record.mode);
    let record = world.machines.get(id).and_then(|seen| seen.record.as_ref());
    match (mode, record) {
        (Some(MaintenanceMode::Drain), _) => Accepts::Nothing,
        (Some(MaintenanceMode::Cordon | MaintenanceMode::Reboot), _) | (_, None) => Accepts::Present,
        (None, Some(record)) if record.agent_restarts => Accepts::Present,
        (None, Some(_)) => Accepts::All,
    }
}

fn standing(world: &World, memory: &Memory, census: &Census, name: &UnitName, seen: &UnitSeen) -> Standing {
    let has_entries = || entries(world, name).next().is_some();
    match &seen.reading {
        Reading::Good { desired: Desired::Inactive, .. }
        | Reading::Rejected { desired: Desired::Inactive, .. } => Standing::Nowhere { dismissed: true },
        Reading::Good { definition, desired, restarts } => Standing::Runs {
            current: current(world, memory, census, name, definition),
            definition: Arc::clone(definition),
            desired: *desired,
            restarts: *restarts,
        },
        Reading::Rejected { desired, .. } if has_entries() => Standing::Kept { desired: Some(*desired) },
        Reading::Unreadable { .. } if has_entries() => Standing::Kept { desired: None },
        Reading::Rejected { .. } | Reading::Unreadable { .. } | Reading::Template => {
            Standing::Nowhere { dismissed: false }
        }
    }
}

/// Where a unit is: where its entry says; or where it is going; or where it was found running.
fn current(
    world: &World,
    memory: &Memory,
    census: &Census,
    name: &UnitName,
    definition: &Definition,
) -> Option<MachineId> {
    if definition.rules.global {
        return None;
    }
    let states = world.states.get(name);
    let state = |machine: &MachineId| states.and_then(|states| states.get(machine));
    let stays = |machine: &&MachineId| census.is_present(machine) || census.is_held(machine);
    let scheduled: Vec<_> = entries(world, name).map(|(machine, _)| machine).filter(stays).collect();
    let running = |machine: &&&MachineId| state(machine).is_some_and(is_running);
    if let Some(machine) = scheduled.iter().find(running).or(scheduled.first()) {
        return Some((*machine).clone());
    }
    if let Some(machine) = memory.intents.get(name).filter(|intent| census.is_present(&intent.to)) {
        return Some(machine.to.clone());
    }
    let found = states.into_iter().flatten();
    let found = found.filter(|(machine, state)| census.is_present(machine) && is_running(state));
    let best = found.min_by_key(|(machine, state)| (state.hash != definition.hash, *machine));
    best.map(|(machine, _)| machine.clone())
}

/// systemd has it up, or is bringing it up.
pub(crate) fn is_running(state: &StateRecord) -> bool {
    matches!(state.active.as_str(), "active" | "activating" | "reloading" | "refreshing")
}

fn unit(
    world: &World,
    memory: &Memory,
    census: &Census,
    name: &UnitName,
    definition: &Definition,
    current: Option<&MachineId>,
) -> Unit {
    // The record of a machine that is waited for may be out of date, or was never seen: its units are not judged by it.
    let unjudged = |machine: &&MachineId| {
        let record = memory.machines.get(*machine).and_then(|known| known.record.as_ref());
        census.is_held(machine) || record.is_none()
    };
    let rules = match current.filter(unjudged) {
        Some(machine) => pinned(machine, &definition.rules),
        None => definition.rules.clone(),
    };
    let avoid: BTreeSet<String> = memory
        .avoid
        .get(name)
        .map(|avoided| avoided.machines.keys().map(ToString::to_string).collect())
        .unwrap_or_default();
    Unit {
        name: name.to_string(),
        rules,
        wanted: true,
        current: current.map(ToString::to_string),
        wish: world.moves.get(name).map(|asked| asked.record.machine.to_string()),
        avoid,
    }
}

/// Rules that hold nowhere else, and keep others off as before.
fn pinned(machine: &MachineId, rules: &Rules) -> Rules {
    Rules {
        machine_id: Some(machine.to_string()),
        conflicts: rules.conflicts.clone(),
        weight: rules.weight,
        ..Rules::default()
    }
}
