//! Units that share a machine: what MachineOf=, and BindsTo= or Requires= between placed units, tie together.
//!
//! A block is placed whole or not at all: a unit, or units that name each other in a circle of MachineOf=.
//! A team is what is linked in any way. Its blocks are kept with targets before followers.

use std::collections::BTreeSet;

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

    pub(crate) const fn is_single(&self) -> bool {
        self.others.is_empty()
    }
}

/// All wanted units that are not global, in teams.
#[derive(Debug, Clone, Default)]
pub(crate) struct Teams {
    pub(crate) blocks: Table<Block>,
    pub(crate) teams: Table<Team>,
    /// The block of a unit; `None` for those that are not placed one by one, or can't be placed at all.
    pub(crate) block_of: Table<Option<BlockAt>>,
    /// Position in the order of submission.
    pub(crate) rank: Table<usize>,
    /// Units whose MachineOf= can't be obeyed by anybody: the target is unknown or not wanted.
    pub(crate) waiting: BTreeSet<UnitAt>,
}

impl Teams {
    pub(crate) fn of(catalog: &Catalog) -> Self {
        let mut teams = Self {
            block_of: Table::filled(None, catalog.positions()),
            rank: Table::filled(usize::MAX, catalog.positions()),
            ..Self::default()
        };
        for (rank, unit) in catalog.ranked().iter().enumerate() {
            teams.rank[*unit] = rank;
        }
        let linked = teams.links(catalog);
        for unit in catalog.ranked() {
            let alone = linked.binary_search_by_key(&teams.rank[*unit], |link| link.rank).is_err();
            if alone && catalog.entry(*unit).is_some_and(Entry::is_ordinary) && !teams.waiting.contains(unit) {
                let block = teams.blocks.push(Block { lead: *unit, ..Block::default() });
                teams.block_of[*unit] = Some(block);
                teams.blocks[block].team = teams.teams.push(Team { first: block, others: Vec::new() });
            }
        }
        teams.assemble(&linked);
        teams
    }

    pub(crate) fn team_of(&self, unit: UnitAt) -> Option<TeamAt> {
        self.block_of[unit].map(|block| self.blocks[block].team)
    }

