//! Places what found no machine by moving as few others as possible: the shortest chain of teams of which each
//! takes the place of the next, the last one's new place being free (augmenting paths).

use std::collections::{HashSet, VecDeque};

use crate::{
    bits::Bits,
    pass::{Before, Pass},
    table::{MachineAt, UnitAt},
    teams::{BlockAt, TeamAt},
};

/// Units that behave alike: what leads nowhere for one of them leads nowhere for the others.
pub(crate) type Kind = (usize, Option<MachineAt>, Vec<usize>, Vec<usize>);

/// Somebody who has to go somewhere, and who pushed them out.
#[derive(Debug)]
struct Step {
    blocks: Vec<BlockAt>,
    units: Vec<UnitAt>,
    domain: Bits,
    /// The step that takes this one's place, and that place.
    pushed_by: Option<(usize, MachineAt)>,
}

/// More blockers than this are not moved for one unit.
const MOST_BLOCKERS: usize = 4;

impl Pass<'_> {
    /// Tries to place everything that is nowhere, those that ran first, then as they were submitted.
    pub(crate) fn repair(&mut self) {
        let mut hopeless: HashSet<Kind> = HashSet::new();
        loop {
            let mut progress = false;
            for team in self.pending_teams() {
                let kind = self.kind(team);
                if kind.as_ref().is_some_and(|kind| hopeless.contains(kind)) {
                    continue;
                }
                if self.place_by_chain(team) {
                    self.fill_team(team);
                    progress = true;
                    hopeless.clear();
                } else {
                    hopeless.extend(kind);
                }
            }
            if !progress {
                return;
            }
        }
    }

    /// Teams with something that is nowhere but suits a machine.
    pub(crate) fn pending_teams(&self) -> Vec<TeamAt> {
        let mut pending: Vec<(usize, usize, TeamAt)> = Vec::new();
        for team in 0..self.teams.teams.len() {
            let nowhere = self.teams.members(team).filter(|unit| self.state.at[*unit].is_none());
            let first = nowhere.map(|unit| (self.tier(unit), self.teams.rank[unit])).min();
            pending.extend(first.map(|(tier, rank)| (tier, rank, team)));
        }
        pending.sort_unstable();
        pending.into_iter().map(|(_, _, team)| team).collect()
    }

    fn kind(&self, team: TeamAt) -> Option<Kind> {
        self.kind_of(self.teams.only_member(team)?)
    }

    /// Only for units whose behaviour is told by these rules alone.
    pub(crate) fn kind_of(&self, unit: UnitAt) -> Option<Kind> {
        self.moving_kind(self.teams.team_of(unit)?)
    }

    fn place_by_chain(&mut self, team: TeamAt) -> bool {
        let blocks: Vec<BlockAt> = self.teams.teams[team].blocks().collect();
        let (placed, missing): (Vec<BlockAt>, Vec<BlockAt>) =
            blocks.iter().copied().partition(|block| self.is_placed(*block));
        // The rest comes to the part that is placed; or else all go somewhere together.
        if let Some(anchor) = placed.iter().find_map(|block| self.machine_of(*block)) {
            let mut only = Bits::none(self.catalog.sites.len());
            only.insert(anchor);
            if self.chain(&missing, Some(&only)) {
                return true;
            }
            let before = self.take_off_team(team);
            if self.chain(&blocks, None) {
                return true;
            }
            self.restore(&before);
            return false;
        }
        if self.chain(&missing, None) {
            return true;
        }
        // A follower that fits nowhere must not keep the others from their place.
        (1..missing.len()).rev().any(|some| missing.get(..some).is_some_and(|some| self.chain(some, None)))
    }

    /// Finds the shortest chain and follows it.
    fn chain(&mut self, blocks: &[BlockAt], only: Option<&Bits>) -> bool {
        let units = self.units(blocks);
        let mut domain = self.domain(&units);
        if let Some(only) = only {
            domain.keep(only);
        }
        let mut steps = vec![Step { blocks: blocks.to_vec(), units, domain, pushed_by: None }];
        let mut seen: HashSet<TeamAt> = HashSet::new();
        let mut kinds: HashSet<Kind> = HashSet::new();
        let mut queue = VecDeque::from([0]);
        while let Some(at) = queue.pop_front() {
            let Some(step) = steps.get(at) else { break };
            let (domain, units) = (step.domain.clone(), step.units.clone());
            let now = step.pushed_by.and_then(|_| units.first().and_then(|unit| self.state.at[*unit]));
            for machine in self.by_load(&domain) {
                let cost = (units.len() * (1 + self.state.residents(machine).len())) as u64;
                if self.budget < cost {
                    return false;
                }
                self.budget -= cost;
                if now == Some(machine) {
                    continue;
                }
                let Some(blockers) = self.blocking_teams(&units, machine) else { continue };
                if blockers.len() <= 1
                    && blockers.iter().all(|team| seen.contains(team))
                    && !blockers.is_empty()
                {
                    continue;
                }
                match blockers.as_slice() {
                    [] => {
                        if self.follow(&steps, at, machine) {
                            return true;
                        }
                    }
                    [team] => {
                        seen.insert(*team);
                        if let Some(kind) = self.moving_kind(*team)
                            && !kinds.insert(kind)
                            && at != 0
                        {
                            continue;
                        }
                        let blocks: Vec<BlockAt> =
                            self.teams.teams[*team].blocks().filter(|block| self.is_placed(*block)).collect();
                        let units = self.units(&blocks);
                        let domain = self.domain(&units);
                        steps.push(Step { blocks, units, domain, pushed_by: Some((at, machine)) });
                        queue.push_back(steps.len() - 1);
                    }
                    several => {
                        if several.len() <= MOST_BLOCKERS && self.push_out(&steps, at, machine, several) {
                            return true;
                        }
                    }
                }
            }
        }
        false
    }

    fn moving_kind(&self, team: TeamAt) -> Option<Kind> {
        let unit = self.teams.only_member(team)?;
        let entry = self.entry(unit).filter(|entry| !entry.needs_room())?;
        let plain = !self.state.globals.is_related(unit);
        plain.then(|| (entry.site, entry.home, entry.declares.clone(), entry.hits.clone()))
    }

    fn by_load(&mut self, domain: &Bits) -> Vec<MachineAt> {
        self.loads.follow(&mut self.state);
        self.loads.lightest(domain).collect()
    }

    /// The teams that would have to leave the machine; `None` if that would not help.
    fn blocking_teams(&self, units: &[UnitAt], machine: MachineAt) -> Option<Vec<TeamAt>> {
        let mut teams: Vec<TeamAt> = Vec::new();
        for unit in units {
            let blockers = self.state.blockers(*unit, machine);
            for blocker in &blockers {
                let team = self.teams.team_of(*blocker)?;
                if units.iter().any(|unit| self.teams.team_of(*unit) == Some(team)) {
                    return None;
                }
                if !teams.contains(&team) {
                    teams.push(team);
                }
            }
            if blockers.is_empty() && !self.state.admits(*unit, machine) {
                return None;
            }
            if teams.len() > MOST_BLOCKERS {
                return None;
            }
        }
        teams.sort_unstable();
        Some(teams)
    }

    /// Moves everybody on the chain whose last one goes to this machine.
    fn follow(&mut self, steps: &[Step], last: usize, machine: MachineAt) -> bool {
        let Some(before) = self.make_way(steps, last, machine) else { return false };
        if self.are_sound(&before) {
            return true;
        }
        self.undo(steps, last, &before);
        false
    }

    /// The chain as far as this step, which goes to the machine. Returns where everybody was.
    fn make_way(&mut self, steps: &[Step], last: usize, machine: MachineAt) -> Option<Before> {
        let mut before = Before::new();
        let mut path: Vec<(usize, MachineAt)> = vec![(last, machine)];
        while let Some(step) = path.last().and_then(|(at, _)| steps.get(*at)) {
            step.blocks.iter().for_each(|block| before.extend(self.take_off(*block)));
            match step.pushed_by {
                Some(next) => path.push(next),
                None => break,
            }
        }
        for (at, machine) in path.iter().rev() {
            let blocks = steps.get(*at).map(|step| step.blocks.clone()).unwrap_or_default();
            if !self.put_all(&blocks, *machine) {
                self.undo(steps, last, &before);
                return None;
            }
        }
        Some(before)
    }

    fn undo(&mut self, steps: &[Step], last: usize, before: &Before) {
        let mut at = Some(last);
        while let Some(step) = at.and_then(|at| steps.get(at)) {
            self.take_all_off(&step.blocks);
            at = step.pushed_by.map(|(at, _)| at);
        }
        self.restore(before);
    }

    /// The chain ends here with several who leave for places that are free.
    fn push_out(&mut self, steps: &[Step], last: usize, machine: MachineAt, teams: &[TeamAt]) -> bool {
        let mut left = Before::new();
        let mut moving: Vec<Vec<BlockAt>> = Vec::new();
        for team in teams {
            moving.push(self.teams.teams[*team].blocks().filter(|block| self.is_placed(*block)).collect());
            left.extend(self.take_off_team(*team));
        }
        if let Some(before) = self.make_way(steps, last, machine) {
            let placed = moving
                .iter()
                .all(|blocks| self.pick(blocks, Some(machine)).is_some_and(|to| self.put_all(blocks, to)));
            if placed && self.are_sound(&before) && self.are_sound(&left) {
                return true;
            }
            moving.iter().flatten().for_each(|block| drop(self.take_off(*block)));
            self.undo(steps, last, &before);
        }
        self.restore(&left);
        false
    }
}
