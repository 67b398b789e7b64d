//! The blocks that have something to do with one another, as a problem for exact search.

use std::collections::BTreeSet;

use crate::{
    bits::Bits,
    catalog::Entry,
    csp::{Clique, Company, Problem, Var, VarAt},
    globals::{Relation, is_stronger},
    pass::{ON_ITS_OWN, Pass},
    room::Room,
    table::{MachineAt, Table, UnitAt},
    teams::BlockAt,
};

/// More blocks than this are not searched exactly.
const MOST_BLOCKS: usize = 400;

/// Blocks and the machines that any of them may be on.
#[derive(Debug)]
pub(crate) struct Component {
    /// In the order of submission; positions are those of the problem.
    pub(crate) blocks: Table<BlockAt>,
    pub(crate) machines: Table<MachineAt>,
    pub(crate) problem: Problem,
}

impl Pass<'_> {
    /// All blocks that the placement of this one may depend on; or some of them, if they are too many.
    pub(crate) fn related_blocks(&self, seed: BlockAt) -> Result<BTreeSet<BlockAt>, BTreeSet<BlockAt>> {
        let mut related = BTreeSet::from([seed]);
        let mut next = vec![seed];
        while let Some(block) = next.pop() {
            for other in self.neighbours(block) {
                if related.insert(other) {
                    next.push(other);
                }
            }
            if related.len() > MOST_BLOCKS {
                return Err(related);
            }
        }
        Ok(related)
    }

    fn neighbours(&self, block: BlockAt) -> Vec<BlockAt> {
        let known = &self.teams.blocks[block];
        let mut near: Vec<BlockAt> = known.links().collect();
        let units: Vec<UnitAt> = known.members().collect();
        let domain = self.domain(&units);
        let mut others: Vec<UnitAt> = Vec::new();
        for unit in &units {
            let Some(entry) = self.entry(*unit) else { continue };
            let named = entry.declares.iter().filter_map(|at| self.catalog.patterns.get(*at));
            others.extend(named.flat_map(|pattern| pattern.members.iter()));
            let naming = entry.hits.iter().filter_map(|at| self.catalog.patterns.get(*at));
            others.extend(naming.flat_map(|pattern| pattern.declarers.iter()));
            for (global, _, _) in self.state.globals.related(*unit) {
                others.extend(self.state.globals.relatives(global));
            }
            if entry.needs_room() && self.somebody_requires_room {
                let all = self.catalog.ranked().iter().copied();
                others.extend(all.filter(|other| self.entry(*other).is_some_and(Entry::needs_room)));
            }
        }
        others.sort_unstable();
        others.dedup();
        let meets = |unit: &UnitAt| {
            self.entry(*unit)
                .is_some_and(|entry| entry.is_ordinary() && self.catalog.domain(entry).meets(&domain))
        };
        near.extend(others.into_iter().filter(meets).filter_map(|unit| self.teams.block_of[unit]));
        near.retain(|other| *other != block);
        near
    }

    /// Makes the problem. The blocks must be off the state.
    pub(crate) fn component(&self, related: &BTreeSet<BlockAt>) -> Component {
        let mut blocks: Vec<BlockAt> = related.iter().copied().collect();
        blocks.sort_by_key(|block| self.rank(*block));
        let members: Vec<Vec<UnitAt>> = blocks.iter().map(|block| self.units(&[*block])).collect();
        let mut all = Bits::none(self.catalog.sites.len());
        let domains: Vec<Bits> = members.iter().map(|units| self.possible(units)).collect();
        for domain in &domains {
            all.join(domain);
        }
        let machines: Table<MachineAt> = all.iter().collect();
        let position = |machine: MachineAt| machines.0.binary_search(&machine).ok();
        let var_of = |block: &BlockAt| blocks.iter().position(|other| other == block);
        let mut problem = Problem::default();
        for ((block, units), domain) in blocks.iter().zip(&members).zip(&domains) {
            let mut small = Bits::none(machines.len());
            domain.iter().filter_map(position).for_each(|machine| small.insert(machine));
            let with_home = units.iter().filter(|unit| self.home[**unit].is_some()).count();
            let homes = self.homes(&[*block]).into_iter();
            let homes = homes.filter_map(|home| Some((position(home)?, self.cost(*block, home)))).collect();
            let known = &self.teams.blocks[*block];
            problem.vars.push(Var {
                domain: small,
                odds: Vec::new(),
                needs: known.needs.iter().filter_map(var_of).collect(),
                followers: known.followers.iter().filter_map(var_of).collect(),
                ties: known.ties.iter().filter_map(var_of).collect(),
                tally: self.tally(&[*block]),
                homes,
                elsewhere: with_home * ON_ITS_OWN,
            });
        }
        for (one, units) in members.iter().enumerate() {
            for (two, others) in members.iter().enumerate().skip(one + 1) {
                let clash = units.iter().any(|unit| others.iter().any(|other| self.at_odds(*unit, *other)));
                if clash {
                    problem.vars[one].odds.push(two);
                    problem.vars[two].odds.push(one);
                }
            }
        }
        problem.load = machines.iter().map(|machine| self.state.load[*machine]).collect();
        problem.cliques = cliques(&problem.vars);
        Component { blocks: Table(blocks), machines, problem }
    }

    /// Machines that may come into question for a block, if nobody else were there.
    fn possible(&self, units: &[UnitAt]) -> Bits {
        let mut possible = self.domain(units);
        let quarrel = units
            .iter()
            .enumerate()
            .any(|(at, unit)| units.iter().skip(at + 1).any(|other| self.at_odds(*unit, *other)));
        if quarrel {
            return Bits::none(self.catalog.sites.len());
        }
        let fine = |unit: UnitAt, machine: MachineAt| {
            self.state.globals.related(unit).all(|(_, global, relation)| {
                let eligible = self.state.globals.eligible(global).is_some_and(|bits| bits.has(machine));
                relation == Relation::Conflicts || eligible
            })
        };
        for machine in possible.clone().iter() {
            if !units.iter().all(|unit| fine(*unit, machine)) {
                possible.remove(machine);
            }
        }
        possible
    }

    fn at_odds(&self, one: UnitAt, other: UnitAt) -> bool {
        match (self.entry(one), self.entry(other)) {
            (Some(one), Some(other)) => crate::state::at_odds(one, other),
            _ => false,
        }
    }

    /// Whether the machine is barred to the unit by a global whatever the units of these blocks do.
    pub(crate) fn is_barred(&self, unit: UnitAt, machine: MachineAt, blocks: &Table<BlockAt>) -> bool {
        self.state.globals.related(unit).any(|(position, global, relation)| {
            relation == Relation::Conflicts
                && !is_stronger(self.catalog, unit, global, machine)
                && self.state.globals.stays_if_let(position, machine)
                && !blocks.iter().flat_map(|block| self.teams.blocks[*block].members()).any(|other| {
                    is_stronger(self.catalog, other, global, machine)
                        && self.state.globals.conflicts(other, position)
                        && self.entry(other).is_some_and(|entry| self.catalog.suits(entry, machine))
                })
        })
    }
}

