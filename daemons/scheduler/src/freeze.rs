//! Many machines that vanish at once are more likely cut off, or restarting, than lost: their units are not moved. The
//! record of that is in the store without a lease. It outlives the leader that wrote it, because leaders change just
//! then: when machines come back, etcd may elect anew, and whoever leads next has not seen them vanish.

use std::collections::BTreeSet;
use std::time::Duration;

use convoy_keys::{FREEZE, FreezeRecord, MachineId, RESUME, Record};

use crate::event::Event;
use crate::memory::{Freeze, Known, Memory};
use crate::policy::Policy;
use crate::presence::{Census, awaits_reboot};
use crate::step::{Expected, Write};
use crate::time::{Alarm, Now};
use crate::world::World;

/// How often the leases are asked for while it is unclear whether more machines vanish.
const SUSPENSE_STEP: Duration = Duration::from_millis(500);

/// Goes on with the freeze of a former leader, at the first look. A leader that finds none moves what is lost at once:
/// the machine that the former leader died with is waited for by nobody.
pub(crate) fn take_over(world: &World, policy: &Policy, memory: &mut Memory, now: Now, census: &mut Census) {
    let Some(record) = world.freeze.as_ref().and_then(|found| found.record.as_ref()) else { return };
    if now.unix >= record.until.saturating_add(policy.freeze_window().as_secs()) {
        // Nobody led when it ended: everything was down, and who is missing now may be on the way.
        return;
    }
    for id in &record.absent {
        memory.machines.entry(id.clone()).or_default();
    }
    let absent: BTreeSet<MachineId> =
        record.absent.iter().filter(|id| !world.machines.contains_key(*id)).cloned().collect();
    // The other leader's clock may have been wrong.
    let lasts = Duration::from_secs(record.until.saturating_sub(now.unix)).min(policy.freeze_for);
    census.events.push(Event::FreezeGoesOn { absent: absent.iter().cloned().collect(), lasts });
    memory.freeze = Some(Freeze {
        since_unix: record.since,
        until: now.monotonic + lasts,
        until_unix: now.unix.saturating_add(lasts.as_secs()),
        absent,
        eases: None,
    });
}

/// Begins, continues or ends a freeze.
pub(crate) fn freeze(
    world: &World,
    policy: &Policy,
    memory: &mut Memory,
    now: Now,
    alarm: &mut Alarm,
    census: &mut Census,
) {
    let window = policy.freeze_window();
    let rebooting = |id: &MachineId| awaits_reboot(world, policy, id, now, &mut Alarm::default());
    // A machine that had nothing to run leaves no gap.
    let is_recent =
        |known: &Known| known.was_used && known.vanished.is_some_and(|since| now.monotonic < since + window);
    let mut absent: BTreeSet<MachineId> = memory
        .machines
        .iter()
        .filter(|(id, known)| is_recent(known) && !memory.written_off.contains(*id) && !rebooting(id))
        .map(|(id, _)| id.clone())
        .collect();
    if let Some(freeze) = &memory.freeze {
        let away = |id: &&MachineId| memory.machines.get(*id).is_some_and(|known| known.vanished.is_some());
        absent.extend(freeze.absent.iter().filter(away).cloned());
    }
    let known = absent.len() + memory.machines.values().filter(|known| known.vanished.is_none()).count();
    let many = absent.len() >= 2 && share(absent.len(), known) >= policy.freeze_share;
    ease(memory, &absent, many, now);
    let eased = |freeze: &Freeze| freeze.eases.is_some_and(|since| now.monotonic >= since + window);
    let end = match &memory.freeze {
        Some(_) if world.resume.is_some() => Some("an operator said that the absent machines are lost"),
        Some(freeze) if now.monotonic >= freeze.until => Some("the machines did not return in time"),
        Some(_) if absent.is_empty() => Some("the machines returned"),
        Some(freeze) if eased(freeze) => Some("most of the machines returned"),
        _ => None,
    };
    if let Some(modified) = world.resume {
        census.writes.push(Write::delete(RESUME.to_owned(), Expected::At(modified)));
    }
    if let Some(reason) = end {
        memory.freeze = None;
        memory.written_off.extend(absent.iter().cloned());
        census.events.push(Event::FreezeEnds { reason });
    } else if many || memory.freeze.is_some() {
        let freeze = memory.freeze.get_or_insert_with(|| {
            let absent: Vec<_> = absent.iter().cloned().collect();
            census.events.push(Event::FreezeBegins { absent, known, lasts: policy.freeze_for });
            Freeze {
                since_unix: now.unix,
                until: now.monotonic + policy.freeze_for,
                until_unix: now.unix.saturating_add(policy.freeze_for.as_secs()),
                absent: BTreeSet::new(),
                eases: None,
            }
        });
        freeze.absent.clone_from(&absent);
        alarm.at(freeze.until);
        if let Some(since) = freeze.eases {
            alarm.at(since + window);
        }
    }
    suspense(world, policy, memory, now, alarm, &absent, known);
    tell(world, memory, census);
}

