//! Whoever is nowhere goes to the best machine.

use crate::{
    pass::{Cost, Pass, Tally},
    table::{MachineAt, UnitAt},
    teams::{BlockAt, TeamAt},
};

/// What a machine takes of a group, more is better; then, less is better: moves, load, machine.
type Catch = (Tally, std::cmp::Reverse<(Cost, i64, MachineAt)>);

impl Pass<'_> {
    /// Places what is nowhere: teams of which a part is placed first, then those that ran, then new ones; among
    /// equals the one with the least choice, then the one that was submitted first.
    pub(crate) fn fill(&mut self) {
        let mut waiting: Vec<_> = (0..self.teams.teams.len())
            .filter(|team| self.teams.teams[*team].blocks().any(|block| !self.is_placed(block)))
            .map(|team| (self.urgency(team), team))
            .collect();
        waiting.sort_unstable();
        for (_, team) in waiting {
            self.fill_team(team);
        }
    }

    fn urgency(&self, team: TeamAt) -> (bool, usize, usize, usize) {
        let mut anchored = false;
        let mut urgency = (usize::MAX, usize::MAX, usize::MAX);
        for unit in self.teams.members(team) {
            anchored |= self.home[unit].is_some();
            let choice = self.entry(unit).map_or(0, |entry| self.catalog.sites.choice(entry.site));
            urgency.0 = urgency.0.min(self.tier(unit));
            urgency.1 = urgency.1.min(choice);
            urgency.2 = urgency.2.min(self.teams.rank[unit]);
        }
        (!anchored, urgency.0, urgency.1, urgency.2)
    }

    pub(crate) fn fill_team(&mut self, team: TeamAt) {
        let (placed, mut left): (Vec<BlockAt>, Vec<BlockAt>) =
            self.teams.teams[team].blocks().partition(|block| self.is_placed(*block));
        if !placed.is_empty() && self.join(team, &placed, &mut left) {
            return;
        }
        // Parts that are linked to nothing placed may go anywhere.
        loop {
            let free = self.detached(&left);
            if free.is_empty() || !self.place_together(&free) {
                return;
            }
            left.retain(|block| !self.is_placed(*block));
        }
    }

    /// Joins the part that is placed already; true if nobody is left.
    fn join(&mut self, team: TeamAt, placed: &[BlockAt], left: &mut Vec<BlockAt>) -> bool {
        let Some(anchor) = placed.iter().find_map(|block| self.machine_of(*block)) else { return false };
        if self.put_all(left, anchor) {
            return true;
        }
        // Another machine that takes all of them?
        let all: Vec<BlockAt> = self.teams.teams[team].blocks().collect();
        let before = self.take_off_team(team);
        if let Some(machine) = self.pick(&all, None)
            && self.put_all(&all, machine)
        {
            if self.are_sound(&before) {
                return true;
            }
            self.take_off_team(team);
        }
        self.restore(&before);
        for block in left.clone() {
            for machine in self.machines_of_links(block) {
                self.put(&[block], machine);
            }
        }
        left.retain(|block| !self.is_placed(*block));
        left.is_empty()
    }

    fn machines_of_links(&self, block: BlockAt) -> Vec<MachineAt> {
        let mut machines: Vec<MachineAt> =
            self.teams.blocks[block].links().filter_map(|link| self.machine_of(link)).collect();
        machines.sort_unstable();
        machines.dedup();
        machines
    }

    /// The blocks that have no link to a placed one, neither directly nor through targets.
    fn detached(&self, left: &[BlockAt]) -> Vec<BlockAt> {
        let mut free: Vec<BlockAt> = Vec::new();
        for block in left {
            let known = &self.teams.blocks[*block];
            let tied = known.links().any(|link| self.is_placed(link));
            if !tied && known.needs.iter().all(|need| free.contains(need)) {
                free.push(*block);
            }
        }
        free
    }

    /// Places as much as possible of these blocks on one machine; false if nothing at all.
    fn place_together(&mut self, blocks: &[BlockAt]) -> bool {
        let units = self.units(blocks);
        let home = units.first().filter(|_| units.len() == 1).and_then(|unit| self.home[*unit]);
        let wish = units.iter().find_map(|unit| self.entry(*unit)?.wish);
        for machine in wish.into_iter().chain(home) {
            if self.put_all(blocks, machine) {
                return true;
            }
        }
        if let Some(machine) = self.pick(blocks, None) {
            return self.put_all(blocks, machine);
        }
        blocks.len() > 1 && self.place_most(blocks, &units)
    }

    /// No machine takes all: the one that takes the most, those that ran before new ones.
    fn place_most(&mut self, blocks: &[BlockAt], units: &[UnitAt]) -> bool {
        let mut best: Option<Catch> = None;
        let mut machines = self.domain(&units.iter().take(1).copied().collect::<Vec<_>>());
        units.iter().filter_map(|unit| self.entry(*unit)).for_each(|entry| {
            machines.join(&self.catalog.domain(entry));
        });
        for machine in machines.iter() {
            let taken = self.put(blocks, machine);
            let tally = self.tally(&taken);
            taken.iter().rev().for_each(|block| drop(self.take_off(*block)));
            let score = (
                tally,
                std::cmp::Reverse((self.cost_of(&taken, machine), self.state.load[machine], machine)),
            );
            if !taken.is_empty() && best.as_ref().is_none_or(|best| score > *best) {
                best = Some(score);
            }
        }
        match best {
            Some((_, std::cmp::Reverse((_, _, machine)))) => {
                self.put(blocks, machine);
                true
            }
            None => false,
        }
    }
}
