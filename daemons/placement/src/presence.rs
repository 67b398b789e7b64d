//! How many units of one kind are on each machine.

use crate::table::MachineAt;

/// Above this many machines the counts are kept for all of them.
const FEW: usize = 16;

/// Counts per machine: most kinds of units are on a handful of machines, some are everywhere.
#[derive(Debug, Clone, Default)]
pub(crate) struct Presence {
    few: Vec<(MachineAt, u32)>,
    many: Vec<u32>,
}

impl Presence {
    pub(crate) fn on(&self, machine: MachineAt) -> bool {
        if self.many.is_empty() {
            self.few.iter().any(|(at, _)| *at == machine)
        } else {
            self.many.get(machine).is_some_and(|count| *count > 0)
        }
    }

    pub(crate) fn add(&mut self, machine: MachineAt, machines: usize) {
        if !self.many.is_empty() {
            if let Some(count) = self.many.get_mut(machine) {
                *count += 1;
            }
        } else if let Some((_, count)) = self.few.iter_mut().find(|(at, _)| *at == machine) {
            *count += 1;
        } else if self.few.len() < FEW {
            self.few.push((machine, 1));
        } else {
            self.many = vec![0; machines];
            for (at, count) in self.few.drain(..).chain([(machine, 1)]) {
                if let Some(slot) = self.many.get_mut(at) {
                    *slot = count;
                }
            }
        }
    }

    pub(crate) fn remove(&mut self, machine: MachineAt) {
        if let Some(count) = self.many.get_mut(machine) {
            *count = count.saturating_sub(1);
        } else if let Some(at) = self.few.iter().position(|(at, _)| *at == machine) {
            match self.few.get_mut(at) {
                Some((_, count)) if *count > 1 => *count -= 1,
                _ => drop(self.few.swap_remove(at)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Presence;

    #[test]
    fn few_and_many_machines_are_counted_alike() {
        let mut presence = Presence::default();
        for round in 0..2 {
            for machine in (0..80).step_by(2) {
                assert_eq!(presence.on(machine), round == 1);
                presence.add(machine, 100);
                assert!(presence.on(machine) && !presence.on(machine + 1));
            }
        }
        presence.remove(4);
        assert!(presence.on(4));
        presence.remove(4);
        presence.remove(5);
        assert!(!presence.on(4) && !presence.on(5) && presence.on(6));
    }
}
