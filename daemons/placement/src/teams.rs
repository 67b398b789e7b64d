//! Units that share a machine: what MachineOf=, and BindsTo= or Requires= between placed units, tie together.
//!
//! A block is placed whole or not at all: a unit, or units that name each other in a circle of MachineOf=.
//! A team is what is linked in any way. Its blocks are kept with targets before followers.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    catalog::{Catalog, Entry},
    table::{Table, UnitAt},
};

/// The position of a block.
pub(crate) type BlockAt = usize;
/// The position of a team.
pub(crate) type TeamAt = usize;

/// Units that are placed whole or not at all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Block {
    pub(crate) lead: UnitAt,
    others: Vec<UnitAt>,
    /// Blocks that have to be on its machine.
    pub(crate) needs: Vec<BlockAt>,
    /// Blocks that have it in their `needs`.
    pub(crate) followers: Vec<BlockAt>,
    /// Blocks that are on its machine if they are anywhere.
    pub(crate) ties: Vec<BlockAt>,
    pub(crate) team: TeamAt,
}

impl Block {
    pub(crate) fn members(&self) -> impl Iterator<Item = UnitAt> + Clone + '_ {
        std::iter::once(self.lead).chain(self.others.iter().copied())
    }

    /// All blocks that it can't be apart from.
    pub(crate) fn links(&self) -> impl Iterator<Item = BlockAt> + '_ {
        self.needs.iter().chain(&self.followers).chain(&self.ties).copied()
    }
}

/// Linked blocks, targets first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Team {
    first: BlockAt,
    others: Vec<BlockAt>,
}

impl Team {
    pub(crate) fn blocks(&self) -> impl Iterator<Item = BlockAt> + Clone + '_ {
        std::iter::once(self.first).chain(self.others.iter().copied())
    }
}

/// All wanted units that are not global, in teams.
#[derive(Debug, Clone, Default)]
#[allow(clippy::struct_field_names, reason = "teams of blocks, blocks of units")]
pub(crate) struct Teams {
    pub(crate) blocks: Table<Block>,
    pub(crate) teams: Table<Team>,
    /// The block of a unit; `None` for those that are not placed one by one, or can't be placed at all.
    pub(crate) block_of: Table<Option<BlockAt>>,
    /// Position in the order of submission.
    pub(crate) rank: Table<usize>,
    /// Units whose MachineOf= can't be obeyed by anybody: the target is unknown or not wanted.
    pub(crate) waiting: Table<bool>,
    /// How many units are in blocks.
    pub(crate) units: usize,
}

impl Teams {
    pub(crate) fn of(catalog: &Catalog<'_>) -> Self {
        let mut teams = Self {
            block_of: Table::filled(None, catalog.positions()),
            rank: Table::filled(usize::MAX, catalog.positions()),
            waiting: Table::filled(false, catalog.positions()),
            ..Self::default()
        };
        for (rank, unit) in catalog.ranked().iter().enumerate() {
            teams.rank[*unit] = rank;
        }
        let links = teams.links(catalog);
        let mut linked = Table::filled(false, catalog.positions());
        for link in &links {
            linked[link.unit] = true;
        }
        for unit in catalog.ranked() {
            let alone = !linked[*unit] && !teams.waiting[*unit];
            if alone && catalog.entry(*unit).is_some_and(Entry::is_ordinary) {
                let team = teams.teams.len();
                let block = teams.blocks.push(Block { lead: *unit, team, ..Block::default() });
                teams.block_of[*unit] = Some(block);
                teams.units += 1;
                teams.teams.push(Team { first: block, others: Vec::new() });
            }
        }
        teams.units += links.len();
        teams.assemble(&links);
        teams
    }

    pub(crate) fn team_of(&self, unit: UnitAt) -> Option<TeamAt> {
        self.block_of[unit].map(|block| self.blocks[block].team)
    }

