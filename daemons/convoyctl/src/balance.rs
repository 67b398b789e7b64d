//! Which moves would even out the machines: pure.

use std::collections::BTreeMap;

use convoy_placement::{Accepts, Placement, place};

use crate::plan::Question;

/// A plan has no more steps than this; whoever wants more asks again.
const MOST: usize = 200;

/// One unit, from one machine to another; what follows it goes along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The unit.
    pub unit: String,
    /// Where it is.
    pub from: String,
    /// Where it goes.
    pub to: String,
}

/// Moves, one after another, each of which makes the machines' loads more even and that placement would obey.
pub fn moves(question: &Question) -> Vec<Move> {
    let mut question = question.clone();
    let mut steps = Vec::new();
    while steps.len() < MOST {
        let Some(step) = best(&mut question) else { break };
        steps.push(step);
    }
    steps
}

/// The first move that helps, tried from the fullest machine to the emptiest.
fn best(question: &mut Question) -> Option<Move> {
    let read = question.read();
    let weights: BTreeMap<String, u64> = read
        .definitions
        .iter()
        .map(|definition| (definition.name.to_string(), u64::from(definition.rules.weight.unwrap_or(1))))
        .collect();
    let mut units = question.placement_units(&read);
    let before = place(&question.machines, &units);
    let loads = loads(question, &before, &weights);
    let mut order: Vec<&String> = loads.keys().collect();
    order.sort_by_key(|machine| std::cmp::Reverse(loads.get(*machine)));
    let takers: Vec<&String> = order.iter().rev().copied().filter(|id| takes(question, id)).collect();
    for from in order {
        for to in &takers {
            let (full, empty) = (loads.get(from)?, loads.get(*to)?);
            if *full <= empty + 1 {
                break;
            }
            let there: Vec<String> =
                before.assigned.iter().filter(|(_, at)| *at == from).map(|(unit, _)| unit.clone()).collect();
            for name in there {
                let Some(unit) = units.iter_mut().find(|unit| unit.name == name) else { continue };
                let wish = unit.wish.replace((*to).clone());
                let after = place(&question.machines, &units);
                if let Some(unit) = units.iter_mut().find(|unit| unit.name == name) {
                    unit.wish = wish;
                }
                if helps(question, &before, &after, &weights, (&name, from, to)) {
                    let step = Move { unit: name, from: from.clone(), to: (*to).clone() };
                    for unit in &mut question.units {
                        unit.machine = after.assigned.get(&unit.name).cloned();
                    }
                    return Some(step);
                }
            }
        }
    }
    None
}

fn takes(question: &Question, id: &str) -> bool {
    question.machines.iter().any(|machine| machine.id == id && machine.accepts == Accepts::All)
}

fn loads(
    question: &Question,
    placement: &Placement,
    weights: &BTreeMap<String, u64>,
) -> BTreeMap<String, u64> {
    let mut loads: BTreeMap<String, u64> =
        question.machines.iter().map(|machine| (machine.id.clone(), 0)).collect();
    let globals =
        placement.globals.iter().flat_map(|(unit, on)| on.iter().map(move |machine| (unit, machine)));
    for (unit, machine) in placement.assigned.iter().chain(globals) {
        *loads.entry(machine.clone()).or_default() += weights.get(unit).copied().unwrap_or(1);
    }
    loads
}

/// Whether the wish is obeyed, nothing else moves but between the two machines, nobody loses its place, and the loads
/// are more even.
fn helps(
    question: &Question,
    before: &Placement,
    after: &Placement,
    weights: &BTreeMap<String, u64>,
    (unit, from, to): (&str, &str, &str),
) -> bool {
    let obeyed = after.assigned.get(unit).is_some_and(|machine| machine == to);
    let contained = before.assigned.iter().all(|(unit, machine)| match after.assigned.get(unit) {
        Some(now) => now == machine || (machine == from && now == to),
        None => false,
    });
    let spread =
        |placement| loads(question, placement, weights).values().map(|load| load * load).sum::<u64>();
    obeyed && contained && before.globals == after.globals && spread(after) < spread(before)
}
