//! Machines that a unit keeps off, because it failed there too often.

use convoy_unit_files::Definition;

use crate::event::Event;
use crate::memory::Memory;
use crate::policy::Policy;
use crate::time::{Alarm, Now};
use crate::world::{Reading, World};

/// More bounces than this don't lengthen the time any more: 32 times the first.
const LONGEST: u32 = 5;

/// Takes in which units failed too often where they are, and forgets what is over.
pub(crate) fn update(
    world: &World,
    policy: &Policy,
    memory: &mut Memory,
    now: Now,
    alarm: &mut Alarm,
) -> Vec<Event> {
    let mut events = Vec::new();
    memory.avoid.retain(|unit, avoided| {
        avoided.machines.retain(|_, until| now.monotonic < *until);
        // Bounces are forgotten when it has been well for as long as it was kept away.
        world.units.contains_key(unit) && !avoided.machines.is_empty()
    });
    for (unit, states) in &world.states {
        let Some(Reading::Good { definition, .. }) = world.units.get(unit).map(|seen| &seen.reading) else {
            continue;
        };
        let limit = limit(definition, policy);
        for (machine, state) in states {
            if limit == 0 || state.failures < limit {
                continue;
            }
            let avoided = memory.avoid.entry(unit.clone()).or_default();
            if avoided.machines.contains_key(machine) {
                continue;
            }
            let avoided_for = policy.avoid_for * 2u32.pow(avoided.bounces.min(LONGEST));
            avoided.bounces += 1;
            avoided.machines.insert(machine.clone(), now.monotonic + avoided_for);
            events.push(Event::FailedOften {
                unit: unit.clone(),
                machine: machine.clone(),
                failures: state.failures,
                avoided_for,
            });
        }
    }
    for until in memory.avoid.values().flat_map(|avoided| avoided.machines.values()) {
        alarm.at(*until);
    }
    events
}

fn limit(definition: &Definition, policy: &Policy) -> u32 {
    definition.move_after_failures.unwrap_or(policy.move_after_failures)
}
