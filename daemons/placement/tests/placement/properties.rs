//! What must hold for every cluster, checked on thousands of small ones against all their placements.

use convoy_placement::{Accepts, Machine, Unit, place};
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
const GLOBS: [&str; 9] =
    ["a@*.service", "b@*.service", "*@1.service", "*@2.service", "c.service", "d.service", "e.service", "a@1.service", "*"];

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
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

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
}
