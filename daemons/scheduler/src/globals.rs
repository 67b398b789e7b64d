//! Units that run on every machine that fits: entries for all of them, and new versions machine by machine.

use std::collections::BTreeSet;

use convoy_keys::{Desired, MachineId, ScheduleRecord, StateRecord};
use convoy_unit_files::UnitName;

use crate::course::{Chart, Course, Target, delete, entry, evictions, wanted};
use crate::event::Event;
use crate::input::{Standing, accepts, entries};
use crate::memory::Memory;
use crate::presence::Presence;
use crate::world::Scheduled;

/// What became of a new version on a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrival {
    Awaited,
    Good,
    Failed,
}

/// The machines of a global unit: where placement says, and where it is already on machines that keep what they have.
pub(crate) fn targets(chart: &Chart<'_>, unit: &UnitName, placed: &BTreeSet<String>) -> BTreeSet<MachineId> {
    let has_entry = |id: &MachineId| entries(chart.world, unit).any(|(machine, _)| machine == id);
    let keeps = |id: &MachineId| match chart.presence(id) {
        Presence::Held => true,
        Presence::Present => accepts(chart.world, id) == convoy_placement::Accepts::Present,
        Presence::Gone { .. } => false,
    };
    let machines = chart.census.machines.keys();
    machines
        .filter(|id| if keeps(id) { has_entry(id) } else { placed.contains(id.as_str()) })
        .cloned()
        .collect()
}

/// Sets the course of a global unit.
pub(crate) fn global(chart: &Chart<'_>, memory: &mut Memory, unit: &UnitName, target: &Target) -> Course {
    let mut course = Course::default();
    let (Target::All(machines), Some(Standing::Runs { definition, desired, restarts, .. })) =
        (target, chart.standings.get(unit))
    else {
        return course;
    };
    let record = wanted(definition, *desired, *restarts);
    let scheduled = chart.world.schedule.get(unit);
    let mut outdated = Vec::new();
    let mut arrived = Vec::new();
    for machine in machines {
        match scheduled.and_then(|scheduled| scheduled.get(machine)) {
            Some(found) if found.is_eviction() => {
                course.at_once.extend(entry(unit, machine, Some(found), &record));
            }
            Some(found) if is_version(found, &record) => {
                // Loaded or launched is no new version.
                course.at_once.extend(entry(unit, machine, Some(found), &record));
                arrived.push(machine);
            }
            Some(found) => outdated.push((machine, found)),
            None => course.at_once.extend(entry(unit, machine, None, &record)),
        }
    }
    for (machine, found) in entries(chart.world, unit).filter(|(machine, _)| !machines.contains(*machine)) {
        course.at_once.push(delete(unit, machine, found));
    }
    rollout(chart, memory, unit, &record, &arrived, &outdated, &mut course);
    evictions(chart, unit, target, &mut course);
    course
}

fn is_version(found: &Scheduled, record: &ScheduleRecord) -> bool {
    let version = |found: &ScheduleRecord| found.hash == record.hash && found.restarts == record.restarts;
    found.record.as_ref().is_some_and(version)
}

/// Lets the next machine have the new version, when it is up on all that have it.
fn rollout(
    chart: &Chart<'_>,
    memory: &mut Memory,
    unit: &UnitName,
    record: &ScheduleRecord,
    arrived: &[&MachineId],
    outdated: &[(&MachineId, &Scheduled)],
    course: &mut Course,
) {
    if outdated.is_empty() {
        memory.rollouts.remove(unit);
        memory.stopped.remove(unit);
        return;
    }
    for machine in arrived.iter().copied().filter(|machine| chart.census.is_present(machine)) {
        let state = chart.states(unit).find(|(found, _)| *found == machine).map(|(_, state)| state);
        let before =
            memory.rollouts.get(unit).filter(|(last, _)| last == machine).map(|(_, run)| run.as_str());
        match arrival(state, record, before) {
            Arrival::Good => {}
            Arrival::Awaited => {
                return course.waits = Some(format!("its new version is starting on {machine}"));
            }
            Arrival::Failed => {
                course.waits = Some(format!("its new version failed on {machine}; the rollout has stopped"));
                if memory.stopped.insert(unit.clone(), record.hash.clone()).as_deref() != Some(&record.hash) {
                    course.event =
                        Some(Event::RolloutStopped { unit: unit.clone(), machine: machine.clone() });
                }
                return;
            }
        }
    }
    // Who is away reads its new entry when it is back; who is there comes first.
    let next = outdated.iter().min_by_key(|(machine, _)| (!chart.census.is_present(machine), *machine));
    let Some((machine, found)) = next else { return };
    let run = chart.states(unit).find(|(other, _)| other == machine);
    let run = run.map(|(_, state)| state.invocation_id.clone()).unwrap_or_default();
    memory.rollouts.insert(unit.clone(), ((*machine).clone(), run));
    course.at_once.extend(entry(unit, machine, Some(found), record));
}

fn arrival(state: Option<&StateRecord>, record: &ScheduleRecord, before: Option<&str>) -> Arrival {
    let Some(state) = state else { return Arrival::Awaited };
    if state.hash != record.hash || state.restarts < record.restarts {
        return if state.error.is_some() { Arrival::Failed } else { Arrival::Awaited };
    }
    if state.error.is_some() || state.active == "failed" {
        return Arrival::Failed;
    }
    if record.desired == Desired::Loaded {
        return Arrival::Good;
    }
    let before = before.filter(|before| !before.is_empty());
    let is_new = before.is_none_or(|before| before != state.invocation_id);
    match state.active.as_str() {
        "active" | "reloading" | "refreshing" if is_new => Arrival::Good,
        // A oneshot that did its work.
        "inactive" if is_new && before.is_some() && state.failures == 0 => Arrival::Good,
        _ => Arrival::Awaited,
    }
}
