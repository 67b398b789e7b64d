//! What must hold for every cluster, checked on thousands of small ones against all their placements.

use std::collections::BTreeMap;

use convoy_placement::{Accepts, Machine, Planner, Unit, place};
use proptest::prelude::*;

use crate::build::{With, machine, unit};
use crate::oracle::{Oracle, after, at_odds};

/// How a small cluster is made up.
#[derive(Debug, Clone)]
struct Seed {
    zone: Vec<u8>,
    accepts: Vec<u8>,
    units: Vec<UnitSeed>,
}

#[derive(Debug, Clone)]
struct UnitSeed {
    kind: u8,
    current: Option<u8>,
    conflicts: Vec<u8>,
    zone: Option<u8>,
    target: u8,
    memory: Option<u8>,
}

const NAMES: [&str; 7] =
    ["a@1.service", "a@2.service", "b@1.service", "b@2.service", "c.service", "d.service", "e.service"];
const GLOBS: [&str; 9] = [
    "a@*.service",
    "b@*.service",
    "*@1.service",
    "*@2.service",
    "c.service",
    "d.service",
    "e.service",
    "a@1.service",
    "*",
];

fn unit_seed() -> impl Strategy<Value = UnitSeed> {
    (
        prop_oneof![8 => Just(0u8), 2 => Just(1), 1 => Just(2), 1 => Just(3), 1 => Just(4), 1 => Just(5)],
        prop_oneof![3 => Just(None), 2 => (0u8..5).prop_map(Some)],
        prop_oneof![2 => Just(vec![]), 3 => prop::collection::vec(0u8..8, 1..3), 1 => Just(vec![8])],
        prop_oneof![3 => Just(None), 1 => (0u8..3).prop_map(Some)],
        0u8..7,
        prop_oneof![5 => Just(None), 1 => (1u8..4).prop_map(Some)],
    )
        .prop_map(|(kind, current, conflicts, zone, target, memory)| UnitSeed {
            kind,
            current,
            conflicts,
            zone,
            target,
            memory,
        })
}

fn seed() -> impl Strategy<Value = Seed> {
    (
        prop::collection::vec(0u8..2, 1..4),
        prop::collection::vec(prop_oneof![10 => Just(0u8), 1 => Just(1), 1 => Just(2)], 4),
        prop::collection::vec(unit_seed(), 1..7),
    )
        .prop_map(|(zone, accepts, units)| Seed { zone, accepts, units })
}

const IDS: [&str; 5] = ["A", "B", "C", "D", "gone"];

