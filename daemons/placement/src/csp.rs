//! Exact search on a small set of blocks: which machine each gets, or that it gets none.
//!
//! Depth-first with forward checking: the block with the fewest machines left goes first, a machine that is as
//! good as one already tried is skipped, and a clique with more blocks than machines is seen at once.

use crate::{
    bits::Bits,
    pass::{Cost, Tally},
    table::{MachineAt, Table},
};

/// The position of a block in the problem.
pub(crate) type VarAt = usize;

/// One block of the problem.
#[derive(Debug, Clone, Hash)]
pub(crate) struct Var {
    pub(crate) domain: Bits,
    /// Blocks that it can't share a machine with.
    pub(crate) odds: Vec<VarAt>,
    /// Blocks that have to be on its machine.
    pub(crate) needs: Vec<VarAt>,
    pub(crate) followers: Vec<VarAt>,
    pub(crate) ties: Vec<VarAt>,
    pub(crate) tally: Tally,
    /// Machines where it costs less than elsewhere to have it, and what.
    pub(crate) homes: Vec<(MachineAt, Cost)>,
    pub(crate) elsewhere: Cost,
}

impl Var {
    /// What it costs to have it on this machine.
    pub(crate) fn cost(&self, machine: MachineAt) -> Cost {
        let home = self.homes.iter().find(|(home, _)| *home == machine);
        home.map_or(self.elsewhere, |(_, cost)| *cost)
    }
}

/// The problem.
#[derive(Debug, Clone, Default, Hash)]
pub(crate) struct Problem {
    pub(crate) vars: Table<Var>,
    /// Load of each machine without the blocks of the problem.
    pub(crate) load: Table<i64>,
    /// Sets of blocks that are all at odds with one another, large ones first.
    pub(crate) cliques: Vec<Clique>,
}

/// Blocks that are all at odds with one another.
#[derive(Debug, Clone, Hash)]
pub(crate) struct Clique {
    pub(crate) vars: Vec<VarAt>,
    /// It shares no block with any other that is apart.
    pub(crate) apart: bool,
}

/// Rules that depend on all that is on a machine.
pub(crate) trait Company {
    /// A new question: nobody is anywhere.
    fn begin(&mut self);
    /// Whether the block may join what it was told of before.
    fn joins(&mut self, var: VarAt, machine: MachineAt) -> bool;
    /// The block leaves again.
    fn leaves(&mut self, var: VarAt, machine: MachineAt);
    /// Whether two machines are the same to these rules.
    fn alike(&self, one: MachineAt, other: MachineAt) -> bool;
    /// The last word on a complete answer.
    fn accepts(&mut self, answer: &Table<Option<MachineAt>>) -> bool;
}

/// What is asked of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demand {
    Must,
    May,
    Out,
}

/// A question.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) demands: Table<Demand>,
    /// Units of each tier that may stay without a machine.
    pub(crate) drops: Tally,
    /// What moves may cost.
    pub(crate) moves: Cost,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Found(Table<Option<MachineAt>>),
    Impossible,
    /// The budget is used up.
    Unknown,
}

/// Answers a question; `budget` is what is left of the elementary steps.
pub(crate) fn ask(
    problem: &Problem,
    question: &Question,
    company: &mut dyn Company,
    budget: &mut u64,
) -> Answer {
    company.begin();
    let machines = problem.load.len();
    let vars = problem.vars.len();
    let mut search = Search {
        problem,
        question,
        company,
        budget,
        open: problem.vars.iter().map(|var| var.domain.clone()).collect(),
        blocked: Table::filled(0, vars * machines),
        answer: Table::filled(None, vars),
        decided: question.demands.iter().map(|demand| *demand == Demand::Out).collect(),
        guests: Table::filled(0, machines),
        kinds: Table::filled(0, machines),
        drops: question.drops,
        moves: question.moves,
        exhausted: false,
    };
    search.sort_machines();
    if search.go() {
        return Answer::Found(search.answer);
    }
    if search.exhausted { Answer::Unknown } else { Answer::Impossible }
}

struct Search<'a> {
    problem: &'a Problem,
    question: &'a Question,
    company: &'a mut dyn Company,
    budget: &'a mut u64,
    /// Machines that are left to each block.
    open: Table<Bits>,
    /// How often each of them is barred, by block and machine.
    blocked: Table<u16>,
    answer: Table<Option<MachineAt>>,
    decided: Table<bool>,
    guests: Table<u32>,
    /// Machines of one kind are the same to every block.
    kinds: Table<usize>,
    drops: Tally,
    moves: usize,
    exhausted: bool,
}

