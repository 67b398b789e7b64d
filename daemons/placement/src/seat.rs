//! Whoever may stay stays.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    pass::Pass,
    state::at_odds,
    table::{MachineAt, Table, UnitAt},
    teams::{BlockAt, TeamAt},
};

/// Above this many teams in a quarrel on one machine, first come, first served.
const CROWD: usize = 256;

impl Pass<'_> {
    /// Puts everybody where they are, if that is still right for them by themselves; of those who can't be
    /// together there as few as possible have to leave, later ones before earlier ones.
    pub(crate) fn seat(&mut self) {
        // Where each block would be if nobody were in the way.
        let mut block_home: Table<Option<MachineAt>> = Table::filled(None, self.teams.blocks.len());
        let mut staying: Table<bool> = Table::filled(false, self.teams.blocks.len());
        let mut crowded: BTreeMap<MachineAt, BTreeSet<TeamAt>> = BTreeMap::new();
        for team in 0..self.teams.teams.len() {
            if let Some(unit) = self.teams.only_member(team) {
                // Nine in ten.
                let Some(entry) = self.entry(unit) else { continue };
                let Some(home) = entry.home.filter(|home| self.catalog.suits(entry, *home)) else { continue };
                self.home[unit] = Some(home);
                if self.state.admits_beside(unit, entry, home) {
                    self.state.add(unit, home);
                } else {
                    crowded.entry(home).or_default().insert(team);
                    self.clashed.extend(self.teams.block_of[unit]);
                }
                continue;
            }
            let blocks: Vec<BlockAt> = self.teams.teams[team].blocks().collect();
            for block in blocks {
                let members: Vec<UnitAt> = self.teams.blocks[block].members().collect();
                for unit in &members {
                    let entry = self.entry(*unit);
                    let home = entry.and_then(|entry| entry.home.filter(|at| self.catalog.suits(entry, *at)));
                    self.home[*unit] = home;
                }
                let needs = &self.teams.blocks[block].needs;
                self.drawn[block] = needs.iter().find_map(|need| block_home[*need]);
                let Some(home) = self.find_home(block, &staying) else { continue };
                block_home[block] = Some(home);
                let joined =
                    self.teams.blocks[block].needs.iter().all(|need| block_home[*need] == Some(home));
                staying[block] = joined && members.iter().all(|unit| self.home[*unit] == Some(home));
                if staying[block] && self.put(&[block], home).is_empty() {
                    crowded.entry(home).or_default().insert(team);
                    self.clashed.insert(block);
                }
            }
        }
        for (machine, teams) in crowded {
            self.thin_out(machine, teams, &staying);
        }
    }

    /// A follower is at home where its targets are; any other block, and one whose targets are nowhere, where most
    /// of its members are.
    fn find_home(&self, block: BlockAt, staying: &Table<bool>) -> Option<MachineAt> {
        let here = &self.teams.blocks[block];
        if let Some(home) = self.drawn[block] {
            return Some(home);
        }
        let of_tie = |tie: &BlockAt| self.home[self.teams.blocks[*tie].lead].filter(|_| staying[*tie]);
        if let Some(home) = here.ties.iter().find_map(of_tie) {
            return Some(home);
        }
        let mut votes: Vec<(MachineAt, usize)> = Vec::new();
        for home in here.members().filter_map(|unit| self.home[unit]) {
            match votes.iter_mut().find(|(machine, _)| *machine == home) {
                Some((_, count)) => *count += 1,
                None => votes.push((home, 1)),
            }
        }
        let most = votes.iter().map(|(_, count)| *count).max()?;
        votes.into_iter().find(|(_, count)| *count == most).map(|(machine, _)| machine)
    }

    /// Some on this machine are at odds: whoever is at odds with the most others leaves, until peace is made.
    fn thin_out(&mut self, machine: MachineAt, crowding: BTreeSet<TeamAt>, staying: &Table<bool>) {
        let mut teams = crowding;
        teams.extend(self.state.residents(machine).iter().filter_map(|unit| self.teams.team_of(*unit)));
        let mut here: Vec<(usize, Vec<BlockAt>)> = Vec::new();
        for team in teams {
            let blocks: Vec<BlockAt> = self.teams.teams[team].blocks().collect();
            let at_home = |block: &BlockAt| {
                (staying[*block] || self.teams.only_member(team).is_some())
                    && self.teams.blocks[*block].members().all(|unit| self.home[unit] == Some(machine))
            };
            let blocks: Vec<BlockAt> = blocks.into_iter().filter(at_home).collect();
            let rank = blocks.iter().map(|block| self.rank(*block)).min().unwrap_or(usize::MAX);
            self.take_all_off(&blocks);
            here.push((rank, blocks));
        }
        here.sort_unstable();
        let leaving = if here.len() > CROWD { BTreeSet::new() } else { self.who_leaves(&here) };
        for (at, (_, blocks)) in here.iter().enumerate() {
            let put = if leaving.contains(&at) { Vec::new() } else { self.put(blocks, machine) };
            self.clashed.extend(blocks.iter().filter(|block| !put.contains(block)));
        }
    }

    fn who_leaves(&self, here: &[(usize, Vec<BlockAt>)]) -> BTreeSet<usize> {
        let members: Vec<Vec<UnitAt>> = here.iter().map(|(_, blocks)| self.units(blocks)).collect();
        let clash = |one: &[UnitAt], other: &[UnitAt]| {
            one.iter().filter_map(|unit| self.entry(*unit)).any(|unit| {
                other.iter().filter_map(|other| self.entry(*other)).any(|other| at_odds(unit, other))
            })
        };
        let mut odds: Vec<BTreeSet<usize>> = Vec::new();
        for (at, one) in members.iter().enumerate() {
            let others = members.iter().enumerate();
            odds.push(
                others.filter(|(to, other)| *to != at && clash(one, other)).map(|(to, _)| to).collect(),
            );
        }
        let mut leaving = BTreeSet::new();
        loop {
            let at_odds = odds.iter().enumerate().filter(|(_, odds)| !odds.is_empty());
            let worst = at_odds.max_by_key(|(at, odds)| {
                let size = members.get(*at).map_or(1, Vec::len).max(1);
                // Per unit that would have to move; among equals one that is to be replaced, then the latest.
                (odds.len() * 1000 / size, self.is_replaced(&members, *at, odds), *at)
            });
            let Some((worst, _)) = worst else { return leaving };
            leaving.insert(worst);
            for (at, odds) in odds.iter_mut().enumerate() {
                odds.remove(&worst);
                if at == worst {
                    odds.clear();
                }
            }
        }
    }

    fn is_replaced(&self, members: &[Vec<UnitAt>], at: usize, odds: &BTreeSet<usize>) -> bool {
        let names = |unit: &UnitAt| self.entry(*unit).map(|entry| entry.unit.name.as_str());
        let mine: Vec<&str> = members.get(at).into_iter().flatten().filter_map(names).collect();
        odds.iter()
            .filter_map(|other| members.get(*other))
            .flatten()
            .filter_map(|unit| self.entry(*unit))
            .any(|other| {
                other.unit.rules.replaces.iter().any(|glob| mine.iter().any(|name| glob.matches(name)))
            })
    }
}