    pub(crate) fn members(&self, team: TeamAt) -> impl Iterator<Item = UnitAt> + Clone + '_ {
        self.teams[team].blocks().flat_map(|block| self.blocks[block].members())
    }

    /// The unit of a team that has no other.
    pub(crate) fn only_member(&self, team: TeamAt) -> Option<UnitAt> {
        let known = &self.teams[team];
        let block = &self.blocks[known.first];
        (known.others.is_empty() && block.others.is_empty()).then_some(block.lead)
    }

    /// The units that are linked with others, by rank, and how. Fills `waiting`.
    fn links(&mut self, catalog: &Catalog<'_>) -> Vec<Link> {
        let mut links: Vec<Link> = Vec::new();
        let find = |name: &String| {
            let at = catalog.find(name)?;
            Some((at, catalog.entry(at)?))
        };
        for unit in catalog.ranked() {
            let Some(entry) = catalog.entry(*unit).filter(|entry| entry.is_ordinary() && entry.has_links())
            else {
                continue;
            };
            let mut link = Link { unit: *unit, needs: Vec::new(), ties: Vec::new() };
            for name in &entry.unit.rules.machine_of {
                match find(name) {
                    Some((target, other)) if other.is_ordinary() && target != *unit => {
                        link.needs.push(target);
                    }
                    Some((target, other)) if other.unit.wanted && target != *unit => {}
                    _ => self.waiting[*unit] = true,
                }
            }
            for name in &entry.unit.rules.ties {
                // Most often the same unit as in MachineOf=.
                if entry.unit.rules.machine_of.contains(name) {
                    continue;
                }
                let tie = find(name).filter(|(target, other)| target != unit && other.is_ordinary());
                link.ties.extend(tie.map(|(target, _)| target));
            }
            links.push(link);
        }
        // Who follows a unit that waits for ever waits as well.
        let mut again = links.iter().any(|link| self.waiting[link.unit]);
        while std::mem::take(&mut again) {
            for link in &links {
                if !self.waiting[link.unit] && link.needs.iter().any(|need| self.waiting[*need]) {
                    self.waiting[link.unit] = true;
                    again = true;
                }
            }
        }
        links.retain(|link| !self.waiting[link.unit]);
        let mut involved = Table::filled(false, catalog.positions());
        for link in &mut links {
            link.ties.retain(|tie| !self.waiting[*tie]);
            for other in link.needs.iter().chain(&link.ties) {
                involved[*other] = true;
                involved[link.unit] = true;
            }
        }
        links.retain(|link| involved[link.unit]);
        let listed: Vec<UnitAt> = links.iter().map(|link| link.unit).collect();
        for unit in listed {
            involved[unit] = false;
        }
        let targets = catalog.ranked().iter().filter(|unit| involved[**unit]);
        links.extend(targets.map(|unit| Link { unit: *unit, needs: Vec::new(), ties: Vec::new() }));
        links.sort_by_key(|link| self.rank[link.unit]);
        links
    }

    fn assemble(&mut self, links: &[Link]) {
        let mut position: Table<usize> = Table::filled(usize::MAX, self.block_of.len());
        for (at, link) in links.iter().enumerate() {
            position[link.unit] = at;
        }
        // Blocks in the order of their first member.
        let circle = circles(links, &position);
        let mut block_at: Table<Option<BlockAt>> = Table::filled(None, links.len());
        let first = self.blocks.len();
        for (at, link) in links.iter().enumerate() {
            let block = match block_at[circle[at]] {
                Some(block) => {
                    self.blocks[block].others.push(link.unit);
                    block
                }
                None => self.blocks.push(Block { lead: link.unit, ..Block::default() }),
            };
            block_at[circle[at]] = Some(block);
            self.block_of[link.unit] = Some(block);
        }
        for link in links {
            let Some(block) = self.block_of[link.unit] else { continue };
            for (targets, needed) in [(&link.needs, true), (&link.ties, false)] {
                for target in targets.iter().filter_map(|target| self.block_of[*target]) {
                    if target == block {
                        continue;
                    }
                    if !needed {
                        push_new(&mut self.blocks[block].ties, target);
                        push_new(&mut self.blocks[target].ties, block);
                    } else if push_new(&mut self.blocks[block].needs, target) {
                        self.blocks[target].followers.push(block);
                    }
                }
            }
        }
        let mut seen = Table::filled(false, self.blocks.len());
        for start in first..self.blocks.len() {
            if seen[start] {
                continue;
            }
            seen[start] = true;
            let mut together = vec![start];
            let mut next = 0;
            while let Some(block) = together.get(next).copied() {
                next += 1;
                for link in self.blocks[block].links() {
                    if !seen[link] {
                        seen[link] = true;
                        together.push(link);
                    }
                }
            }
            self.line_up(together);
        }
    }

    /// Makes a team: targets before followers, otherwise as they were submitted.
    fn line_up(&mut self, mut together: Vec<BlockAt>) {
        together.sort_unstable_by_key(|block| self.rank[self.blocks[*block].lead]);
        let mut waits_for: BTreeMap<BlockAt, usize> = BTreeMap::new();
        let mut ready: BTreeSet<(usize, BlockAt)> = BTreeSet::new();
        for block in &together {
            match self.blocks[*block].needs.len() {
                0 => drop(ready.insert((self.rank[self.blocks[*block].lead], *block))),
                needs => drop(waits_for.insert(*block, needs)),
            }
        }
        let team = self.teams.len();
        let mut line = Vec::with_capacity(together.len());
        while let Some((_, block)) = ready.pop_first() {
            line.push(block);
            self.blocks[block].team = team;
            for follower in &self.blocks[block].followers {
                if let Some(count) = waits_for.get_mut(follower) {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        ready.insert((self.rank[self.blocks[*follower].lead], *follower));
                    }
                }
            }
        }
        let mut line = line.into_iter();
        if let Some(first) = line.next() {
            self.teams.push(Team { first, others: line.collect() });
        }
    }
}

