//! Moves that somebody asked for: operators (`wish`), units with Replaces=, and failures (`avoid`).
//!
//! None of them makes a third unit move, and none leaves a unit without a machine.

use crate::{
    pass::{Cost, Pass},
    table::{MachineAt, UnitAt},
    teams::{BlockAt, TeamAt},
};

impl Pass<'_> {
    /// Moves whole teams where an operator wants one of their units, if the hard rules allow it there.
    pub(crate) fn obey_wishes(&mut self) {
        // One that leaves may make room for another.
        loop {
            let mut obeyed = false;
            for unit in self.asking.wishers.clone() {
                let Some(entry) = self.entry(unit) else { continue };
                let Some(wish) = entry.wish else { continue };
                if self.state.at[unit].is_some_and(|now| now != wish)
                    && let Some(team) = self.teams.team_of(unit)
                    && !self.has_earlier_wish(team, unit)
                {
                    obeyed |= self.move_team(team, wish);
                }
            }
            if !obeyed {
                return;
            }
        }
    }

    /// In a team the wish of the unit that was submitted first counts.
    fn has_earlier_wish(&self, team: TeamAt, unit: UnitAt) -> bool {
        self.teams.members(team).any(|other| {
            self.teams.rank[other] < self.teams.rank[unit]
                && self.entry(other).is_some_and(|other| other.wish.is_some())
        })
    }

    /// Moves everything of the team that is placed; or nothing.
    fn move_team(&mut self, team: TeamAt, to: MachineAt) -> bool {
        let placed: Vec<BlockAt> =
            self.teams.teams[team].blocks().filter(|block| self.is_placed(*block)).collect();
        let before = self.take_off_team(team);
        if self.put_all(&placed, to) && self.are_sound(&before) {
            self.units(&placed).iter().for_each(|unit| self.home[*unit] = Some(to));
            return true;
        }
        self.restore(&before);
        false
    }

    pub(crate) fn are_sound(&self, left: &[(UnitAt, MachineAt)]) -> bool {
        left.iter().all(|(_, machine)| self.state.is_sound(*machine))
    }

    /// Units that take the place of others by Replaces=, if those can go elsewhere.
    pub(crate) fn replace(&mut self) {
        for unit in self.asking.replacers.clone() {
            let Some(entry) = self.entry(unit).filter(|_| self.state.at[unit].is_none()) else { continue };
            // One that lost its machine goes wherever there is room: only what was lost moves.
            if entry.unit.current.is_some() && self.home[unit].is_none() {
                continue;
            }
            let Some(team) = self.teams.team_of(unit) else { continue };
            let blocks: Vec<BlockAt> = self.teams.teams[team].blocks().collect();
            if blocks.iter().any(|block| self.is_placed(*block)) {
                continue;
            }
            // Where it is itself comes first, then the places of those that it replaces, as they were submitted.
            let mut places: Vec<MachineAt> = self.home[unit].into_iter().collect();
            let mut replaced = self.replaced_by(unit);
            replaced.sort_by_key(|other| self.teams.rank[*other]);
            places.extend(replaced.iter().filter_map(|other| self.state.at[*other]));
            places.into_iter().any(|place| self.take_place(unit, &blocks, place));
        }
    }

    /// Placed units that the unit replaces.
    fn replaced_by(&self, unit: UnitAt) -> Vec<UnitAt> {
        let Some(entry) = self.entry(unit) else { return Vec::new() };
        let patterns = entry.declares.iter().filter_map(|at| self.catalog.patterns.get(*at));
        let members = patterns.flat_map(|pattern| pattern.members.iter().copied());
        let mut replaced: Vec<UnitAt> =
            members.filter(|other| self.state.at[*other].is_some() && self.replaces(unit, *other)).collect();
        replaced.sort_unstable();
        replaced.dedup();
        replaced
    }

    fn replaces(&self, unit: UnitAt, other: UnitAt) -> bool {
        match (self.entry(unit), self.entry(other)) {
            (Some(entry), Some(other_entry)) if unit != other => {
                entry.unit.rules.replaces.iter().any(|glob| glob.matches(&other_entry.unit.name))
            }
            _ => false,
        }
    }

    fn take_place(&mut self, unit: UnitAt, blocks: &[BlockAt], place: MachineAt) -> bool {
        let units = self.units(blocks);
        if !self.domain(&units).has(place) {
            return false;
        }
        let mut leaving: Vec<TeamAt> = Vec::new();
        for member in &units {
            for blocker in self.state.blockers(*member, place) {
                if !self.replaces(unit, blocker) {
                    return false;
                }
                leaving.extend(self.teams.team_of(blocker));
            }
        }
        leaving.sort_unstable();
        leaving.dedup();
        let mut before = Vec::new();
        let mut moving: Vec<Vec<BlockAt>> = Vec::new();
        for team in leaving {
            moving.push(self.teams.teams[team].blocks().filter(|block| self.is_placed(*block)).collect());
            before.extend(self.take_off_team(team));
        }
        moving.sort_by_key(|blocks| blocks.iter().map(|block| self.rank(*block)).min());
        let mut done = self.put_all(blocks, place);
        let mut went = Vec::new();
        for blocks in &moving {
            let to = if done { self.pick(blocks, Some(place)) } else { None };
            done = to.is_some_and(|to| self.put_all(blocks, to));
            went.extend(to.map(|to| (blocks.clone(), to)));
        }
        if done && self.are_sound(&before) {
            for unit in &units {
                self.home[*unit] = Some(place);
            }
            for (blocks, to) in went {
                self.units(&blocks).iter().for_each(|unit| self.home[*unit] = Some(to));
            }
            return true;
        }
        blocks.iter().chain(moving.iter().flatten()).for_each(|block| drop(self.take_off(*block)));
        self.restore(&before);
        false
    }

    /// Moves teams away from machines where a unit of theirs failed too often, if another machine takes them.
    pub(crate) fn leave_avoided(&mut self) {
        for unit in self.asking.avoiders.clone() {
            let Some(entry) = self.entry(unit) else { continue };
            let (Some(now), Some(team)) = (self.state.at[unit], self.teams.team_of(unit)) else { continue };
            if !entry.avoid.contains(&now) || entry.wish == Some(now) {
                continue;
            }
            let placed: Vec<BlockAt> =
                self.teams.teams[team].blocks().filter(|block| self.is_placed(*block)).collect();
            let before = self.take_off_team(team);
            let to = self.pick(&placed, Some(now));
            let shunned = |unit: &UnitAt| {
                self.entry(*unit).is_some_and(|entry| to.is_some_and(|to| entry.avoid.contains(&to)))
            };
            let better = to.filter(|_| !self.units(&placed).iter().any(shunned));
            if better.is_some_and(|to| self.put_all(&placed, to)) && self.are_sound(&before) {
                self.units(&placed).iter().for_each(|unit| self.home[*unit] = better);
            } else {
                self.take_all_off(&placed);
                self.restore(&before);
            }
        }
    }

    /// Whoever was moved for somebody else's sake goes back if it can after all.
    pub(crate) fn settle(&mut self) {
        for team in 0..self.teams.teams.len() {
            if !self.teams.members(team).any(|unit| self.has_moved(unit)) {
                continue;
            }
            let placed: Vec<BlockAt> =
                self.teams.teams[team].blocks().filter(|block| self.is_placed(*block)).collect();
            let now: Cost = placed
                .iter()
                .filter_map(|block| self.machine_of(*block).map(|machine| self.cost(*block, machine)))
                .sum();
            let mut homes: Vec<(Cost, MachineAt)> =
                self.homes(&placed).into_iter().map(|home| (self.cost_of(&placed, home), home)).collect();
            homes.sort_unstable();
            let better = homes.into_iter().take_while(|(cost, _)| *cost < now);
            let _ = better.map(|(_, home)| home).any(|home| self.move_team_home(team, &placed, home));
        }
    }

    fn move_team_home(&mut self, team: TeamAt, placed: &[BlockAt], home: MachineAt) -> bool {
        let before = self.take_off_team(team);
        let better = self.put_all(placed, home) && self.are_sound(&before);
        if !better {
            self.take_all_off(placed);
            self.restore(&before);
        }
        better
    }
}
