//! One look at the world: from what is, and what the leader remembers, to what is to be written.

use std::collections::{BTreeMap, BTreeSet};

use convoy_keys::{CLUSTER, ClusterRecord, MachineId, Record, move_key};
use convoy_placement::Placement;
use convoy_unit_files::UnitName;

use crate::avoid;
use crate::course::{self, Chart, Course, Target};
use crate::drain;
use crate::event::{Cause, Event};
use crate::globals;
use crate::groups::groups;
use crate::input::{Input, Standing, entries, input};
use crate::memory::Memory;
use crate::pack::{Parcel, pack};
use crate::policy::Policy;
use crate::presence::{Census, census};
use crate::step::{Expected, Step, Summary, Write};
use crate::time::{Alarm, Now};
use crate::world::{Reading, World};

/// What has to be done now. Nothing is done here; the same world, memory and clock give the same answer.
pub fn step(world: &World, policy: &Policy, memory: &mut Memory, now: Now) -> Step {
    let mut alarm = Alarm::default();
    let mut census = census(world, policy, memory, now, &mut alarm);
    let mut events = std::mem::take(&mut census.events);
    events.extend(avoid::update(world, policy, memory, now, &mut alarm));
    name_store(world, policy, memory, now, &mut census);
    let input = input(world, memory, &census);
    course::suspect(world, policy, memory, &census, now, &input.standings);
    // Taken out, so that the rest of the memory can be written while its answer is read.
    let mut plan = std::mem::take(&mut memory.plan);
    let placement = plan.ask(&input);

    let mut chart = Chart {
        world,
        policy,
        census: &census,
        now,
        standings: &input.standings,
        departing: BTreeMap::new(),
    };
    let mut targets = targets(&chart, placement);
    let groups = groups(&input.standings);
    let stuck = drain::pace(&chart, memory, &mut alarm, &groups, &mut targets);
    chart.departing = departing(&chart, &targets);

    let mut parcels = vec![Parcel { writes: census.writes.clone(), is_urgent: true, ..Parcel::default() }];
    let mut moving = 0;
    let mut remarks: Vec<String> =
        stuck.iter().map(|(unit, machine)| format!("{unit} has no other place than {machine}")).collect();
    let mut intents = BTreeMap::new();
    for group in &groups {
        let courses: Vec<(&UnitName, Course)> = group
            .iter()
            .map(|unit| (unit, set_course(&chart, memory, &mut alarm, unit, targets.get(unit))))
            .collect();
        let waits = courses.iter().find_map(|(_, course)| course.waits.clone());
        let mut parcel = Parcel::default();
        for (unit, mut course) in courses {
            wish(&chart, unit, targets.get(unit), waits.is_none(), &mut course, &mut events);
            parcel.writes.append(&mut course.at_once);
            if let Some(reason) = &course.waits {
                remarks.push(format!("{unit} waits: {reason}"));
            }
            let Some(intent) = course.intent else {
                events.extend(course.event);
                continue;
            };
            if waits.is_some() {
                moving += 1;
                if !course.is_tentative {
                    intents.insert(unit.clone(), intent);
                }
                continue;
            }
            parcel.is_urgent |= matches!(intent.from, Some((_, Cause::MachineLost)));
            parcel.machine.get_or_insert(intent.to);
            parcel.writes.append(&mut course.together);
            parcel.present.append(&mut course.present);
            parcel.absent.append(&mut course.absent);
            parcel.events.extend(course.event);
        }
        parcels.push(parcel);
    }
    memory.intents = intents;
    let summary = summarize(&chart, memory, &input, placement, &stuck, moving, remarks);
    events.extend(news(world, memory, &summary));
    memory.plan = plan;
    Step { batches: pack(parcels), events, again: alarm.earliest(), summary }
}

/// A store that has no name was never led, or has lost everything: it gets one, and the machines get time to say what
/// they run.
fn name_store(world: &World, policy: &Policy, memory: &mut Memory, now: Now, census: &mut Census) {
    if world.cluster {
        return;
    }
    let record = ClusterRecord { id: memory.cluster_id.clone() };
    if let Ok(value) = record.to_json() {
        census.writes.push(Write::put(CLUSTER.to_owned(), Expected::Absent, value));
    }
    if !memory.fresh {
        memory.fresh = true;
        memory.settles = now.monotonic + policy.settle;
    }
}

fn targets(chart: &Chart<'_>, placement: &Placement) -> BTreeMap<UnitName, Target> {
    let none = BTreeSet::new();
    let target = |unit: &UnitName, standing: &Standing| match standing {
        Standing::Nowhere { .. } => Target::Nowhere,
        Standing::Kept { .. } => Target::Kept,
        Standing::Runs { definition, .. } if definition.rules.global => {
            let placed = placement.globals.get(unit.as_str()).unwrap_or(&none);
            Target::All(globals::targets(chart, unit, placed))
        }
        Standing::Runs { .. } => {
            let machine = placement.assigned.get(unit.as_str());
            machine.and_then(|id| MachineId::parse(id).ok()).map_or(Target::Pending, Target::One)
        }
    };
    chart.standings.iter().map(|(unit, standing)| (unit.clone(), target(unit, standing))).collect()
}