#[derive(Debug)]
struct Link {
    unit: UnitAt,
    needs: Vec<UnitAt>,
    ties: Vec<UnitAt>,
}

fn push_new(list: &mut Vec<usize>, item: usize) -> bool {
    let new = !list.contains(&item);
    if new {
        list.push(item);
    }
    new
}

/// For each link the number of its strongly connected component (Kosaraju, without recursion).
fn circles(links: &[Link], position: &Table<usize>) -> Table<usize> {
    let edges: Table<Vec<usize>> =
        links.iter().map(|link| link.needs.iter().map(|need| position[*need]).collect()).collect();
    let len = edges.len();
    if !edges.iter().flatten().any(|target| !edges[*target].is_empty()) {
        // No target has a target: no circles.
        return (0..len).collect();
    }
    let mut back: Table<Vec<usize>> = Table::filled(Vec::new(), len);
    for (from, targets) in edges.iter().enumerate() {
        for to in targets {
            back[*to].push(from);
        }
    }
    let mut seen = Table::filled(false, len);
    let mut finished = Vec::with_capacity(len);
    for start in 0..len {
        if seen[start] {
            continue;
        }
        seen[start] = true;
        let mut path = vec![(start, 0)];
        while let Some((node, next)) = path.pop() {
            if let Some(to) = edges[node].get(next) {
                path.push((node, next + 1));
                if !seen[*to] {
                    seen[*to] = true;
                    path.push((*to, 0));
                }
            } else {
                finished.push(node);
            }
        }
    }
    let mut circle = Table::filled(usize::MAX, len);
    let mut count = 0;
    for start in finished.into_iter().rev() {
        if circle[start] != usize::MAX {
            continue;
        }
        circle[start] = count;
        let mut next = vec![start];
        while let Some(node) = next.pop() {
            for from in &back[node] {
                if circle[*from] == usize::MAX {
                    circle[*from] = count;
                    next.push(*from);
                }
            }
        }
        count += 1;
    }
    circle
}