impl Search<'_> {
    /// Machines are of one kind if they are in the same domains and nobody's home.
    fn sort_machines(&mut self) {
        let machines = self.problem.load.len();
        let limited = self.question.moves < usize::MAX;
        let mut known: Vec<(MachineAt, Vec<bool>)> = Vec::new();
        for machine in 0..machines {
            let mut row = Vec::new();
            let mut homely = false;
            for (var, demand) in self.problem.vars.iter().zip(self.question.demands.iter()) {
                if *demand != Demand::Out {
                    row.push(var.domain.has(machine));
                    homely |= limited && var.homes.iter().any(|(home, _)| *home == machine);
                }
            }
            let same = known
                .iter()
                .find(|(one, other)| !homely && *other == row && self.company.alike(*one, machine));
            self.kinds[machine] = same.map_or(machine, |(one, _)| *one);
            if same.is_none() && !homely && known.len() < 64 {
                known.push((machine, row));
            }
        }
    }

    fn go(&mut self) -> bool {
        let steps = (self.problem.vars.len() + 8) as u64;
        if *self.budget < steps {
            self.exhausted = true;
            return false;
        }
        *self.budget -= steps;
        let Some(var) = self.choose() else {
            return self.company.accepts(&self.answer);
        };
        if !self.enough_machines() {
            return false;
        }
        for machine in self.values(var) {
            if self.assign(var, machine) {
                if self.go() {
                    return true;
                }
                self.unassign(var, machine);
            }
            if self.exhausted {
                return false;
            }
        }
        if self.drop(var) {
            if self.go() {
                return true;
            }
            self.undrop(var);
        }
        false
    }

    /// The undecided block with the fewest machines left, then the one with the most enemies.
    fn choose(&self) -> Option<VarAt> {
        let undecided = (0..self.decided.len()).filter(|var| !self.decided[*var]);
        undecided.min_by_key(|var| {
            (self.choices(*var), std::cmp::Reverse(self.problem.vars[*var].odds.len()), *var)
        })
    }

    fn choices(&self, var: VarAt) -> usize {
        if self.is_bound(var) { self.options(var).count() } else { self.open[var].count() }
    }

    /// Whether only homes are cheap enough for it.
    fn is_bound(&self, var: VarAt) -> bool {
        self.problem.vars[var].elsewhere > self.moves
    }

    fn values(&self, var: VarAt) -> Vec<MachineAt> {
        let mut values: Vec<(Cost, i64, MachineAt)> = Vec::new();
        let mut seen: Vec<usize> = Vec::new();
        for machine in self.options(var) {
            if self.guests[machine] == 0 {
                let kind = self.kinds[machine];
                if seen.contains(&kind) {
                    continue;
                }
                seen.push(kind);
            }
            let load = self.problem.load[machine] + i64::from(self.guests[machine]);
            values.push((self.problem.vars[var].cost(machine), load, machine));
        }
        values.sort_unstable();
        values.into_iter().map(|(_, _, machine)| machine).collect()
    }

    fn assign(&mut self, var: VarAt, machine: MachineAt) -> bool {
        let known = &self.problem.vars[var];
        // Whatever it needs must be here, or may still come.
        let fine = |need: &VarAt| !self.decided[*need] || self.answer[*need] == Some(machine);
        if !known.needs.iter().all(fine) || !self.company.joins(var, machine) {
            return false;
        }
        self.answer[var] = Some(machine);
        self.decided[var] = true;
        self.guests[machine] += 1;
        self.moves = self.moves.saturating_sub(self.cost(var, machine));
        for other in &known.odds {
            self.bar(*other, machine);
        }
        for other in known.needs.iter().chain(&known.followers).chain(&known.ties) {
            for elsewhere in self.problem.vars[*other].domain.iter().filter(|at| *at != machine) {
                self.bar(*other, elsewhere);
            }
        }
        true
    }

    fn unassign(&mut self, var: VarAt, machine: MachineAt) {
        let known = &self.problem.vars[var];
        for other in &known.odds {
            self.unbar(*other, machine);
        }
        for other in known.needs.iter().chain(&known.followers).chain(&known.ties) {
            for elsewhere in self.problem.vars[*other].domain.iter().filter(|at| *at != machine) {
                self.unbar(*other, elsewhere);
            }
        }
        if self.question.moves < usize::MAX {
            self.moves += self.cost(var, machine);
        }
        self.guests[machine] -= 1;
        self.decided[var] = false;
        self.answer[var] = None;
        self.company.leaves(var, machine);
    }

    fn cost(&self, var: VarAt, machine: MachineAt) -> Cost {
        if self.question.moves == usize::MAX {
            return 0;
        }
        self.problem.vars[var].cost(machine)
    }

    /// The block stays without a machine, if that is allowed and nobody here needs it.
    fn drop(&mut self, var: VarAt) -> bool {
        let known = &self.problem.vars[var];
        let needed = known.followers.iter().any(|follower| self.answer[*follower].is_some());
        let allowed = known.tally.iter().zip(&self.drops).all(|(units, left)| units <= left);
        if self.question.demands[var] == Demand::Must || needed || !allowed {
            return false;
        }
        for (left, units) in self.drops.iter_mut().zip(&known.tally) {
            *left -= units;
        }
        self.decided[var] = true;
        for follower in &known.followers {
            for machine in self.problem.vars[*follower].domain.iter() {
                self.bar(*follower, machine);
            }
        }
        true
    }

    fn undrop(&mut self, var: VarAt) {
        let known = &self.problem.vars[var];
        for follower in &known.followers {
            for machine in self.problem.vars[*follower].domain.iter() {
                self.unbar(*follower, machine);
            }
        }
        for (left, units) in self.drops.iter_mut().zip(&known.tally) {
            *left += units;
        }
        self.decided[var] = false;
    }

    fn bar(&mut self, var: VarAt, machine: MachineAt) {
        let at = var * self.problem.load.len() + machine;
        self.blocked[at] += 1;
        self.open[var].remove(machine);
    }

    fn unbar(&mut self, var: VarAt, machine: MachineAt) {
        let at = var * self.problem.load.len() + machine;
        self.blocked[at] -= 1;
        if self.blocked[at] == 0 && self.problem.vars[var].domain.has(machine) {
            self.open[var].insert(machine);
        }
    }

    /// Whether each clique still has a machine for each of its blocks, those excepted that may be dropped.
    fn enough_machines(&mut self) -> bool {
        let spare = self.drops.iter().fold(0_usize, |sum, units| sum.saturating_add(*units));
        let mut short_in_all = 0;
        for clique in &self.problem.cliques {
            let left: Vec<VarAt> = clique.vars.iter().copied().filter(|var| !self.decided[*var]).collect();
            if left.len() < 2 {
                continue;
            }
            *self.budget = self.budget.saturating_sub((left.len() * left.len()) as u64);
            let short = left.len() - self.matching(&left);
            short_in_all += if clique.apart { short } else { 0 };
            if short > spare || short_in_all > spare {
                return false;
            }
        }
        true
    }

    /// How many of these blocks can have machines of their own (augmenting paths).
    fn matching(&self, vars: &[VarAt]) -> usize {
        let mut holder: Table<Option<VarAt>> = Table::filled(None, self.problem.load.len());
        vars.iter().filter(|var| self.augment(**var, &mut holder)).count()
    }

    fn augment(&self, var: VarAt, holder: &mut Table<Option<VarAt>>) -> bool {
        if let Some(free) = self.options(var).find(|machine| holder[*machine].is_none()) {
            holder[free] = Some(var);
            return true;
        }
        // Breadth first over who would have to give way.
        let mut seen = Bits::none(self.problem.load.len());
        let mut came: Vec<(VarAt, Option<usize>, MachineAt)> = Vec::new();
        let mut queue: Vec<(VarAt, Option<usize>)> = vec![(var, None)];
        let mut next = 0;
        while let Some((var, from)) = queue.get(next).copied() {
            next += 1;
            for machine in self.options(var) {
                if seen.has(machine) {
                    continue;
                }
                seen.insert(machine);
                came.push((var, from, machine));
                let at = came.len() - 1;
                if let Some(other) = holder[machine] {
                    queue.push((other, Some(at)));
                    continue;
                }
                let mut step = Some(at);
                while let Some((var, from, machine)) = step.and_then(|at| came.get(at)).copied() {
                    holder[machine] = Some(var);
                    step = from;
                }
                return true;
            }
        }
        false
    }

    fn options(&self, var: VarAt) -> impl Iterator<Item = MachineAt> + '_ {
        let bound = self.is_bound(var);
        let known = &self.problem.vars[var];
        self.open[var].iter().filter(move |machine| !bound || known.cost(*machine) <= self.moves)
    }
}
