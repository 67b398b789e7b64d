//! Which machines are there, which are waited for, and which are gone.

use std::collections::BTreeMap;
use std::time::Duration;

use convoy_keys::{MachineId, MaintenanceMode, MaintenanceRecord, maintenance_key};

use crate::event::Event;
use crate::freeze::{freeze, take_over};
use crate::memory::Memory;
use crate::policy::Policy;
use crate::step::{Expected, Write};
use crate::time::{Alarm, Now};
use crate::world::World;

/// How a machine stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It has a record.
    Present,
    /// It is away, and what it has to run is left to it.
    Held,
    /// It is away, and what it had to run goes elsewhere.
    Gone {
        /// Certainly since then, without a break.
        since: Duration,
    },
}

/// All machines that matter, and what to write about them.
#[derive(Debug, Default)]
pub(crate) struct Census {
    pub(crate) machines: BTreeMap<MachineId, Presence>,
    pub(crate) writes: Vec<Write>,
    pub(crate) events: Vec<Event>,
}

impl Census {
    pub(crate) fn is_present(&self, machine: &MachineId) -> bool {
        self.machines.get(machine) == Some(&Presence::Present)
    }

    pub(crate) fn is_held(&self, machine: &MachineId) -> bool {
        self.machines.get(machine) == Some(&Presence::Held)
    }
}

/// Counts the machines.
pub(crate) fn census(
    world: &World,
    policy: &Policy,
    memory: &mut Memory,
    now: Now,
    alarm: &mut Alarm,
) -> Census {
    let mut census = Census::default();
    observe(world, policy, memory, now, &mut census);
    freeze(world, policy, memory, now, alarm, &mut census);
    for (id, known) in &memory.machines {
        let presence = match known.vanished {
            None => Presence::Present,
            Some(_) if awaits_reboot(world, policy, id, now, alarm) => Presence::Held,
            Some(_) if memory.freeze.as_ref().is_some_and(|freeze| freeze.absent.contains(id)) => {
                Presence::Held
            }
            Some(since) if memory.suspense.is_some() && now.monotonic < since + policy.freeze_window() => {
                Presence::Held
            }
            // Away since the first look, in a store that may just have lost all leases.
            Some(since) if memory.began == Some(since) && now.monotonic < memory.settles => {
                alarm.at(memory.settles);
                Presence::Held
            }
            Some(_) => Presence::Gone { since: known.away },
        };
        census.machines.insert(id.clone(), presence);
    }
    reboots(world, policy, memory, now, alarm, &mut census);
    census
}

/// Takes in which machines have a record, and since when others have none.
fn observe(world: &World, policy: &Policy, memory: &mut Memory, now: Now, census: &mut Census) {
    let first = memory.began.is_none();
    if first {
        memory.began = Some(now.monotonic);
        if !world.cluster || lost_all_leases(world) {
            memory.settles = now.monotonic + policy.settle;
        }
        take_over(world, policy, memory, now, census);
    }
    for (id, seen) in &world.machines {
        if !first && !memory.machines.contains_key(id) {
            census.events.push(Event::MachineJoined { machine: id.clone() });
        }
        let known = memory.machines.entry(id.clone()).or_default();
        if let Some(since) = known.vanished.take() {
            let away = now.monotonic.saturating_sub(since);
            known.returned = Some(now.monotonic);
            census.events.push(Event::MachineBack { machine: id.clone(), away });
        }
        if seen.record.is_some() {
            known.record.clone_from(&seen.record);
        }
        memory.written_off.remove(id);
    }
    let mut scheduled: BTreeMap<&MachineId, usize> = BTreeMap::new();
    for id in world.schedule.values().flat_map(BTreeMap::keys) {
        *scheduled.entry(id).or_default() += 1;
    }
    for id in scheduled.keys() {
        if !world.machines.contains_key(*id) {
            memory.machines.entry((*id).clone()).or_default();
        }
    }
    let long_ago = policy.freeze_for.max(policy.freeze_window()).max(policy.longest_fence());
    memory.machines.retain(|id, known| {
        if world.machines.contains_key(id) {
            return true;
        }
        let units = scheduled.get(id).copied().unwrap_or_default();
        if world.is_anew || world.departed.contains(id) {
            // It may have been back, and started what it had to run.
            known.away = now.monotonic;
        }
        if known.vanished.is_none() {
            known.vanished = Some(now.monotonic);
            known.away = now.monotonic;
            known.was_used = units > 0;
            census.events.push(Event::MachineLost { machine: id.clone(), units });
        }
        units > 0 || now.monotonic < known.away + long_ago
    });
    let machines = &memory.machines;
    memory.written_off.retain(|id| machines.contains_key(id));
}

/// Whether all machines announced themselves after the newest schedule was written: then leases were lost on a large
/// scale, and who is not there yet may be on the way.
fn lost_all_leases(world: &World) -> bool {
    let newest = world.schedule.values().flat_map(BTreeMap::values).map(|entry| entry.modified).max();
    newest.is_some_and(|newest| world.machines.values().all(|machine| machine.created > newest))
}

/// Whether the machine is away, or about to be, because that was announced.
pub(crate) fn awaits_reboot(
    world: &World,
    policy: &Policy,
    id: &MachineId,
    now: Now,
    alarm: &mut Alarm,
) -> bool {
    let Some(asked) = world.maintenance.get(id) else { return false };
    if asked.record.mode != MaintenanceMode::Reboot {
        return false;
    }
    let until = reboot_until(&asked.record, policy);
    if now.unix >= until {
        return false;
    }
    alarm.at(now.monotonic + Duration::from_secs(until - now.unix));
    true
}

fn reboot_until(record: &MaintenanceRecord, policy: &Policy) -> u64 {
    record.until.unwrap_or_else(|| record.since.saturating_add(policy.reboot_for.as_secs()))
}

/// Takes away reboot records of machines that came back, or whose time is over.
fn reboots(
    world: &World,
    policy: &Policy,
    memory: &mut Memory,
    now: Now,
    alarm: &mut Alarm,
    census: &mut Census,
) {
    for (id, asked) in &world.maintenance {
        if asked.record.mode != MaintenanceMode::Reboot {
            if let Some(known) = memory.machines.get_mut(id) {
                known.boot_before = None;
            }
            continue;
        }
        let Some(seen) = world.machines.get(id) else { continue };
        let Some(boot) = seen.record.as_ref().map(|record| record.boot_id.clone()) else { continue };
        let Some(known) = memory.machines.get_mut(id) else { continue };
        // Who announced itself before the reboot was asked for is the one that is to go.
        if known.boot_before.is_none() && seen.created < asked.modified {
            known.boot_before = Some(boot.clone());
        }
        let returned = known.boot_before.as_ref().is_none_or(|before| *before != boot);
        let until = reboot_until(&asked.record, policy);
        if returned || now.unix >= until {
            known.boot_before = None;
            census.writes.push(Write::delete(maintenance_key(id), Expected::At(asked.modified)));
            census.events.push(Event::RebootDone { machine: id.clone() });
        } else {
            alarm.at(now.monotonic + Duration::from_secs(until - now.unix));
        }
    }
}
