//! Where chains of moves were not enough, or moved more than need be: the best answer of exact search.
//!
//! Best is, in this order: the most units that run, then that ran, then new ones; of two sets of units the one
//! with the earlier submitted; the fewest moves.

use std::collections::BTreeSet;

use crate::{
    component::{Component, Neighbours},
    csp::{Answer, Demand, Problem, Question, ask},
    pass::{Before, Cost, ON_ITS_OWN, Pass, Tally},
    table::{MachineAt, Table, UnitAt},
    tabu,
    teams::BlockAt,
};

type Answers = Table<Option<MachineAt>>;

impl Pass<'_> {
    /// Searches around every block that is nowhere, clashed or was moved.
    pub(crate) fn search(&mut self) {
        let mut done: BTreeSet<BlockAt> = BTreeSet::new();
        for block in self.doubtful() {
            if done.contains(&block) {
                continue;
            }
            match self.related_blocks(block) {
                Ok(related) => {
                    self.search_component(&related);
                    done.extend(related);
                }
                Err(some) => done.extend(some),
            }
        }
    }

    fn doubtful(&self) -> Vec<BlockAt> {
        let mut doubtful: Vec<(usize, BlockAt)> = Vec::new();
        for block in 0..self.teams.blocks.len() {
            let nowhere = !self.is_placed(block);
            let moved = self.machine_of(block).is_some_and(|now| self.cost(block, now) >= ON_ITS_OWN);
            if nowhere || moved || self.clashed.contains(&block) {
                doubtful.push((self.rank(block), block));
            }
        }
        doubtful.sort_unstable();
        doubtful.into_iter().map(|(_, block)| block).collect()
    }

    pub(crate) fn has_moved(&self, unit: UnitAt) -> bool {
        self.home[unit].is_some_and(|home| self.state.at[unit].is_some_and(|now| now != home))
    }

    fn search_component(&mut self, related: &BTreeSet<BlockAt>) {
        let before: Before = related.iter().flat_map(|block| self.take_off(*block)).collect();
        let mut component = self.component(related);
        self.bar_machines(&mut component);
        let now = self.positions(&component, &before);
        // The others shall have their share.
        let mut share = self.budget / 2;
        self.budget -= share;
        let best = improve(self, &component, &now, &mut share);
        self.budget += share;
        if best == now {
            self.restore(&before);
            return;
        }
        for (block, machine) in component.blocks.iter().zip(best.iter()) {
            for unit in self.teams.blocks[*block].members() {
                if let Some(machine) = machine {
                    self.state.add(unit, component.machines[*machine]);
                }
            }
        }
        self.soften(&component.blocks.0);
    }

    /// Takes machines out that a global bars whatever happens.
    fn bar_machines(&self, component: &mut Component) {
        for (var, block) in component.blocks.iter().enumerate() {
            for (at, machine) in component.machines.iter().enumerate() {
                let members = self.teams.blocks[*block].members();
                if members.into_iter().any(|unit| self.is_barred(unit, *machine, &component.blocks)) {
                    component.problem.vars[var].domain.remove(at);
                }
            }
        }
    }

    fn positions(&self, component: &Component, before: &Before) -> Answers {
        let at = |block: &BlockAt| {
            let lead = self.teams.blocks[*block].lead;
            let (_, machine) = before.iter().find(|(unit, _)| *unit == lead)?;
            component.machines.0.binary_search(machine).ok()
        };
        component.blocks.iter().map(at).collect()
    }

    /// The search does not look at soft rules: whoever has no home there goes to the best machine that is left.
    fn soften(&mut self, blocks: &[BlockAt]) {
        let mut teams: Vec<_> = blocks.iter().map(|block| self.teams.blocks[*block].team).collect();
        teams.sort_by_key(|team| self.teams.members(*team).map(|unit| self.teams.rank[unit]).min());
        teams.dedup();
        for team in teams {
            let placed: Vec<BlockAt> =
                self.teams.teams[team].blocks().filter(|block| self.is_placed(*block)).collect();
            let machines: BTreeSet<Option<MachineAt>> =
                placed.iter().map(|block| self.machine_of(*block)).collect();
            let units = self.units(&placed);
            let at_home = units.iter().any(|unit| self.home[*unit].is_some() && !self.has_moved(*unit));
            if machines.len() != 1 || at_home {
                continue;
            }
            let before = self.take_off_team(team);
            let best = self.pick(&placed, None);
            if !(best.is_some_and(|best| self.put_all(&placed, best)) && self.are_sound(&before)) {
                self.take_all_off(&placed);
                self.restore(&before);
            }
        }
    }
}

