//! The best machine for units that have to go somewhere.
//!
//! The soft rules, each one decides only what the former leave open:
//! 0. (before all soft rules) the fewest moves of members of the group that run where they may stay;
//! 1. not a machine where the unit failed too often (`avoid`);
//! 2. a machine with room for its MemoryMax= and CPUQuota=;
//! 3. for each key of Spread=, the value with the fewest instances of the template;
//! 4. the least load, where a match of Prefer= counts like its weight less;
//! 5. the lowest machine id.

use crate::{
    bits::Bits,
    catalog::Entry,
    pass::{Cost, Pass},
    table::{MachineAt, UnitAt},
    teams::BlockAt,
};

/// What decides between machines, smaller is better: no room, instances per value, load, machine.
type Score = (bool, Vec<i64>, i64, MachineAt);

impl Pass<'_> {
    /// The best machine that takes all of these blocks, except that one.
    pub(crate) fn pick(&mut self, blocks: &[BlockAt], except: Option<MachineAt>) -> Option<MachineAt> {
        let units = self.units(blocks);
        let mut domain = self.domain(&units);
        if let Some(except) = except {
            domain.remove(except);
        }
        if units.len() > 1 {
            // The group goes where those of it that run are already, if it can.
            let mut costs: Vec<(Cost, MachineAt)> = Vec::new();
            for home in self.homes(blocks).into_iter().filter(|home| domain.has(*home)) {
                costs.push((self.cost_of(blocks, home), home));
            }
            costs.sort_unstable();
            for equals in costs.chunk_by(|one, other| one.0 == other.0) {
                let mut among = Bits::none(self.catalog.sites.len());
                for (_, home) in equals {
                    among.insert(*home);
                }
                if let Some(best) = self.pick_among(blocks, &units, among) {
                    return Some(best);
                }
            }
        }
        self.pick_among(blocks, &units, domain)
    }

    /// Of these machines, none of them with a unit that avoids it unless there is no other.
    pub(crate) fn pick_among(
        &mut self,
        blocks: &[BlockAt],
        units: &[UnitAt],
        mut domain: Bits,
    ) -> Option<MachineAt> {
        let mut shunned = Bits::none(self.catalog.sites.len());
        units.iter().filter_map(|unit| self.entry(*unit)).for_each(|entry| {
            entry.avoid.iter().for_each(|machine| shunned.insert(*machine));
        });
        if !shunned.meets(&domain) {
            return self.best(blocks, units, &domain);
        }
        let mut better = domain.clone();
        better.take_away(&shunned);
        if let Some(best) = self.best(blocks, units, &better) {
            return Some(best);
        }
        // All the same to it: then where it is.
        let stays = units.iter().find_map(|unit| self.home[*unit]);
        if let Some(stays) = stays.filter(|home| domain.has(*home) && self.fits(blocks, units, *home)) {
            return Some(stays);
        }
        domain.keep(&shunned);
        self.best(blocks, units, &domain)
    }

    fn best(&mut self, blocks: &[BlockAt], units: &[UnitAt], domain: &Bits) -> Option<MachineAt> {
        let entries: Vec<&Entry<'_>> = units.iter().filter_map(|unit| self.catalog.entry(*unit)).collect();
        let taste = entries.iter().find_map(|entry| Some((entry.taste?, entry.family)));
        let roomy = entries.iter().any(|entry| entry.needs_room());
        match taste {
            None => self.lightest(blocks, units, &entries, domain, roomy).map(|(_, machine)| machine),
            Some((taste, family)) => {
                let mut best: Option<Score> = None;
                for stratum in self.catalog.sites.strata(taste) {
                    let mut among = stratum.machines.clone();
                    among.keep(domain);
                    if among.is_empty() {
                        continue;
                    }
                    let Some((tight, machine)) = self.lightest(blocks, units, &entries, &among, roomy) else {
                        continue;
                    };
                    let count =
                        |value: &usize| family.map_or(0, |family| self.state.instances(family, *value));
                    let counts = stratum.values.iter().map(count).collect();
                    let score = (tight, counts, self.state.load[machine] - stratum.bonus, machine);
                    if best.as_ref().is_none_or(|best| score < *best) {
                        best = Some(score);
                    }
                }
                best.map(|(_, _, _, machine)| machine)
            }
        }
    }

    /// The least loaded of these machines with room, or else without; whether it is without.
    fn lightest(
        &mut self,
        blocks: &[BlockAt],
        units: &[UnitAt],
        entries: &[&Entry<'_>],
        among: &Bits,
        roomy: bool,
    ) -> Option<(bool, MachineAt)> {
        self.loads.follow(&mut self.state);
        let loads = std::mem::take(&mut self.loads);
        let mut tight = None;
        let mut found = None;
        for machine in loads.lightest(among) {
            let room = !roomy || self.state.has_room(entries, machine);
            if !room && tight.is_some() {
                continue;
            }
            if self.fits(blocks, units, machine) {
                if room {
                    found = Some((false, machine));
                    break;
                }
                tight = Some((true, machine));
            }
        }
        self.loads = loads;
        found.or(tight)
    }

    /// Whether the machine takes all of the blocks.
    pub(crate) fn fits(&mut self, blocks: &[BlockAt], units: &[UnitAt], machine: MachineAt) -> bool {
        if !units.iter().all(|unit| self.state.admits(*unit, machine)) {
            return false;
        }
        if units.len() == 1 && blocks.iter().all(|block| self.teams.blocks[*block].links().next().is_none()) {
            return true;
        }
        let fits = self.put_all(blocks, machine);
        if fits {
            self.take_all_off(blocks);
        }
        fits
    }
}