/// Machines that were cut off together also return one after another: when only few are missing, those have as long as
/// they had to vanish, from the last return on.
fn ease(memory: &mut Memory, absent: &BTreeSet<MachineId>, many: bool, now: Now) {
    let Some(freeze) = &mut memory.freeze else { return };
    if many {
        freeze.eases = None;
    } else if freeze.eases.is_none() || freeze.absent != *absent {
        freeze.eases = Some(now.monotonic);
    }
}

/// Machines that are cut off together vanish one after another, as their leases end. When the first is gone, the leases
/// of the others tell whether more will follow: then it is held until that is clear.
fn suspense(
    world: &World,
    policy: &Policy,
    memory: &mut Memory,
    now: Now,
    alarm: &mut Alarm,
    absent: &BTreeSet<MachineId>,
    known: usize,
) {
    if memory.freeze.is_some()
        || absent.is_empty()
        || memory.suspense.is_some_and(|until| now.monotonic >= until)
    {
        memory.suspense = None;
        return;
    }
    if let Some(wavering) = &world.wavering {
        let restarts = |id: &&MachineId| {
            let record = world.machines.get(*id).and_then(|seen| seen.record.as_ref());
            record.is_some_and(|record| record.agent_restarts)
        };
        let wavering = wavering.iter().filter(|id| world.machines.contains_key(*id) && !restarts(id)).count();
        let suspects = absent.len() + wavering;
        if wavering == 0 || suspects < 2 || share(suspects, known) < policy.freeze_share {
            memory.suspense = None;
            return;
        }
        memory.suspense.get_or_insert(now.monotonic + policy.agent_ttl);
    }
    if let Some(until) = memory.suspense {
        alarm.at(until.min(now.monotonic + SUSPENSE_STEP));
    }
}

/// Keeps the freeze record in step.
fn tell(world: &World, memory: &Memory, census: &mut Census) {
    let wanted = memory.freeze.as_ref().map(|freeze| FreezeRecord {
        since: freeze.since_unix,
        absent: freeze.absent.iter().cloned().collect(),
        until: freeze.until_unix,
    });
    let expected = world.freeze.as_ref().map_or(Expected::Absent, |found| Expected::At(found.modified));
    match (&world.freeze, wanted) {
        (None, None) => {}
        (Some(found), Some(wanted)) if found.record.as_ref() == Some(&wanted) => {}
        (_, Some(wanted)) => {
            // A list of machine ids is always JSON.
            let value = wanted.to_json().ok();
            census.writes.extend(value.map(|value| Write::put(FREEZE.to_owned(), expected, value)));
        }
        (Some(_), None) => census.writes.push(Write::delete(FREEZE.to_owned(), expected)),
    }
}

#[allow(clippy::cast_precision_loss, reason = "there are fewer machines than 2^52")]
fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