/// The best answer that the budget allows, the present one if there is no better.
fn improve(pass: &mut Pass<'_>, component: &Component, now: &Answers, budget: &mut u64) -> Answers {
    let problem = &component.problem;
    let mut company = Neighbours::new(pass, component);
    let worldly = company.worldly;
    let possible = possible(problem);
    let missing = |answers: &Answers| {
        (0..answers.len()).filter(|var| possible[*var] && answers[*var].is_none()).count()
    };
    let mut best = now.clone();
    let free = problem.vars.iter().all(|var| var.needs.is_empty() && var.ties.is_empty());
    if missing(&best) > 0 && free && !company.is_particular() {
        let found = tabu::place_more(problem, &possible, &best, budget);
        best = better(problem, best, found);
    }
    // No question may use up what the others need.
    let mut ask = |question: &Question| {
        let mut part = *budget / 3;
        let before = part;
        let answer = ask(problem, question, &mut company, &mut part);
        *budget -= before - part;
        answer
    };
    if missing(&best) > 0 {
        let all = Question {
            demands: possible.iter().map(|yes| if *yes { Demand::Must } else { Demand::Out }).collect(),
            drops: Tally::default(),
            moves: usize::MAX,
        };
        if let Answer::Found(answer) = ask(&all) {
            best = answer;
        } else {
            let most = most(problem, &possible, &best, worldly, &mut ask);
            best = most.map_or(best.clone(), |most| better(problem, best, most));
            best = earliest(problem, &possible, best, &mut ask);
        }
    }
    best = better(problem, now.clone(), best);
    fewest_moves(problem, best, now, &mut ask)
}

/// The one that places more of those that matter more; the first if they are equally good.
fn better(problem: &Problem, one: Answers, other: Answers) -> Answers {
    let worth = |answers: &Answers| {
        let mut tally = Tally::default();
        for (var, _) in problem.vars.iter().zip(answers.iter()).filter(|(_, machine)| machine.is_some()) {
            add(&mut tally, &var.tally);
        }
        (tally, answers.iter().map(Option::is_some).collect::<Vec<_>>())
    };
    if worth(&other) > worth(&one) { other } else { one }
}

/// Blocks that suit some machine, and whose targets do.
fn possible(problem: &Problem) -> Table<bool> {
    let mut possible: Table<bool> = problem.vars.iter().map(|var| !var.domain.is_empty()).collect();
    loop {
        let hopeless = (0..possible.len())
            .find(|var| possible[*var] && problem.vars[*var].needs.iter().any(|need| !possible[*need]));
        match hopeless {
            Some(var) => possible[var] = false,
            None => return possible,
        }
    }
}

/// Not all can be placed: as many as possible, tier by tier. `None` if the budget did not suffice.
fn most(
    problem: &Problem,
    possible: &Table<bool>,
    now: &Answers,
    worldly: bool,
    ask: &mut impl FnMut(&Question) -> Answer,
) -> Option<Answers> {
    let mut drops: Tally = [usize::MAX; 3];
    let mut best = None;
    let mut exact = true;
    for tier in 0..drops.len() {
        // Where globals matter a unit of a later tier may be what keeps one off.
        let of_tier = |tally: &Tally| worldly || tally.iter().take(tier + 1).any(|units| *units > 0);
        let concerned = with_targets(problem, possible, of_tier);
        let units = |var: usize| problem.vars[var].tally.get(tier).copied().unwrap_or(0);
        let all: usize = (0..problem.vars.len()).map(units).sum();
        // As many as now are possible anyway, as long as nothing was gained in a former tier.
        let missing: usize =
            (0..now.len()).filter(|var| possible[*var] && now[*var].is_none()).map(units).sum();
        let mut found = None;
        for allowed in 0..=all {
            if exact && tier + 1 == drops.len() && allowed == missing {
                // The former tiers gained nothing, or there would have been no need to ask as much here.
                let same = best.as_ref().is_none_or(|best: &Answers| gains_nothing(problem, now, best, tier));
                if same {
                    found = Some((allowed, now.clone()));
                    break;
                }
            }
            let mut question = Question { demands: concerned.clone(), drops, moves: usize::MAX };
            if let Some(drop) = question.drops.get_mut(tier) {
                *drop = allowed;
            }
            match ask(&question) {
                Answer::Found(answer) => {
                    found = Some((allowed, answer));
                    break;
                }
                Answer::Impossible => {}
                Answer::Unknown => exact = false,
            }
        }
        let (allowed, answer) = found?;
        best = Some(answer);
        if let Some(drop) = drops.get_mut(tier) {
            *drop = allowed;
        }
    }
    best
}