/// A few large cliques that cover what they can, greedily.
fn cliques(vars: &Table<Var>) -> Vec<Clique> {
    let adjacent: Vec<BTreeSet<VarAt>> = vars.iter().map(|var| var.odds.iter().copied().collect()).collect();
    let linked = |one: VarAt, other: VarAt| adjacent.get(one).is_some_and(|odds| odds.contains(&other));
    let mut covered: BTreeSet<(VarAt, VarAt)> = BTreeSet::new();
    let mut cliques: Vec<Vec<VarAt>> = Vec::new();
    for (start, var) in vars.iter().enumerate() {
        for with in var.odds.iter().copied().filter(|with| *with > start) {
            if covered.contains(&(start, with)) || cliques.len() >= 64 {
                continue;
            }
            let mut clique = vec![start, with];
            for other in &var.odds {
                if !clique.contains(other) && clique.iter().all(|member| linked(*member, *other)) {
                    clique.push(*other);
                }
            }
            clique.sort_unstable();
            for (at, one) in clique.iter().enumerate() {
                covered.extend(clique.iter().skip(at + 1).map(|other| (*one, *other)));
            }
            if clique.len() > 2 {
                cliques.push(clique);
            }
        }
    }
    cliques.sort_by_key(|clique| std::cmp::Reverse(clique.len()));
    let mut taken: BTreeSet<VarAt> = BTreeSet::new();
    let apart = |vars: Vec<VarAt>| {
        let apart = vars.iter().all(|var| !taken.contains(var));
        if apart {
            taken.extend(&vars);
        }
        Clique { vars, apart }
    };
    cliques.into_iter().map(apart).collect()
}

