//! How one unit gets from where it is to where it shall be. A unit is never told to run on a second machine while another
//! one that is there still has it: first the old entry is deleted, then the old machine's state key has to vanish, and
//! only then the new entry is written. All of this is read off the store, so that a new leader goes on where the old one
//! stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use convoy_keys::{
    Desired, MachineId, MaintenanceMode, Record, ScheduleRecord, StateRecord, machine_key, schedule_key,
    state_key,
};
use convoy_unit_files::{CutOff, Definition, UnitName};

use crate::event::{Cause, Event};
use crate::input::{Standing, entries};
use crate::memory::{Intent, Memory};
use crate::policy::Policy;
use crate::presence::{Census, Presence};
use crate::step::{Expected, Write};
use crate::time::{Alarm, Now};
use crate::world::{Reading, Scheduled, World};

/// How long a machine that came back may take to say what it runs: its record and its states reach us one by one.
const REPORT: Duration = Duration::from_secs(2);

/// Where a unit shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// On this machine.
    One(MachineId),
    /// On these machines.
    All(BTreeSet<MachineId>),
    /// There is no place for it.
    Pending,
    /// Nobody wants it.
    Nowhere,
    /// Where it is.
    Kept,
}

impl Target {
    /// Whether it may be on that machine.
    pub(crate) fn includes(&self, machine: &MachineId) -> bool {
        match self {
            Self::One(target) => target == machine,
            Self::All(targets) => targets.contains(machine),
            Self::Kept => true,
            Self::Pending | Self::Nowhere => false,
        }
    }
}

/// What all courses are set by.
pub(crate) struct Chart<'a> {
    pub(crate) world: &'a World,
    pub(crate) policy: &'a Policy,
    pub(crate) census: &'a Census,
    pub(crate) now: Now,
    pub(crate) standings: &'a BTreeMap<UnitName, Standing>,
    /// What each machine still has and shall let go.
    pub(crate) departing: BTreeMap<MachineId, Vec<UnitName>>,
}

/// What is to be written for one unit.
#[derive(Debug, Default)]
pub(crate) struct Course {
    /// In any case.
    pub(crate) at_once: Vec<Write>,
    /// When nothing is waited for any more: the new entry, and what goes with it.
    pub(crate) together: Vec<Write>,
    /// Keys that have to exist for that.
    pub(crate) present: Vec<String>,
    /// Keys that must not exist for that.
    pub(crate) absent: Vec<String>,
    /// What is waited for.
    pub(crate) waits: Option<String>,
    /// Where it is going.
    pub(crate) intent: Option<Intent>,
    /// It may turn out to be somewhere already: then it stays there instead.
    pub(crate) is_tentative: bool,
    /// To be told when it got there.
    pub(crate) event: Option<Event>,
}

impl Course {
    fn wait(&mut self, reason: String) {
        self.waits.get_or_insert(reason);
    }
}

impl Chart<'_> {
    pub(crate) fn states(&self, unit: &UnitName) -> impl Iterator<Item = (&MachineId, &StateRecord)> {
        // What a machine that is away said last is no news.
        let present = |(machine, _): &(&MachineId, &StateRecord)| self.census.is_present(machine);
        self.world.states.get(unit).into_iter().flatten().filter(present)
    }

    fn has_state(&self, unit: &UnitName, machine: &MachineId) -> bool {
        self.states(unit).any(|(found, _)| found == machine)
    }

    pub(crate) fn presence(&self, machine: &MachineId) -> Presence {
        // A machine that has an entry is in the census.
        let now = self.now.monotonic;
        self.census.machines.get(machine).copied().unwrap_or(Presence::Gone { since: now })
    }
}

/// The entry that a unit is to have.
pub(crate) fn wanted(definition: &Definition, desired: Desired, restarts: u64) -> ScheduleRecord {
    ScheduleRecord { hash: definition.hash.clone(), desired, restarts }
}