fn build(seed: &Seed) -> (Vec<Machine>, Vec<Unit>) {
    let make = |(at, zone): (usize, &u8)| {
        let mut machine = machine(IDS[at], &[("zone", &zone.to_string())]);
        machine.accepts = [Accepts::All, Accepts::Present, Accepts::Nothing][seed.accepts[at] as usize];
        machine.capacity.memory = Some(4);
        machine
    };
    let machines: Vec<Machine> = seed.zone.iter().enumerate().map(make).collect();
    let units = seed.units.iter().enumerate().map(|(at, seed)| {
        let mut unit = unit(NAMES[at]);
        let globs: Vec<&str> = seed.conflicts.iter().map(|glob| GLOBS[*glob as usize]).collect();
        unit = match seed.kind {
            2 => unit.global(),
            4 => unit.unwanted(),
            _ => unit,
        };
        unit = match (seed.kind, globs.first()) {
            (5, Some(glob)) => unit.replaces(glob),
            _ => unit.conflicts(&globs),
        };
        if seed.kind == 1 {
            unit = unit.of(NAMES[seed.target as usize]);
        }
        if seed.kind == 3 {
            unit = unit.tied(NAMES[seed.target as usize]);
        }
        if let Some(zone) = seed.zone {
            unit = unit.metadata("zone", &[&zone.to_string()]);
        }
        if let Some(memory) = seed.memory {
            unit = unit.memory(memory.into(), memory > 1);
        }
        if let Some(current) = seed.current.filter(|_| !unit.rules.global) {
            unit = unit.at(IDS[current as usize]);
        }
        unit
    });
    let units = units.collect();
    (machines, units)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases * 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hard_rules_hold_and_as_many_as_possible_are_placed(seed in seed()) {
        let (machines, units) = build(&seed);
        let oracle = Oracle { machines: &machines, units: &units };
        let placement = place(&machines, &units);
        oracle.check(&placement);
        let found = oracle.placed(&oracle.read(&placement));
        let mut best = Default::default();
        oracle.all(&mut |at| best = Ord::max(oracle.placed(at), std::mem::take(&mut best)));
        prop_assert_eq!(found, best);
    }

    #[test]
    fn a_second_pass_changes_nothing(seed in seed()) {
        let (machines, units) = build(&seed);
        let placement = place(&machines, &units);
        let settled = after(&units, &placement);
        let again = place(&machines, &settled);
        if again.pending.len() < placement.pending.len() {
            // Who came to a machine that a global had to leave has a right to it from now on.
            let quarrels = |unit: &Unit| unit.rules.global && units.iter().any(|other| at_odds(unit, other));
            prop_assert!(units.iter().any(quarrels));
            let last = place(&machines, &after(&settled, &again));
            prop_assert!(last.pending.len() < again.pending.len() || last.assigned == again.assigned);
        } else {
            prop_assert_eq!(&again.assigned, &placement.assigned);
            prop_assert_eq!(&again.globals, &placement.globals);
        }
    }

    #[test]
    fn the_order_of_machines_is_of_no_account(seed in seed()) {
        let (mut machines, units) = build(&seed);
        let placement = place(&machines, &units);
        machines.reverse();
        prop_assert_eq!(place(&machines, &units), placement);
    }

    #[test]
    fn nobody_moves_without_need(mut seed in seed()) {
        // Groups move as one and Replaces= moves on purpose: those have cases of their own.
        seed.units.iter_mut().filter(|unit| [1, 3, 5].contains(&unit.kind)).for_each(|unit| unit.kind = 0);
        let (machines, units) = build(&seed);
        let oracle = Oracle { machines: &machines, units: &units };
        let at = oracle.read(&place(&machines, &units));
        let (best, found) = (oracle.placed(&at), oracle.moves(&at));
        let mut fewest = usize::MAX;
        oracle.all(&mut |at| if oracle.placed(at) == best { fewest = fewest.min(oracle.moves(at)) });
        prop_assert_eq!(found, fewest);
    }

    #[test]
    fn a_new_machine_moves_nobody_unless_somebody_waited(seed in seed()) {
        let (machines, units) = build(&seed);
        let (last, fewer) = machines.split_last().unwrap();
        let before = place(fewer, &units);
        let settled = after(&units, &before);
        let now = place(&[fewer, std::slice::from_ref(last)].concat(), &settled);
        let follows_global = |unit: &Unit| {
            let global = |name: &String| units.iter().any(|other| other.name == *name && other.rules.global);
            unit.rules.machine_of.iter().any(global)
        };
        prop_assume!(!units.iter().any(follows_global));
        if before.pending.is_empty() {
            prop_assert_eq!(now.assigned, before.assigned);
        }
    }

    #[test]
    fn a_lost_machine_moves_only_its_own_units_unless_others_make_room(seed in seed(), lost in 0usize..3) {
        let (mut machines, units) = build(&seed);
        let before = place(&machines, &units);
        let settled = after(&units, &before);
        let lost = machines.remove(lost % machines.len()).id;
        let now = place(&machines, &settled);
        let stays = |unit: &&Unit| unit.current.is_some() && unit.current.as_ref() != Some(&lost);
        let moved = settled.iter().filter(stays).find(|unit| now.assigned.get(&unit.name) != unit.current.as_ref());
        if let Some(moved) = moved {
            // Then there was no way to place as much with everybody else in place.
            let mut held = settled.clone();
            held.iter_mut().filter(|unit| stays(&&**unit)).for_each(|unit| {
                unit.rules.machine_id.clone_from(&unit.current);
            });
            let without = place(&machines, &held);
            prop_assert!(without.pending.len() > now.pending.len() || without.pending != now.pending
                || without.pending.contains_key(&moved.name), "{} moved", moved.name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases * 2, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_planner_agrees_with_place_after_every_edit(
        seed in seed(),
        others in prop::collection::vec(seed_edit(), 1..12),
    ) {
        let (machines, units) = build(&seed);
        let mut planner = Planner::new();
        let mut machines: BTreeMap<String, Machine> =
            machines.into_iter().map(|machine| (machine.id.clone(), machine)).collect();
        let mut units: BTreeMap<(u64, String), Unit> =
            (0..).zip(units).map(|(order, unit)| ((order, unit.name.clone()), unit)).collect();
        for machine in machines.values() {
            planner.upsert_machine(machine.clone());
        }
        for ((order, _), unit) in &units {
            planner.upsert_unit(*order, unit.clone());
        }
        for edit in others {
            let before = planner.placement().clone();
            let changed = planner.plan().clone();
            let now = planner.placement();
            let all: Vec<Machine> = machines.values().cloned().collect();
            let listed: Vec<Unit> = units.values().cloned().collect();
            prop_assert_eq!(now, &place(&all, &listed));
            let names = listed.iter().map(|unit| &unit.name).chain(before.assigned.keys());
            for name in names {
                let same = before.why.get(name) == now.why.get(name)
                    && before.pending.get(name) == now.pending.get(name)
                    && before.warnings.get(name) == now.warnings.get(name)
                    && before.assigned.get(name) == now.assigned.get(name)
                    && before.globals.get(name) == now.globals.get(name);
                prop_assert_eq!(!same, changed.contains(name), "{}", name);
            }
            change(&mut planner, &mut machines, &mut units, &edit);
        }
    }
}

/// One edit: what, which, and the unit or machine that it makes.
type Edit = (u8, u8, Seed);

fn seed_edit() -> impl Strategy<Value = Edit> {
    (0u8..6, 0u8..7, seed())
}

fn change(
    planner: &mut Planner,
    machines: &mut BTreeMap<String, Machine>,
    units: &mut BTreeMap<(u64, String), Unit>,
    (what, which, seed): &Edit,
) {
    let (new_machines, new_units) = build(seed);
    let name = NAMES[*which as usize];
    match what {
        0 => {
            for machine in new_machines {
                planner.upsert_machine(machine.clone());
                machines.insert(machine.id.clone(), machine);
            }
        }
        1 => {
            let id = IDS[*which as usize % IDS.len()];
            planner.remove_machine(id);
            machines.remove(id);
        }
        2 => {
            planner.remove_unit(name);
            units.retain(|(_, other), _| other != name);
        }
        3 => {
            // Another unit takes the place, maybe of another age.
            for (at, unit) in new_units.into_iter().enumerate().skip(*which as usize % 3) {
                let order = (at as u64 * u64::from(*which)) % 5;
                planner.upsert_unit(order, unit.clone());
                units.retain(|(_, other), _| *other != unit.name);
                units.insert((order, unit.name.clone()), unit);
            }
        }
        4 => {
            let placement = planner.placement().clone();
            for unit in units.values_mut().filter(|unit| !unit.rules.global) {
                unit.current = placement.assigned.get(&unit.name).cloned();
                planner.set_current(&unit.name, unit.current.as_deref());
            }
        }
        _ => {
            for ((order, _), unit) in units.iter_mut().filter(|((_, other), _)| other == name) {
                unit.wanted = !unit.wanted;
                unit.wish = new_machines.first().map(|machine| machine.id.clone());
                unit.avoid = new_machines.iter().skip(1).map(|machine| machine.id.clone()).collect();
                planner.upsert_unit(*order, unit.clone());
            }
        }
    }
}
