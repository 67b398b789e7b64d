//! One pass of placement: from who is where to who goes where.
//!
//! 1. Whoever may stay stays; of units that can't stay together as few as possible leave (`seat`).
//! 2. Moves that operators asked for, and units that take another one's place by Replaces= (`requests`).
//! 3. Whoever is nowhere goes to the best machine, those with the least choice first (`fill`).
//! 4. What found no machine is placed by moving others (`chains`, `search`).
//! 5. Units leave machines where they failed too often; what was moved goes back if it can (`requests`).

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    bits::Bits,
    catalog::{Catalog, Entry},
    loads::Loads,
    state::State,
    table::{MachineAt, Table, UnitAt},
    teams::{BlockAt, TeamAt, Teams},
};

/// Units that are wanted, by how much it matters that they are somewhere: those that run and may go on where they
/// are, those that ran, those that are new.
pub(crate) type Tier = usize;

/// How many units of each tier.
pub(crate) type Tally = [usize; 3];

/// What it costs that units leave their homes. A unit that leaves by itself costs `ON_ITS_OWN`; one that comes to
/// its target, which stays, costs 1: no target moves to spare its followers the way.
pub(crate) type Cost = usize;

pub(crate) const ON_ITS_OWN: Cost = 1 << 20;

/// The working state of one pass.
#[derive(Debug)]
pub(crate) struct Pass<'c> {
    pub(crate) catalog: &'c Catalog<'c>,
    pub(crate) teams: Arc<Teams>,
    pub(crate) state: State<'c>,
    pub(crate) loads: Loads,
    /// Where a unit stays unless something gains by its moving.
    pub(crate) home: Table<Option<MachineAt>>,
    /// Where a block has to go because a target of it is at home there.
    pub(crate) drawn: Table<Option<MachineAt>>,
    /// Blocks that could not stay although their machine suits them.
    pub(crate) clashed: BTreeSet<BlockAt>,
    /// Elementary steps that searches may still take in this pass.
    pub(crate) budget: u64,
    /// Some unit has RequireCapacity=, so that limits matter to everybody who has any.
    pub(crate) somebody_requires_room: bool,
    /// Units that ask for something beyond staying, each sort as they were submitted.
    pub(crate) asking: Asking,
}

/// Units with a wish, with Replaces=, and with machines to avoid.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asking {
    pub(crate) wishers: Vec<UnitAt>,
    pub(crate) replacers: Vec<UnitAt>,
    pub(crate) avoiders: Vec<UnitAt>,
}

/// Where some blocks were, to go back to.
pub(crate) type Before = Vec<(UnitAt, MachineAt)>;

impl<'c> Pass<'c> {
    pub(crate) fn new(catalog: &'c Catalog<'c>, budget: u64) -> Self {
        Self::with_teams(catalog, Arc::new(Teams::of(catalog)), budget)
    }

    /// A pass with teams that are known from before: nobody's rules, order or being wanted changed since.
    pub(crate) fn with_teams(catalog: &'c Catalog<'c>, teams: Arc<Teams>, budget: u64) -> Self {
        let mut asking = Asking::default();
        let mut somebody_requires_room = false;
        for unit in catalog.ranked() {
            let Some(entry) = catalog.entry(*unit).filter(|entry| entry.is_ordinary()) else { continue };
            if entry.wish.is_some() {
                asking.wishers.push(*unit);
            }
            if entry.replaces {
                asking.replacers.push(*unit);
            }
            if !entry.avoid.is_empty() {
                asking.avoiders.push(*unit);
            }
            somebody_requires_room |= entry.needs_room() && entry.unit.rules.require_capacity;
        }
        let drawn = Table::filled(None, teams.blocks.len());
        Self {
            catalog,
            teams,
            drawn,
            state: State::new(catalog),
            loads: Loads::default(),
            home: Table::filled(None, catalog.positions()),
            clashed: BTreeSet::new(),
            budget,
            somebody_requires_room,
            asking,
        }
    }

    pub(crate) fn run(&mut self) {
        self.seat();
        self.obey_wishes();
        self.replace();
        let settled = self.state.placed == self.teams.units && self.clashed.is_empty();
        if !settled {
            self.fill();
            self.repair();
            self.search();
        }
        self.leave_avoided();
        if !settled {
            self.settle();
        }
    }

    pub(crate) fn entry(&self, unit: UnitAt) -> Option<&'c Entry<'c>> {
        self.catalog.entry(unit)
    }

    /// How much it matters that the unit is somewhere.
    pub(crate) fn tier(&self, unit: UnitAt) -> Tier {
        match self.entry(unit) {
            Some(entry) if entry.home.is_some_and(|home| self.catalog.suits(entry, home)) => {
                // Who shares its machine with a unit that it replaces is the one to wait if one has to.
                usize::from(self.intrudes(entry))
            }
            Some(entry) if entry.unit.current.is_some() => 1,
            _ => 2,
        }
    }