/// Writes an entry. `None` if it says that already.
pub(crate) fn entry(
    unit: &UnitName,
    machine: &MachineId,
    found: Option<&Scheduled>,
    record: &ScheduleRecord,
) -> Option<Write> {
    if found.is_some_and(|found| found.record.as_ref() == Some(record)) {
        return None;
    }
    let expected = found.map_or(Expected::Absent, |found| Expected::At(found.modified));
    // Three short fields are always JSON.
    let value = record.to_json().ok()?;
    Some(Write::put(schedule_key(machine, unit), expected, value))
}

pub(crate) fn delete(unit: &UnitName, machine: &MachineId, found: &Scheduled) -> Write {
    Write::delete(schedule_key(machine, unit), Expected::At(found.modified))
}

/// Sets the course of a unit that is not global.
pub(crate) fn ordinary(
    chart: &Chart<'_>,
    memory: &Memory,
    alarm: &mut Alarm,
    unit: &UnitName,
    target: &Target,
) -> Course {
    let mut course = Course::default();
    match (target, chart.standings.get(unit)) {
        (Target::One(machine), Some(Standing::Runs { definition, desired, restarts, .. })) => {
            let record = wanted(definition, *desired, *restarts);
            go(chart, memory, alarm, unit, definition, machine, &record, &mut course);
        }
        (Target::Pending, _) => {
            for (machine, found) in entries(chart.world, unit) {
                // A machine that is away may come back with what it has.
                if chart.census.is_present(machine) {
                    course.at_once.push(delete(unit, machine, found));
                }
            }
        }
        (Target::Kept, Some(Standing::Kept { desired: Some(desired) })) => {
            for (machine, found) in entries(chart.world, unit) {
                let Some(record) = &found.record else { continue };
                let record = ScheduleRecord { desired: *desired, ..record.clone() };
                course.at_once.extend(entry(unit, machine, Some(found), &record));
            }
        }
        (Target::Nowhere, _) => {
            let found = entries(chart.world, unit);
            course.at_once.extend(found.map(|(machine, found)| delete(unit, machine, found)));
        }
        _ => {}
    }
    evictions(chart, unit, target, &mut course);
    course
}

/// A machine that runs a unit which belongs elsewhere, or nowhere, by the operator's word, and that waits for a word of
/// its own, is told to let it go; and the word is taken back when that is done.
pub(crate) fn evictions(chart: &Chart<'_>, unit: &UnitName, target: &Target, course: &mut Course) {
    let scheduled = chart.world.schedule.get(unit);
    for (machine, found) in scheduled.into_iter().flatten().filter(|(_, found)| found.is_eviction()) {
        if !target.includes(machine) && !chart.has_state(unit, machine) {
            course.at_once.push(delete(unit, machine, found));
        }
    }
    let decided = match target {
        Target::One(_) | Target::All(_) => true,
        Target::Nowhere => {
            matches!(chart.standings.get(unit), Some(Standing::Nowhere { dismissed: true }))
        }
        Target::Pending | Target::Kept => false,
    };
    if !decided {
        return;
    }
    for (machine, state) in chart.states(unit) {
        let has_entry = scheduled.is_some_and(|scheduled| scheduled.contains_key(machine));
        if state.unclaimed && !has_entry && !target.includes(machine) {
            let record = ScheduleRecord { hash: state.hash.clone(), desired: Desired::Inactive, restarts: 0 };
            course.at_once.extend(entry(unit, machine, None, &record));
        }
    }
}

