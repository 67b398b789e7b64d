//! Machines, and what units ask of a machine by itself: each distinct demand is worked out once for all machines.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{Hash, Hasher},
};

use convoy_unit_files::Rules;

use crate::{
    Accepts, Machine,
    bits::Bits,
    hash::{FastHasher, FastMap},
    table::{MachineAt, Table},
};

type Pairs = BTreeMap<String, BTreeSet<String>>;

/// MachineID= and MachineMetadata= of a unit.
#[derive(Debug, Clone, Default)]
struct Demand {
    machine_id: Option<String>,
    metadata: Pairs,
}

/// Spread= and Prefer= of a unit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Taste {
    spread: Vec<String>,
    prefer: Vec<(String, String, i32)>,
}

/// Machines that a taste finds equally good.
#[derive(Debug, Clone)]
pub(crate) struct Stratum {
    pub(crate) machines: Bits,
    /// How much load is outweighed there.
    pub(crate) bonus: i64,
    /// The value of each key of Spread=.
    pub(crate) values: Vec<usize>,
}

/// The machines, in the order of their ids.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sites {
    machines: Table<Machine>,
    at: FastMap<String, MachineAt>,
    pairs: FastMap<String, BTreeMap<String, Bits>>,
    open: Bits,
    demands: Table<(Demand, Bits, usize)>,
    /// Positions of demands by their hash.
    demand_at: FastMap<u64, Vec<usize>>,
    tastes: Table<(Taste, Vec<Stratum>)>,
    taste_at: FastMap<Taste, usize>,
    /// Distinct values of spread keys; they outlive machines, so that a value keeps its number.
    values: FastMap<(String, Option<String>), usize>,
    /// For each machine its values of all spread keys.
    spread_values: Table<Vec<usize>>,
}

impl Sites {
    /// Takes these machines. Of two with one id the first counts.
    pub(crate) fn set_machines(&mut self, mut machines: Vec<Machine>) {
        machines.sort_by(|a, b| a.id.cmp(&b.id));
        machines.dedup_by(|b, a| a.id == b.id);
        self.machines = Table(machines);
        self.at = self.machines.iter().enumerate().map(|(at, machine)| (machine.id.clone(), at)).collect();
        self.open = Bits::none(self.len());
        self.pairs.clear();
        for (at, machine) in self.machines.iter().enumerate() {
            if machine.accepts == Accepts::All {
                self.open.insert(at);
            }
            for (key, value) in &machine.metadata {
                let values = self.pairs.entry(key.clone()).or_default();
                let bits = values.entry(value.clone()).or_insert_with(|| Bits::none(self.machines.len()));
                bits.insert(at);
            }
        }
        let mut demands = std::mem::take(&mut self.demands);
        for (demand, mask, count) in demands.iter_mut() {
            *mask = self.work_out(demand);
            *count = mask.count();
        }
        self.demands = demands;
        let mut tastes = std::mem::take(&mut self.tastes);
        for (taste, strata) in tastes.iter_mut() {
            *strata = self.strata_of(taste);
        }
        self.tastes = tastes;
        self.list_values();
    }

    pub(crate) const fn len(&self) -> usize {
        self.machines.len()
    }

    pub(crate) fn machine(&self, at: MachineAt) -> &Machine {
        &self.machines[at]
    }

    pub(crate) fn machines(&self) -> &[Machine] {
        &self.machines.0
    }

    pub(crate) fn find(&self, id: &str) -> Option<MachineAt> {
        self.at.get(id).copied()
    }

    /// Machines that take new units.
    pub(crate) const fn open(&self) -> &Bits {
        &self.open
    }

    /// The number of a unit's demand; the same demand has the same number.
    pub(crate) fn site(&mut self, rules: &Rules) -> usize {
        let mut hasher = FastHasher::default();
        (&rules.machine_id, &rules.metadata).hash(&mut hasher);
        let hash = hasher.finish();
        let same = |at: &&usize| {
            let demand = &self.demands[**at].0;
            demand.machine_id == rules.machine_id && demand.metadata == rules.metadata
        };
        if let Some(known) = self.demand_at.get(&hash).and_then(|known| known.iter().find(same)) {
            return *known;
        }
        let demand = Demand { machine_id: rules.machine_id.clone(), metadata: rules.metadata.clone() };
        let mask = self.work_out(&demand);
        let count = mask.count();
        let at = self.demands.push((demand, mask, count));
        self.demand_at.entry(hash).or_default().push(at);
        at
    }