/// Whether the one answer places as many units of the tiers before this one as the other.
fn gains_nothing(problem: &Problem, now: &Answers, best: &Answers, tier: usize) -> bool {
    let placed = |answers: &Answers, tier: usize| -> usize {
        let vars = problem.vars.iter().zip(answers.iter()).filter(|(_, machine)| machine.is_some());
        vars.filter_map(|(var, _)| var.tally.get(tier)).sum()
    };
    (0..tier).all(|tier| placed(now, tier) == placed(best, tier))
}

/// May for the blocks of this sort and whatever they need, Out for the rest.
fn with_targets(problem: &Problem, possible: &Table<bool>, wanted: impl Fn(&Tally) -> bool) -> Table<Demand> {
    let mut demands = Table::filled(Demand::Out, problem.vars.len());
    let mut next: Vec<usize> =
        (0..problem.vars.len()).filter(|var| possible[*var] && wanted(&problem.vars[*var].tally)).collect();
    while let Some(var) = next.pop() {
        if demands[var] == Demand::Out {
            demands[var] = Demand::May;
            next.extend(&problem.vars[var].needs);
        }
    }
    demands
}

/// Of all sets of this size the one with the units submitted earliest.
fn earliest(
    problem: &Problem,
    possible: &Table<bool>,
    most: Answers,
    ask: &mut impl FnMut(&Question) -> Answer,
) -> Answers {
    let mut best = most;
    let mut demands: Table<Demand> =
        possible.iter().map(|yes| if *yes { Demand::May } else { Demand::Out }).collect();
    let mut drops = Tally::default();
    for var in (0..best.len()).filter(|var| possible[*var] && best[*var].is_none()) {
        add(&mut drops, &problem.vars[var].tally);
    }
    for var in 0..best.len() {
        if !possible[var] {
            continue;
        }
        if best[var].is_none() {
            let mut question = Question { demands: demands.clone(), drops, moves: usize::MAX };
            question.demands[var] = Demand::Must;
            if let Answer::Found(answer) = ask(&question) {
                best = answer;
            }
        }
        if best[var].is_some() {
            demands[var] = Demand::Must;
        } else {
            demands[var] = Demand::Out;
            for (left, units) in drops.iter_mut().zip(&problem.vars[var].tally) {
                *left = left.saturating_sub(*units);
            }
        }
    }
    best
}

fn add(drops: &mut Tally, tally: &Tally) {
    for (drop, units) in drops.iter_mut().zip(tally) {
        *drop += units;
    }
}

/// The same units placed with fewer moves, as long as there is a way.
fn fewest_moves(
    problem: &Problem,
    mut best: Answers,
    now: &Answers,
    ask: &mut impl FnMut(&Question) -> Answer,
) -> Answers {
    let demands: Table<Demand> =
        best.iter().map(|machine| if machine.is_some() { Demand::Must } else { Demand::Out }).collect();
    let same = |one: &Answers, other: &Answers| {
        one.iter().zip(other.iter()).all(|(one, other)| one.is_some() == other.is_some())
    };
    if same(&best, now) && moves(problem, now) <= moves(problem, &best) {
        best = now.clone();
    }
    while let Some(fewer) = moves(problem, &best).checked_sub(1) {
        match ask(&Question { demands: demands.clone(), drops: Tally::default(), moves: fewer }) {
            Answer::Found(answer) => best = answer,
            Answer::Impossible | Answer::Unknown => break,
        }
    }
    best
}

fn moves(problem: &Problem, answers: &Answers) -> Cost {
    let vars = problem.vars.iter().zip(answers.iter());
    vars.filter_map(|(var, machine)| machine.map(|machine| var.cost(machine))).sum()
}