#[allow(clippy::too_many_arguments, reason = "one unit's situation has this many sides")]
fn go(
    chart: &Chart<'_>,
    memory: &Memory,
    alarm: &mut Alarm,
    unit: &UnitName,
    definition: &Definition,
    target: &MachineId,
    record: &ScheduleRecord,
    course: &mut Course,
) {
    let there = chart.world.schedule.get(unit).and_then(|scheduled| scheduled.get(target));
    if there.is_some_and(|found| !found.is_eviction()) {
        course.at_once.extend(entry(unit, target, there, record));
        let others = entries(chart.world, unit).filter(|(machine, _)| *machine != target);
        course.at_once.extend(others.map(|(machine, found)| delete(unit, machine, found)));
        return;
    }
    course.together.extend(entry(unit, target, there, record));
    let once = definition.cut_off == CutOff::AtMostOne;
    let fence = chart.policy.fence_wait(definition.stop_within);
    let runs_there = chart.has_state(unit, target);
    let mut from = None;
    for (machine, found) in entries(chart.world, unit).filter(|(machine, _)| *machine != target) {
        from.get_or_insert((machine.clone(), cause(chart, memory, unit, machine, target)));
        match chart.presence(machine) {
            Presence::Present if chart.has_state(unit, machine) => {
                course.at_once.push(delete(unit, machine, found));
            }
            // Whether it runs there is not known before the machine has said something.
            Presence::Present if once => course.wait(format!("{machine} has not answered yet")),
            Presence::Gone { since } if once && chart.now.monotonic < since + fence => {
                alarm.at(since + fence);
                course.wait(format!("it may still run on {machine}, which is cut off"));
            }
            Presence::Held => course.wait(format!("{machine} is waited for")),
            Presence::Gone { .. } => {
                // Whoever comes back in this very moment has it, and keeps it.
                course.absent.push(machine_key(machine));
                course.together.push(delete(unit, machine, found));
            }
            Presence::Present => {
                // It may be starting it right now; then it is told to stop it first.
                course.absent.push(state_key(machine, unit));
                course.together.push(delete(unit, machine, found));
            }
        }
    }
    // A machine that says it has it already, though it belongs elsewhere, is believed; but no second one beside it if it
    // may run at most once.
    if !runs_there || once {
        for (machine, _) in chart.states(unit).filter(|(machine, _)| *machine != target) {
            from.get_or_insert((machine.clone(), cause(chart, memory, unit, machine, target)));
            course.wait(format!("{machine} still has it"));
        }
    }
    if once {
        suspicions(chart, memory, alarm, unit, definition, target, course);
    }
    if !runs_there {
        let newcomer = from.is_none() && !memory.intents.contains_key(unit);
        if newcomer && memory.fresh && chart.now.monotonic < memory.settles {
            alarm.at(memory.settles);
            course.is_tentative = true;
            course.wait("the store is new; machines may still be announcing what they run".to_owned());
        }
        if let Some(other) = in_the_way(chart, unit, definition, target) {
            course.wait(format!("{other} is still leaving {target}"));
        }
    }
    let from = memory.intents.get(unit).and_then(|intent| intent.from.clone()).or(from);
    course.event = Some(match &from {
        Some((from, cause)) if from != target => {
            Event::Moved { unit: unit.clone(), from: from.clone(), to: target.clone(), cause: *cause }
        }
        _ if runs_there => Event::Adopted { unit: unit.clone(), machine: target.clone() },
        _ => Event::Placed { unit: unit.clone(), machine: target.clone() },
    });
    course.intent = Some(Intent { to: target.clone(), from });
}

/// For a unit that may run at most once: every machine where it may be running has to be there and without it at the
/// moment of the write, or gone for long enough.
fn suspicions(
    chart: &Chart<'_>,
    memory: &Memory,
    alarm: &mut Alarm,
    unit: &UnitName,
    definition: &Definition,
    target: &MachineId,
    course: &mut Course,
) {
    let fence = chart.policy.fence_wait(definition.stop_within);
    let suspects = memory.suspects.get(unit);
    for machine in suspects.into_iter().flatten().filter(|machine| *machine != target) {
        match chart.census.machines.get(machine) {
            Some(Presence::Present) => {
                let known = memory.machines.get(machine);
                if let Some(returned) = known.and_then(|known| known.returned)
                    && chart.now.monotonic < returned + REPORT
                {
                    alarm.at(returned + REPORT);
                    course.wait(format!("{machine} is back, and may not have said yet what it runs"));
                }
                // Its state key went with its lease, not because the unit was stopped, if the machine goes now.
                course.present.push(machine_key(machine));
                course.absent.push(state_key(machine, unit));
            }
            Some(Presence::Gone { since }) if chart.now.monotonic < *since + fence => {
                alarm.at(*since + fence);
                course.wait(format!("it may still run on {machine}, which is cut off"));
            }
            Some(Presence::Held) => course.wait(format!("{machine} is waited for")),
            Some(Presence::Gone { .. }) => course.absent.push(machine_key(machine)),
            None => {}
        }
    }
    // Nobody remembers where it was: under a former leader it may have left, or been destroyed, on a machine that is
    // cut off by now, and even a unit that was submitted just now may have been there before.
    if suspects.is_none_or(BTreeSet::is_empty)
        && let Some(began) = memory.began
        && chart.now.monotonic < began + fence
    {
        alarm.at(began + fence);
        course.wait("it may still run on a machine that is cut off".to_owned());
    }
}