    pub(crate) fn members(&self, team: TeamAt) -> impl Iterator<Item = UnitAt> + Clone + '_ {
        self.teams[team].blocks().flat_map(|block| self.blocks[block].members())
    }

    /// The units that are linked with others, by rank, and how. Fills `waiting`.
    fn links(&mut self, catalog: &Catalog) -> Vec<Link> {
        let mut links: Vec<Link> = Vec::new();
        let find = |name: &String| Some((catalog.find(name)?, catalog.entry(catalog.find(name)?)?));
        for unit in catalog.ranked() {
            let Some(entry) = catalog.entry(*unit).filter(|entry| entry.is_ordinary() && entry.has_links()) else {
                continue;
            };
            let mut link = Link { rank: self.rank[*unit], unit: *unit, needs: Vec::new(), ties: Vec::new() };
            for name in &entry.unit.rules.machine_of {
                match find(name) {
                    Some((target, _)) if target == *unit => drop(self.waiting.insert(*unit)),
                    Some((target, other)) if other.is_ordinary() => link.needs.push(self.rank[target]),
                    Some((_, other)) if other.unit.wanted => {}
                    _ => drop(self.waiting.insert(*unit)),
                }
            }
            let ties = entry.unit.rules.ties.iter().filter_map(find);
            let ties = ties.filter(|(target, other)| target != unit && other.is_ordinary());
            link.ties = ties.map(|(target, _)| self.rank[target]).collect();
            links.push(link);
        }
        // Who follows a unit that waits for ever waits as well.
        loop {
            let before = self.waiting.len();
            let ranked = catalog.ranked();
            for link in &links {
                let hopeless = |rank: &usize| ranked.get(*rank).is_some_and(|at| self.waiting.contains(at));
                if link.needs.iter().any(hopeless) {
                    self.waiting.insert(link.unit);
                }
            }
            if self.waiting.len() == before {
                break;
            }
        }
        let ranked = catalog.ranked();
        let hopeless = |rank: &usize| ranked.get(*rank).is_some_and(|at| self.waiting.contains(at));
        links.retain(|link| !self.waiting.contains(&link.unit));
        let mut targets = BTreeSet::new();
        for link in &mut links {
            link.ties.retain(|tie| !hopeless(tie));
            targets.extend(link.needs.iter().chain(&link.ties).copied());
        }
        links.retain(|link| !link.needs.is_empty() || !link.ties.is_empty() || targets.contains(&link.rank));
        let known: BTreeSet<usize> = links.iter().map(|link| link.rank).collect();
        for rank in targets.difference(&known) {
            if let Some(unit) = ranked.get(*rank) {
                links.push(Link { rank: *rank, unit: *unit, needs: Vec::new(), ties: Vec::new() });
            }
        }
        links.sort_by_key(|link| link.rank);
        // From ranks to positions in this list.
        let ranks: Vec<usize> = links.iter().map(|link| link.rank).collect();
        for link in &mut links {
            for list in [&mut link.needs, &mut link.ties] {
                *list = list.iter().filter_map(|rank| ranks.binary_search(rank).ok()).collect();
                list.sort_unstable();
                list.dedup();
            }
        }
        links
    }

    fn assemble(&mut self, links: &[Link]) {
        let needs: Table<Vec<usize>> = links.iter().map(|link| link.needs.clone()).collect();
        let circle = circles(&needs);
        let circles = circle.iter().max().map_or(0, |max| max + 1);
        // Blocks in the order of their first member.
        let mut block_at: Table<Option<BlockAt>> = Table::filled(None, circles);
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
        let positions: Table<UnitAt> = links.iter().map(|link| link.unit).collect();
        let mut linked: Vec<BlockAt> = Vec::new();
        for link in links {
            let Some(block) = self.block_of[link.unit] else { continue };
            linked.push(block);
            for (targets, needed) in [(&link.needs, true), (&link.ties, false)] {
                for target in targets.iter().filter_map(|at| self.block_of[positions[*at]]) {
                    if target == block {
                        continue;
                    }
                    if needed {
                        push_new(&mut self.blocks[block].needs, target);
                        push_new(&mut self.blocks[target].followers, block);
                    } else {
                        push_new(&mut self.blocks[block].ties, target);
                        push_new(&mut self.blocks[target].ties, block);
                    }
                }
            }
        }
        linked.sort_unstable();
        linked.dedup();
        let mut seen = BTreeSet::new();
        for block in &linked {
            if seen.contains(block) {
                continue;
            }
            let mut together = BTreeSet::from([*block]);
            let mut next = vec![*block];
            while let Some(block) = next.pop() {
                next.extend(self.blocks[block].links().filter(|link| together.insert(*link)));
            }
            seen.extend(together.iter().copied());
            self.line_up(&together);
        }
    }

    /// Makes a team: targets before followers, otherwise as they were submitted.
    fn line_up(&mut self, together: &BTreeSet<BlockAt>) {
        let mut left: Vec<BlockAt> = together.iter().copied().collect();
        left.sort_by_key(|block| self.rank[self.blocks[*block].lead]);
        let mut line = Vec::new();
        let mut placed = BTreeSet::new();
        let mut waits_for: std::collections::BTreeMap<BlockAt, usize> =
            left.iter().map(|block| (*block, self.blocks[*block].needs.len())).collect();
        let mut ready: BTreeSet<(usize, BlockAt)> = BTreeSet::new();
        for block in &left {
            if self.blocks[*block].needs.is_empty() {
                ready.insert((self.rank[self.blocks[*block].lead], *block));
            }
        }
        while let Some((_, block)) = ready.pop_first() {
            placed.insert(block);
            line.push(block);
            for follower in self.blocks[block].followers.clone() {
                if let Some(count) = waits_for.get_mut(&follower) {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        ready.insert((self.rank[self.blocks[follower].lead], follower));
                    }
                }
            }
        }
        let Some((first, others)) = line.split_first() else { return };
        let team = self.teams.push(Team { first: *first, others: others.to_vec() });
        for block in &line {
            self.blocks[*block].team = team;
        }
    }
}

#[derive(Debug)]
struct Link {
    rank: usize,
    unit: UnitAt,
    needs: Vec<usize>,
    ties: Vec<usize>,
}

fn push_new(list: &mut Vec<usize>, item: usize) {
    if !list.contains(&item) {
        list.push(item);
    }
}

/// For each node the number of its strongly connected component (Kosaraju, without recursion).
fn circles(edges: &Table<Vec<usize>>) -> Table<usize> {
    let len = edges.len();
    let mut back: Table<Vec<usize>> = Table::filled(Vec::new(), len);
    for (from, targets) in edges.iter().enumerate() {
        targets.iter().for_each(|to| back[*to].push(from));
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