    fn intrudes(&self, entry: &Entry<'_>) -> bool {
        entry.replaces
            && entry.declares.iter().filter_map(|at| self.catalog.patterns.get(*at)).any(|pattern| {
                pattern.members.iter().filter_map(|other| self.entry(*other)).any(|other| {
                    other.home == entry.home
                        && other.is_ordinary()
                        && other.unit.name != entry.unit.name
                        && entry.unit.rules.replaces.iter().any(|glob| glob.matches(&other.unit.name))
                })
            })
    }

    pub(crate) fn machine_of(&self, block: BlockAt) -> Option<MachineAt> {
        self.state.at[self.teams.blocks[block].lead]
    }

    pub(crate) fn is_placed(&self, block: BlockAt) -> bool {
        self.machine_of(block).is_some()
    }

    pub(crate) fn units(&self, blocks: &[BlockAt]) -> Vec<UnitAt> {
        blocks.iter().flat_map(|block| self.teams.blocks[*block].members()).collect()
    }

    pub(crate) fn rank(&self, block: BlockAt) -> usize {
        self.teams.rank[self.teams.blocks[block].lead]
    }

    /// Places those of the blocks, targets first, that may be on the machine, and tells which.
    pub(crate) fn put(&mut self, blocks: &[BlockAt], machine: MachineAt) -> Vec<BlockAt> {
        blocks.iter().copied().filter(|block| self.put_one(*block, machine)).collect()
    }

    /// Places all of the blocks or none.
    pub(crate) fn put_all(&mut self, blocks: &[BlockAt], machine: MachineAt) -> bool {
        for (done, block) in blocks.iter().enumerate() {
            if !self.put_one(*block, machine) {
                self.take_all_off(blocks.get(..done).unwrap_or_default());
                return false;
            }
        }
        true
    }

    fn put_one(&mut self, block: BlockAt, machine: MachineAt) -> bool {
        let known = &self.teams.blocks[block];
        let here = |other: &BlockAt| self.machine_of(*other) == Some(machine);
        let apart = |other: &BlockAt| self.machine_of(*other).is_some_and(|at| at != machine);
        if !known.needs.iter().all(here) || known.ties.iter().any(apart) || known.followers.iter().any(apart)
        {
            return false;
        }
        for (done, unit) in known.members().enumerate() {
            if !self.state.admits(unit, machine) {
                for unit in known.members().take(done) {
                    self.state.remove(unit);
                }
                return false;
            }
            self.state.add(unit, machine);
        }
        true
    }

    pub(crate) fn take_off(&mut self, block: BlockAt) -> Before {
        let mut before = Before::new();
        for unit in self.teams.blocks[block].members() {
            before.extend(self.state.remove(unit).map(|machine| (unit, machine)));
        }
        before
    }

    pub(crate) fn take_all_off(&mut self, blocks: &[BlockAt]) {
        for block in blocks {
            self.take_off(*block);
        }
    }

    pub(crate) fn take_off_team(&mut self, team: TeamAt) -> Before {
        let blocks: Vec<BlockAt> = self.teams.teams[team].blocks().collect();
        blocks.into_iter().flat_map(|block| self.take_off(block)).collect()
    }

    /// Back to where they were; nothing else may have come in between.
    pub(crate) fn restore(&mut self, before: &Before) {
        for (unit, machine) in before {
            self.state.remove(*unit);
            self.state.add(*unit, *machine);
        }
    }

    /// The machines that suit every one of the units.
    pub(crate) fn domain(&self, units: &[UnitAt]) -> Bits {
        let mut entries = units.iter().filter_map(|unit| self.entry(*unit));
        let first = entries.next().map(|entry| self.catalog.domain(entry));
        let mut domain = first.unwrap_or_else(|| Bits::none(self.catalog.sites.len()));
        entries.for_each(|entry| domain.keep(&self.catalog.domain(entry)));
        domain
    }

    /// What it costs that the block is on this machine.
    pub(crate) fn cost(&self, block: BlockAt, machine: MachineAt) -> Cost {
        let each = if self.drawn[block] == Some(machine) { 1 } else { ON_ITS_OWN };
        let away = |unit: &UnitAt| self.home[*unit].is_some_and(|home| home != machine);
        each * self.teams.blocks[block].members().filter(away).count()
    }

    pub(crate) fn cost_of(&self, blocks: &[BlockAt], machine: MachineAt) -> Cost {
        blocks.iter().map(|block| self.cost(*block, machine)).sum()
    }

    /// The machines that cost less than any other, in order.
    pub(crate) fn homes(&self, blocks: &[BlockAt]) -> Vec<MachineAt> {
        let of = |block: &BlockAt| {
            let members = self.teams.blocks[*block].members().filter_map(|unit| self.home[unit]);
            members.chain(self.drawn[*block]).collect::<Vec<_>>()
        };
        let mut homes: Vec<MachineAt> = blocks.iter().flat_map(of).collect();
        homes.sort_unstable();
        homes.dedup();
        homes
    }

    /// How many units of each tier are in these blocks.
    pub(crate) fn tally(&self, blocks: &[BlockAt]) -> Tally {
        let mut tally = Tally::default();
        for unit in self.units(blocks) {
            if let Some(count) = tally.get_mut(self.tier(unit)) {
                *count += 1;
            }
        }
        tally
    }
}
