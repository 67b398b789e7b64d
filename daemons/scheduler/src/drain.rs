//! The pace of a drain: so many at once, the next when the former run elsewhere. And whoever has no other place stays.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use convoy_keys::{Desired, MachineId};
use convoy_placement::Accepts;
use convoy_unit_files::UnitName;

use crate::course::{Chart, Target};
use crate::input::{Standing, accepts, entries};
use crate::memory::Memory;
use crate::time::Alarm;

/// A unit that has not come up elsewhere by then no longer holds up the others.
const PATIENCE: Duration = Duration::from_secs(120);

/// Lets those wait whose turn has not come: their target becomes where they are. Returns who can't leave at all.
pub(crate) fn pace(
    chart: &Chart<'_>,
    memory: &mut Memory,
    alarm: &mut Alarm,
    groups: &[Vec<UnitName>],
    targets: &mut BTreeMap<UnitName, Target>,
) -> Vec<(UnitName, MachineId)> {
    let now = chart.now.monotonic;
    memory.drained.retain(|unit, since| now < *since + PATIENCE && !has_arrived(chart, unit));
    for (unit, standing) in chart.standings {
        let under_way = matches!(standing, Standing::Runs { .. })
            && entries(chart.world, unit).next().is_none()
            && chart.states(unit).any(|(machine, _)| is_drained(chart, machine));
        if under_way {
            memory.drained.entry(unit.clone()).or_insert(now);
        }
    }
    let mut at_once: BTreeMap<String, usize> = BTreeMap::new();
    let mut in_all = 0;
    for group in groups {
        let moving: Vec<_> = group.iter().filter(|unit| memory.drained.contains_key(*unit)).collect();
        in_all += usize::from(!moving.is_empty());
        for unit in moving {
            *at_once.entry(family(unit)).or_default() += 1;
        }
    }
    let mut stuck = Vec::new();
    for group in groups {
        let leaving: Vec<(UnitName, MachineId)> =
            group.iter().filter_map(|unit| Some((unit.clone(), leaves(chart, unit, targets)?))).collect();
        if leaving.is_empty() {
            continue;
        }
        let is_under_way = group.iter().any(|unit| memory.drained.contains_key(unit));
        let families: BTreeSet<String> = leaving.iter().map(|(unit, _)| family(unit)).collect();
        let has_room = in_all < chart.policy.drain_in_all
            && families
                .iter()
                .all(|family| at_once.get(family).copied().unwrap_or_default() < chart.policy.drain_at_once);
        let homeless = leaving.iter().any(|(unit, _)| targets.get(unit) == Some(&Target::Pending));
        if homeless || !(is_under_way || has_room) {
            for (unit, machine) in &leaving {
                targets.insert(unit.clone(), Target::One(machine.clone()));
            }
            if homeless {
                stuck.extend(leaving);
            }
            continue;
        }
        in_all += usize::from(!is_under_way);
        for (unit, _) in leaving {
            *at_once.entry(family(&unit)).or_default() += usize::from(!is_under_way);
            memory.drained.entry(unit).or_insert(now);
        }
    }
    for since in memory.drained.values() {
        alarm.at(*since + PATIENCE);
    }
    stuck
}

fn is_drained(chart: &Chart<'_>, machine: &MachineId) -> bool {
    chart.census.is_present(machine) && accepts(chart.world, machine) == Accepts::Nothing
}

/// The drained machine that a unit leaves, if it does.
fn leaves(chart: &Chart<'_>, unit: &UnitName, targets: &BTreeMap<UnitName, Target>) -> Option<MachineId> {
    if matches!(targets.get(unit), Some(Target::All(_) | Target::Nowhere | Target::Kept) | None) {
        return None;
    }
    let Some(Standing::Runs { current: Some(machine), .. }) = chart.standings.get(unit) else { return None };
    let scheduled = entries(chart.world, unit).any(|(found, _)| found == machine);
    let goes = targets.get(unit) != Some(&Target::One(machine.clone()));
    (scheduled && goes && is_drained(chart, machine)).then(|| machine.clone())
}

/// The instances of one template are a family.
fn family(unit: &UnitName) -> String {
    unit.template().map_or_else(|| unit.to_string(), |template| template.to_string())
}

/// Whether a unit runs, or has failed, where it was sent; or is not wanted any more.
fn has_arrived(chart: &Chart<'_>, unit: &UnitName) -> bool {
    let Some(Standing::Runs { desired, .. }) = chart.standings.get(unit) else { return true };
    entries(chart.world, unit).any(|(machine, _)| {
        let mut states = chart.states(unit);
        let state = states.find(|(found, _)| *found == machine).map(|(_, state)| state);
        !is_drained(chart, machine)
            && state.is_some_and(|state| {
                *desired == Desired::Loaded
                    || matches!(state.active.as_str(), "active" | "reloading" | "failed")
            })
    })
}
