//! Local search for problems that are too large for an exact answer: blocks without a machine push others out, and
//! whoever was pushed out of a machine does not come back to it for a while (tabu search on partial colourings).

use crate::{
    csp::{Problem, VarAt},
    table::{MachineAt, Table},
};

/// What a block of a tier weighs: one that runs is not given up for any number of new ones.
const WEIGHTS: [u64; 3] = [1_000_000, 1000, 1];

/// Places more of the blocks, if it can; `possible` are those that suit some machine. Only for problems without
/// links between blocks. Deterministic.
pub(crate) fn place_more(
    problem: &Problem,
    possible: &Table<bool>,
    now: &Table<Option<MachineAt>>,
    budget: &mut u64,
) -> Table<Option<MachineAt>> {
    let mut search = Search::new(problem, possible, now);
    let mut best = (search.missing(), now.clone());
    let limit = 200 * problem.vars.len() as u64 + 2000;
    let floor = shortage(problem, possible);
    for turn in 0..limit {
        let cost = (search.nowhere.len() * problem.load.len()) as u64 / 4 + 1;
        if search.nowhere.len() <= floor || *budget < cost {
            break;
        }
        *budget -= cost;
        let Some((var, machine)) = search.choose(turn, best.0) else { continue };
        search.push_in(var, machine, turn);
        if search.missing() < best.0 {
            best = (search.missing(), search.answer.clone());
        }
    }
    best.1
}

/// At least so many stay without a machine: cliques with more blocks than machines.
pub(crate) fn shortage(problem: &Problem, possible: &Table<bool>) -> usize {
    let short = problem.cliques.iter().filter(|clique| clique.apart).map(|clique| {
        let mut machines = crate::bits::Bits::none(problem.load.len());
        let vars: Vec<VarAt> = clique.vars.iter().copied().filter(|var| possible[*var]).collect();
        for var in &vars {
            machines.join(&problem.vars[*var].domain);
        }
        vars.len().saturating_sub(machines.count())
    });
    short.sum()
}

struct Search<'a> {
    problem: &'a Problem,
    answer: Table<Option<MachineAt>>,
    nowhere: Vec<VarAt>,
    /// What would have to leave, by block and machine.
    cost: Table<u64>,
    /// Until which turn a block stays away from a machine.
    tabu: Table<u64>,
    dice: u64,
}

impl<'a> Search<'a> {
    fn new(problem: &'a Problem, possible: &Table<bool>, now: &Table<Option<MachineAt>>) -> Self {
        let (vars, machines) = (problem.vars.len(), problem.load.len());
        let mut search = Self {
            problem,
            answer: Table::filled(None, vars),
            nowhere: (0..vars).filter(|var| possible[*var] && now[*var].is_none()).collect(),
            cost: Table::filled(0, vars * machines),
            tabu: Table::filled(0, vars * machines),
            dice: 0x9e37_79b9_7f4a_7c15,
        };
        for var in 0..vars {
            if let Some(machine) = now[var] {
                search.set(var, machine);
            }
        }
        search
    }

    fn weight(&self, var: VarAt) -> u64 {
        let tally = &self.problem.vars[var].tally;
        tally.iter().zip(WEIGHTS).map(|(units, weight)| *units as u64 * weight).sum()
    }

    fn missing(&self) -> u64 {
        self.nowhere.iter().map(|var| self.weight(*var)).sum()
    }

    fn set(&mut self, var: VarAt, machine: MachineAt) {
        self.answer[var] = Some(machine);
        let weight = self.weight(var);
        for other in &self.problem.vars[var].odds {
            self.cost[*other * self.problem.load.len() + machine] += weight;
        }
    }

    fn unset(&mut self, var: VarAt, machine: MachineAt) {
        self.answer[var] = None;
        let weight = self.weight(var);
        for other in &self.problem.vars[var].odds {
            self.cost[*other * self.problem.load.len() + machine] -= weight;
        }
    }

    /// The block without a machine, and the machine, for which the least has to leave. Ties by lot.
    fn choose(&mut self, turn: u64, best: u64) -> Option<(VarAt, MachineAt)> {
        let missing = self.missing();
        let mut found: Option<(i128, VarAt, MachineAt)> = None;
        let mut ties = 0;
        for index in 0..self.nowhere.len() {
            let Some(var) = self.nowhere.get(index).copied() else { break };
            let weight = self.weight(var);
            for machine in self.problem.vars[var].domain.iter() {
                let at = var * self.problem.load.len() + machine;
                let cost = self.cost[at];
                let hopeful = missing + cost < best + weight;
                if self.tabu[at] > turn && !hopeful {
                    continue;
                }
                let score = i128::from(cost) - i128::from(weight);
                match found {
                    Some((least, _, _)) if score > least => {}
                    Some((least, _, _)) if score == least => {
                        ties += 1;
                        if self.roll(ties) == 0 {
                            found = Some((score, var, machine));
                        }
                    }
                    _ => {
                        ties = 1;
                        found = Some((score, var, machine));
                    }
                }
            }
        }
        found.map(|(_, var, machine)| (var, machine))
    }

    fn push_in(&mut self, var: VarAt, machine: MachineAt, turn: u64) {
        self.nowhere.retain(|other| *other != var);
        let leaving: Vec<VarAt> = self.problem.vars[var]
            .odds
            .iter()
            .copied()
            .filter(|other| self.answer[*other] == Some(machine))
            .collect();
        for other in leaving {
            self.unset(other, machine);
            self.nowhere.push(other);
            let rest = self.nowhere.len() as u64 * 6 / 10 + self.roll(10);
            self.tabu[other * self.problem.load.len() + machine] = turn + 1 + rest;
        }
        self.set(var, machine);
    }

    /// The same numbers every time (xorshift).
    const fn roll(&mut self, sides: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % sides
    }
}