/// Takes in where units that may run at most once may be running. A unit that is destroyed and submitted again may still
/// be running on a machine that is cut off.
pub(crate) fn suspect(
    world: &World,
    policy: &Policy,
    memory: &mut Memory,
    census: &Census,
    now: Now,
    standings: &BTreeMap<UnitName, Standing>,
) {
    let lingers = |machine: &MachineId| match census.machines.get(machine) {
        Some(Presence::Gone { since }) => now.monotonic < *since + policy.longest_fence(),
        Some(Presence::Held) => true,
        Some(Presence::Present) | None => false,
    };
    // Whoever destroys a unit does not stop it at once. What its rule was is not known any more, and what it will be when
    // it is submitted again is not known yet.
    for unit in
        world.schedule.keys().chain(world.states.keys()).filter(|unit| !world.units.contains_key(*unit))
    {
        let suspects = memory.suspects.entry(unit.clone()).or_default();
        suspects.extend(entries(world, unit).map(|(machine, _)| machine.clone()));
        suspects.extend(world.states.get(unit).into_iter().flat_map(BTreeMap::keys).cloned());
    }
    memory.suspects.retain(|unit, machines| {
        world.units.contains_key(unit) || world.states.contains_key(unit) || machines.iter().any(lingers)
    });
    for (unit, seen) in &world.units {
        let Reading::Good { definition, .. } = &seen.reading else { continue };
        if definition.cut_off != CutOff::AtMostOne || !standings.contains_key(unit) {
            continue;
        }
        let scheduled: Vec<&MachineId> = entries(world, unit).map(|(machine, _)| machine).collect();
        let states: Vec<&MachineId> = world.states.get(unit).into_iter().flat_map(BTreeMap::keys).collect();
        let suspects = memory.suspects.entry(unit.clone()).or_default();
        match (scheduled.as_slice(), states.as_slice()) {
            // It got there only after all others were cleared.
            ([entry], [state]) if entry == state => *suspects = BTreeSet::from([(*entry).clone()]),
            _ => suspects.extend(scheduled.into_iter().chain(states).cloned()),
        }
    }
}

/// A unit that the target still has, that leaves it, and that can't be there together with this one.
fn in_the_way<'a>(
    chart: &'a Chart<'_>,
    unit: &UnitName,
    definition: &Definition,
    target: &MachineId,
) -> Option<&'a UnitName> {
    chart.departing.get(target)?.iter().filter(|other| *other != unit).find(|other| {
        excludes(definition, other)
            || chart.world.units.get(*other).is_some_and(|seen| match &seen.reading {
                Reading::Good { definition, .. } => excludes(definition, unit),
                _ => false,
            })
    })
}

fn excludes(definition: &Definition, other: &UnitName) -> bool {
    let rules = &definition.rules;
    rules.conflicts.iter().chain(&rules.replaces).any(|glob| glob.matches(other.as_str()))
}

fn cause(chart: &Chart<'_>, memory: &Memory, unit: &UnitName, from: &MachineId, to: &MachineId) -> Cause {
    let is_asked = chart.world.moves.get(unit).is_some_and(|asked| asked.record.machine == *to);
    let mode = chart.world.maintenance.get(from).map(|asked| asked.record.mode);
    if matches!(chart.presence(from), Presence::Gone { .. }) {
        Cause::MachineLost
    } else if is_asked {
        Cause::Asked
    } else if mode == Some(MaintenanceMode::Drain) {
        Cause::Drain
    } else if memory.avoid.get(unit).is_some_and(|avoided| avoided.machines.contains_key(from)) {
        Cause::Failures
    } else {
        Cause::Rules
    }
}