/// Rooms, and globals at the end: what a block meets on a machine apart from Conflicts=.
pub(crate) struct Neighbours<'a, 'c> {
    pub(crate) pass: &'a mut Pass<'c>,
    pub(crate) component: &'a Component,
    /// Without the blocks of the problem, and with those that have joined.
    empty: Table<Room>,
    rooms: Table<Room>,
    roomy: bool,
    /// Globals matter to some of the blocks.
    pub(crate) worldly: bool,
}

impl<'a, 'c> Neighbours<'a, 'c> {
    pub(crate) fn new(pass: &'a mut Pass<'c>, component: &'a Component) -> Self {
        let empty: Table<Room> =
            component.machines.iter().map(|machine| *pass.state.room(*machine)).collect();
        let units = pass.units(&component.blocks.0);
        let roomy = units.iter().any(|unit| pass.entry(*unit).is_some_and(Entry::needs_room));
        let roomy = roomy && pass.somebody_requires_room;
        let worldly = units.iter().any(|unit| pass.state.globals.is_related(*unit));
        Self { pass, component, rooms: empty.clone(), empty, roomy, worldly }
    }
}

impl Neighbours<'_, '_> {
    /// More than Conflicts= matters to some of the blocks.
    pub(crate) const fn is_particular(&self) -> bool {
        self.roomy || self.worldly
    }
}

impl Company for Neighbours<'_, '_> {
    fn begin(&mut self) {
        self.rooms.0.clone_from(&self.empty.0);
    }

    fn joins(&mut self, var: VarAt, machine: MachineAt) -> bool {
        if !self.roomy || self.worldly {
            return true;
        }
        let at = self.component.machines[machine];
        let before = self.rooms[machine];
        for unit in self.pass.teams.blocks[self.component.blocks[var]].members() {
            let Some(entry) = self.pass.catalog.entry(unit).filter(|entry| entry.needs_room()) else {
                continue;
            };
            if !self.rooms[machine].admits(entry, at) {
                self.rooms[machine] = before;
                return false;
            }
            self.rooms[machine].add(entry, at);
        }
        true
    }

    fn leaves(&mut self, var: VarAt, machine: MachineAt) {
        if !self.roomy || self.worldly {
            return;
        }
        let at = self.component.machines[machine];
        for unit in self.pass.teams.blocks[self.component.blocks[var]].members() {
            if let Some(entry) = self.pass.catalog.entry(unit).filter(|entry| entry.needs_room()) {
                self.rooms[machine].remove(entry, at);
            }
        }
    }

    fn alike(&self, _: MachineAt, _: MachineAt) -> bool {
        !self.roomy && !self.worldly
    }

    fn accepts(&mut self, answer: &Table<Option<MachineAt>>) -> bool {
        if !self.worldly {
            return true;
        }
        let mut touched = BTreeSet::new();
        for (var, machine) in answer.iter().enumerate() {
            let Some(machine) = machine.map(|machine| self.component.machines[machine]) else { continue };
            touched.insert(machine);
            for unit in self.pass.teams.blocks[self.component.blocks[var]].members() {
                self.pass.state.add(unit, machine);
            }
        }
        let sound = touched.iter().all(|machine| self.pass.state.is_sound(*machine));
        for block in self.component.blocks.iter() {
            self.pass.take_off(*block);
        }
        sound
    }
}
