//! Which moves would even out the machines: pure.

use std::collections::BTreeMap;

use convoy_placement::{Accepts, Placement, place};

use crate::plan::Question;

/// A plan has no more steps than this; whoever wants more asks again.
const MOST: usize = 200;

/// Placements that are tried altogether. Enough for clusters in which moves are to be found at all.
const TRIALS: usize = 2000;

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
    let (mut steps, mut trials) = (Vec::new(), TRIALS);
    while steps.len() < MOST {
        let Some(step) = best(&mut question, &mut trials) else { break };
        steps.push(step);
    }
    steps
}

/// The first move that helps, tried from the fullest machine to the emptiest.
fn best(question: &mut Question, trials: &mut usize) -> Option<Move> {
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
                *trials = trials.checked_sub(1)?;
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

#[cfg(test)]
mod tests {
    use convoy_unit_files::Strictness;

    use super::*;
    use crate::plan::file;

    /// A cluster of `A`, `B` and a machine `C` that takes what is said, with units that are all on `A`.
    fn crowded(units: &[(&str, &str)], accepts: &str) -> Question {
        let units = units.iter().map(|(name, text)| {
            serde_json::json!({"name": format!("{name}.service"), "text": text, "machine": "A"})
        });
        let cluster = serde_json::json!({
            "machines": [{"id": "A"}, {"id": "B"}, {"id": "C", "accepts": accepts}],
            "units": units.collect::<Vec<_>>(),
        });
        file::read(&cluster.to_string(), Strictness::Strict).unwrap()
    }

    fn planned(question: &Question) -> Vec<(String, String)> {
        moves(question).into_iter().map(|step| (step.unit, step.to)).collect()
    }

    #[test]
    fn units_go_from_the_fullest_machine_to_the_emptiest_until_it_helps_no_more() {
        let four = [("a", ""), ("b", ""), ("c", ""), ("d", "")];
        assert_eq!(planned(&crowded(&four, "all")).len(), 2, "two, one and one");
        assert!(planned(&crowded(&four, "nothing")).iter().all(|(_, to)| to == "B"));
        assert_eq!(planned(&crowded(&four, "present")).len(), 2, "two and two");
        assert_eq!(planned(&crowded(&four[..1], "all")), []);
    }

    #[test]
    fn what_may_not_leave_stays_and_companions_go_along() {
        let pinned = "[X-Fleet]\nMachineID=A\n";
        assert_eq!(planned(&crowded(&[("a", pinned), ("b", pinned), ("c", pinned)], "all")), []);
        let follows = "[X-Fleet]\nMachineOf=a.service\n";
        let pairs = crowded(
            &[("a", ""), ("b", follows), ("c", ""), ("d", "[X-Fleet]\nMachineOf=c.service\n")],
            "all",
        );
        assert_eq!(planned(&pairs).len(), 1, "one pair moves, as one");
    }
}