    pub(crate) fn allows(&self, site: usize, machine: MachineAt) -> bool {
        self.demands[site].1.has(machine)
    }

    pub(crate) fn mask(&self, site: usize) -> &Bits {
        &self.demands[site].1
    }

    /// How many machines a demand leaves.
    pub(crate) fn choice(&self, site: usize) -> usize {
        self.demands[site].2
    }

    /// The number of a unit's soft wishes; `None` if it has none.
    pub(crate) fn taste(&mut self, rules: &Rules) -> Option<usize> {
        if rules.spread.is_empty() && rules.prefer.is_empty() {
            return None;
        }
        let prefer = rules.prefer.iter().map(|wish| (wish.key.clone(), wish.value.clone(), wish.weight));
        let taste = Taste { spread: rules.spread.clone(), prefer: prefer.collect() };
        if let Some(known) = self.taste_at.get(&taste) {
            return Some(*known);
        }
        let strata = self.strata_of(&taste);
        let at = self.tastes.push((taste.clone(), strata));
        self.taste_at.insert(taste, at);
        self.list_values();
        Some(at)
    }

    /// The machine's values of all keys that anything is spread over.
    pub(crate) fn spread_values(&self, machine: MachineAt) -> &[usize] {
        &self.spread_values[machine]
    }

    fn list_values(&mut self) {
        let keys: BTreeSet<&String> = self.tastes.iter().flat_map(|(taste, _)| &taste.spread).collect();
        let of = |machine: &Machine| {
            let value =
                |key: &&String| self.values.get(&((*key).clone(), machine.metadata.get(*key).cloned()));
            keys.iter().filter_map(value).copied().collect()
        };
        self.spread_values = self.machines.iter().map(of).collect();
    }

    pub(crate) fn strata(&self, taste: usize) -> &[Stratum] {
        &self.tastes[taste].1
    }

    fn work_out(&self, demand: &Demand) -> Bits {
        let mut mask = match &demand.machine_id {
            None => Bits::all(self.len()),
            Some(wanted) => {
                let mut mask = Bits::none(self.len());
                let named = |(_, machine): &(usize, &Machine)| is_named(&machine.id, wanted);
                self.machines.iter().enumerate().filter(named).for_each(|(at, _)| mask.insert(at));
                mask
            }
        };
        for (key, values) in &demand.metadata {
            let mut any = Bits::none(self.len());
            let known = self.pairs.get(key);
            for bits in values.iter().filter_map(|value| known.and_then(|known| known.get(value))) {
                any.join(bits);
            }
            mask.keep(&any);
        }
        mask
    }

    fn strata_of(&mut self, taste: &Taste) -> Vec<Stratum> {
        let mut strata: BTreeMap<(i64, Vec<usize>), Bits> = BTreeMap::new();
        for (at, machine) in self.machines.iter().enumerate() {
            let holds = |(key, value, _): &&(String, String, i32)| machine.metadata.get(key) == Some(value);
            let bonus = taste.prefer.iter().filter(holds).map(|(_, _, weight)| i64::from(*weight)).sum();
            let mut values = Vec::new();
            for key in &taste.spread {
                let next = self.values.len();
                let value = (key.clone(), machine.metadata.get(key).cloned());
                values.push(*self.values.entry(value).or_insert(next));
            }
            strata.entry((bonus, values)).or_insert_with(|| Bits::none(self.machines.len())).insert(at);
        }
        let stratum = |((bonus, values), machines)| Stratum { machines, bonus, values };
        strata.into_iter().map(stratum).collect()
    }
}

/// MachineID= takes the whole id, or exactly the first 8 characters of a longer one (fleet's code, not its documents).
pub(crate) fn is_named(id: &str, wanted: &str) -> bool {
    id == wanted || (wanted.len() == 8 && id.get(..8) == Some(wanted))
}
