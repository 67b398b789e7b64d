//! Memory and processors of one machine.
//!
//! RequireCapacity= is about going somewhere: a unit with it goes only to a machine where its limits, those of
//! what stays there, of globals and of others with the option add up to no more than the machine has. Units
//! that come without the option are not kept out by it (room is a soft wish of theirs), and nothing that is
//! already there has to leave.

use crate::{Capacity, catalog::Entry, table::MachineAt};

/// What a machine has, and what its units may use.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Room {
    capacity: Capacity,
    /// Everything there.
    used: Use,
    /// What counts against a unit that requires room.
    reserved: Use,
    /// Units that require room and are not there yet.
    fresh: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Use {
    memory: u128,
    cpu: u128,
}

impl Use {
    fn of(entry: &Entry<'_>) -> Self {
        let resources = entry.unit.rules.resources;
        Self { memory: resources.memory.unwrap_or(0).into(), cpu: resources.cpu_millis.unwrap_or(0).into() }
    }

    const fn plus(self, other: Self) -> Self {
        Self { memory: self.memory + other.memory, cpu: self.cpu + other.cpu }
    }

    const fn minus(self, other: Self) -> Self {
        Self { memory: self.memory.saturating_sub(other.memory), cpu: self.cpu.saturating_sub(other.cpu) }
    }

    fn fits(self, capacity: Capacity) -> bool {
        capacity.memory.is_none_or(|memory| self.memory <= memory.into())
            && capacity.cpu_millis.is_none_or(|cpu| self.cpu <= cpu.into())
    }
}

impl Room {
    pub(crate) fn of(capacity: Capacity) -> Self {
        Self { capacity, ..Self::default() }
    }

    pub(crate) fn admits(&self, entry: &Entry<'_>, machine: MachineAt) -> bool {
        let fresh = self.fresh > 0 || is_fresh(entry, machine);
        !fresh || !is_reserved(entry, machine) || self.reserved.plus(Use::of(entry)).fits(self.capacity)
    }

    /// Whether what requires room has it.
    pub(crate) fn is_sound(&self) -> bool {
        self.fresh == 0 || self.reserved.fits(self.capacity)
    }

    /// Whether nothing is overcommitted with these units.
    pub(crate) fn holds(&self, entries: &[&Entry<'_>]) -> bool {
        entries.iter().fold(self.used, |used, entry| used.plus(Use::of(entry))).fits(self.capacity)
    }

    pub(crate) fn add(&mut self, entry: &Entry<'_>, machine: MachineAt) {
        self.used = self.used.plus(Use::of(entry));
        if is_reserved(entry, machine) {
            self.reserved = self.reserved.plus(Use::of(entry));
        }
        self.fresh += u32::from(is_fresh(entry, machine));
    }

    pub(crate) fn remove(&mut self, entry: &Entry<'_>, machine: MachineAt) {
        self.used = self.used.minus(Use::of(entry));
        if is_reserved(entry, machine) {
            self.reserved = self.reserved.minus(Use::of(entry));
        }
        self.fresh = self.fresh.saturating_sub(u32::from(is_fresh(entry, machine)));
    }

    pub(crate) fn add_global(&mut self, entry: &Entry<'_>) {
        self.used = self.used.plus(Use::of(entry));
        self.reserved = self.reserved.plus(Use::of(entry));
    }

    pub(crate) fn remove_global(&mut self, entry: &Entry<'_>) {
        self.used = self.used.minus(Use::of(entry));
        self.reserved = self.reserved.minus(Use::of(entry));
    }

    /// What is free for a unit that requires room: memory in bytes, thousandths of a processor.
    pub(crate) fn left(&self) -> (Option<u64>, Option<u32>) {
        let memory = self.capacity.memory.map(|all| {
            u64::try_from(u128::from(all).saturating_sub(self.reserved.memory)).unwrap_or(u64::MAX)
        });
        let cpu = self
            .capacity
            .cpu_millis
            .map(|all| u32::try_from(u128::from(all).saturating_sub(self.reserved.cpu)).unwrap_or(u32::MAX));
        (memory, cpu)
    }
}

/// It counts against others that require room: it was there before, or requires room itself.
fn is_reserved(entry: &Entry<'_>, machine: MachineAt) -> bool {
    entry.needs_room() && (entry.unit.rules.require_capacity || entry.home == Some(machine))
}

fn is_fresh(entry: &Entry<'_>, machine: MachineAt) -> bool {
    entry.needs_room() && entry.unit.rules.require_capacity && entry.home != Some(machine)
}