/// What every machine has and is to let go.
fn departing(chart: &Chart<'_>, targets: &BTreeMap<UnitName, Target>) -> BTreeMap<MachineId, Vec<UnitName>> {
    let mut departing: BTreeMap<MachineId, Vec<UnitName>> = BTreeMap::new();
    for unit in chart.world.states.keys() {
        for (machine, state) in chart.states(unit) {
            let stays = match targets.get(unit) {
                Some(target) => target.includes(machine),
                // Nobody knows it: it is on its way out, unless the machine keeps it because of that.
                None => state.unclaimed,
            };
            if !stays {
                departing.entry(machine.clone()).or_default().push(unit.clone());
            }
        }
    }
    departing
}

fn set_course(
    chart: &Chart<'_>,
    memory: &mut Memory,
    alarm: &mut Alarm,
    unit: &UnitName,
    target: Option<&Target>,
) -> Course {
    match target {
        Some(target @ Target::All(_)) => globals::global(chart, memory, unit, target),
        Some(Target::One(machine)) if chart.census.is_held(machine) => {
            // Its machine is waited for, with what it has.
            Course::default()
        }
        Some(target) => course::ordinary(chart, memory, alarm, unit, target),
        None => Course::default(),
    }
}

/// A move that was asked for is removed in the transaction that obeys it, or when placement does not follow it.
fn wish(
    chart: &Chart<'_>,
    unit: &UnitName,
    target: Option<&Target>,
    goes: bool,
    course: &mut Course,
    events: &mut Vec<Event>,
) {
    let Some(asked) = chart.world.moves.get(unit) else { return };
    let done = Write::delete(move_key(unit), Expected::At(asked.modified));
    let machine = &asked.record.machine;
    if target == Some(&Target::One(machine.clone())) {
        match (course.intent.is_some(), goes) {
            (true, true) => course.together.push(done),
            // It is on its way, or there.
            (true, false) => {}
            (false, _) => course.at_once.push(done),
        }
        return;
    }
    let reason = match target {
        Some(Target::All(_)) => "it is global".to_owned(),
        None | Some(Target::Nowhere) => "it is not loaded".to_owned(),
        Some(Target::Kept) => "its file can't be read".to_owned(),
        _ if !chart.census.is_present(machine) => "there is no such machine".to_owned(),
        _ => "its rules, or those of others, don't let it run there".to_owned(),
    };
    events.push(Event::MoveRefused { unit: unit.clone(), machine: machine.clone(), reason });
    course.at_once.push(done);
}

fn summarize(
    chart: &Chart<'_>,
    memory: &Memory,
    input: &Input,
    placement: &Placement,
    stuck: &[(UnitName, MachineId)],
    moving: usize,
    remarks: Vec<String>,
) -> Summary {
    let mut pending = input.unplaceable.clone();
    // Who was rejected, and runs on by its old text, is a remark and not pending.
    pending.retain(|(unit, _)| entries(chart.world, unit).next().is_none());
    let kept = input.unplaceable.iter().filter(|(unit, _)| entries(chart.world, unit).next().is_some());
    let mut remarks = remarks;
    remarks.extend(kept.map(|(unit, problem)| format!("{unit} is left as it is: {problem}")));
    for (unit, standing) in &input.standings {
        let Standing::Runs { .. } = standing else { continue };
        let Some(reasons) = placement.pending.get(unit.as_str()) else { continue };
        if stuck.iter().any(|(other, _)| other == unit) {
            continue;
        }
        let reason = reasons.first().map_or("no machine fits", |reason| reason.0.as_str());
        pending.push((unit.clone(), reason.to_owned()));
    }
    pending.sort();
    let runs = |standing: &&Standing| matches!(standing, Standing::Runs { .. } | Standing::Kept { .. });
    Summary {
        units: input.standings.values().filter(runs).count(),
        pending,
        moving,
        machines: chart.world.machines.len(),
        frozen: memory.freeze.iter().flat_map(|freeze| freeze.absent.iter().cloned()).collect(),
        remarks,
        unusable: chart.world.unusable.len(),
    }
}

/// What was not told yet.
fn news(world: &World, memory: &mut Memory, summary: &Summary) -> Vec<Event> {
    let mut events = Vec::new();
    let pending: BTreeMap<UnitName, String> = summary.pending.iter().cloned().collect();
    let rejected = |unit: &UnitName| {
        matches!(
            world.units.get(unit).map(|seen| &seen.reading),
            Some(Reading::Rejected { .. } | Reading::Unreadable { .. })
        )
    };
    for (unit, reason) in &pending {
        if memory.told_pending.get(unit) != Some(reason) && !rejected(unit) {
            events.push(Event::Pending { unit: unit.clone(), reason: reason.clone() });
        }
    }
    memory.told_pending = pending;
    memory.told_rejected.retain(|unit, _| world.units.contains_key(unit));
    for (unit, seen) in &world.units {
        if let Reading::Rejected { problem, .. } = &seen.reading
            && memory.told_rejected.insert(unit.clone(), seen.modified) != Some(seen.modified)
        {
            events.push(Event::Rejected { unit: unit.clone(), problem: problem.clone() });
        }
    }
    for (key, problem) in &world.unusable {
        if memory.told_unusable.get(key) != Some(problem) {
            events.push(Event::Skipped { key: key.clone(), problem: problem.clone() });
        }
    }
    memory.told_unusable.clone_from(&world.unusable);
    events
}
