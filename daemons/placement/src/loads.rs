//! Machines by load, for finding the least loaded one that will do.

use std::collections::BTreeMap;

use crate::{
    bits::Bits,
    state::State,
    table::{MachineAt, Table},
};

/// One set of machines per load that occurs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Loads {
    by_load: BTreeMap<i64, Bits>,
    known: Table<Option<i64>>,
}

impl Loads {
    /// Catches up with the state.
    pub(crate) fn follow(&mut self, state: &mut State<'_>) {
        let machines = state.load.len();
        if self.known.len() != machines {
            self.known = Table::filled(None, machines);
        }
        for machine in state.touched.drain(..) {
            let now = state.load[machine];
            let Some(before) = self.known[machine].replace(now) else {
                self.insert(now, machine, machines);
                continue;
            };
            if before == now {
                continue;
            }
            if let Some(bits) = self.by_load.get_mut(&before) {
                bits.remove(machine);
                if bits.is_empty() {
                    self.by_load.remove(&before);
                }
            }
            self.insert(now, machine, machines);
        }
    }

    fn insert(&mut self, load: i64, machine: MachineAt, machines: usize) {
        self.by_load.entry(load).or_insert_with(|| Bits::none(machines)).insert(machine);
    }

    /// These machines, least loaded first, ties by id.
    pub(crate) fn lightest<'a>(&'a self, among: &'a Bits) -> impl Iterator<Item = MachineAt> + 'a {
        self.by_load.values().flat_map(|bits| bits.both(among))
    }
}
