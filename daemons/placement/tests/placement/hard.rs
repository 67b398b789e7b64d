//! Clusters that are larger than an oracle can try, with an outcome that is known otherwise.

use std::collections::BTreeMap;

use convoy_placement::{Machine, Unit, place};
use proptest::prelude::*;

use crate::build::{With, machine, unit};
use crate::oracle::{Oracle, after};

fn named(count: usize) -> Vec<Machine> {
    (0..count).map(|at| machine(&format!("m{at:03}"), &[])).collect()
}

/// Each unit conflicts with its row and its column.
fn grid(size: usize) -> Vec<Unit> {
    let cell = |at: usize| {
        let (row, column) = (at / size, at % size);
        let globs = [format!("r{row:02}@*.service"), format!("*@{column:02}.service")];
        unit(&format!("r{row:02}@{column:02}.service")).conflicts(&[&globs[0], &globs[1]])
    };
    (0..size * size).map(cell).collect()
}

#[track_caller]
fn pending(machines: &[Machine], units: &[Unit]) -> usize {
    let placement = place(machines, units);
    Oracle { machines, units }.check(&placement);
    let settled = place(machines, &after(units, &placement));
    assert_eq!(settled.assigned, placement.assigned, "a second pass moved something");
    placement.pending.len()
}

#[test]
fn grids_of_any_size_are_solved() {
    for size in [4, 5, 6, 7, 10] {
        assert_eq!(pending(&named(size), &grid(size)), 0, "{size} by {size}");
    }
}

#[test]
fn as_much_of_a_grid_as_there_are_machines_for() {
    // Each machine takes one unit of each row.
    for size in [3, 4, 5, 6] {
        assert_eq!(pending(&named(size - 1), &grid(size)), size, "{size} by {size}");
    }
}

#[test]
fn queens_share_a_board() {
    for size in [5, 7] {
        let queen = |at: usize| {
            let (row, column) = (at / size, at % size);
            let (up, down) = (row + column, row + size - column);
            let globs = [
                format!("r{row}@*"),
                format!("*@c{column}-*"),
                format!("*-u{up:02}-*"),
                format!("*-d{down:02}.service"),
            ];
            let globs: Vec<&str> = globs.iter().map(String::as_str).collect();
            unit(&format!("r{row}@c{column}-u{up:02}-d{down:02}.service")).conflicts(&globs)
        };
        let units: Vec<Unit> = (0..size * size).map(queen).collect();
        assert_eq!(pending(&named(size), &units), 0, "{size} by {size}");
    }
}

#[test]
fn first_come_first_served_fails_on_crowns() {
    // a1 may only be with b1 …: whoever takes them in order needs ten machines.
    let mut units = Vec::new();
    for one in 0..10 {
        let others: Vec<String> =
            (0..10).filter(|other| *other != one).map(|other| format!("b{other}.service")).collect();
        let others: Vec<&str> = others.iter().map(String::as_str).collect();
        units.push(unit(&format!("a{one}.service")).conflicts(&others));
        units.push(unit(&format!("b{one}.service")));
    }
    assert_eq!(pending(&named(2), &units), 0);
}

#[test]
fn more_instances_than_machines_wait_for_the_last_ones() {
    let units: Vec<Unit> =
        (0..60).map(|at| unit(&format!("web@{at:02}.service")).conflicts(&["web@*.service"])).collect();
    let machines = named(50);
    let placement = place(&machines, &units);
    let waiting: Vec<&String> = placement.pending.keys().collect();
    assert_eq!(waiting.first().unwrap().as_str(), "web@50.service");
    assert_eq!(waiting.len(), 10);
    // A machine more for one more.
    let settled = after(&units, &placement);
    let now = place(&named(51), &settled);
    assert_eq!((now.pending.len(), now.moved().count()), (9, 0));
}

#[test]
fn a_long_chain_of_moves_is_found() {
    // Unit n runs on machine n and may also be on n + 1; the new one may only be on the first.
    let zone = |at: usize| format!("z{at:02}");
    let machines: Vec<Machine> = (0..=20).map(|at| machine(&zone(at), &[("zone", &zone(at))])).collect();
    let mut units: Vec<Unit> = (0..20)
        .map(|at| {
            let unit = unit(&format!("w@{at}.service")).conflicts(&["w@*.service"]);
            unit.metadata("zone", &[&zone(at), &zone(at + 1)]).at(&zone(at))
        })
        .collect();
    units.push(unit("w@new.service").conflicts(&["w@*.service"]).metadata("zone", &[&zone(0)]));
    let placement = place(&machines, &units);
    assert_eq!((placement.pending.len(), placement.moved().count()), (0, 20));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_made_up_from_a_placement_is_placed(
        homes in prop::collection::vec(0usize..6, 10..60),
        links in prop::collection::vec(any::<u16>(), 60),
        dense in 1u16..7,
    ) {
        // Units conflict only with units of other homes, so that a placement exists.
        let unit_of = |at: usize| {
            let enemy = |other: &usize| homes[*other] != homes[at]
                && (links[at].wrapping_mul(31).wrapping_add(links[*other])) % 10 < dense;
            let globs: Vec<String> =
                (0..at).filter(enemy).map(|other| format!("u{other}.service")).collect();
            let globs: Vec<&str> = globs.iter().map(String::as_str).collect();
            unit(&format!("u{at}.service")).conflicts(&globs)
        };
        let units: Vec<Unit> = (0..homes.len()).map(unit_of).collect();
        prop_assert_eq!(pending(&named(6), &units), 0);
    }

    #[test]
    fn plain_units_are_spread_evenly(count in 1usize..60, on in 1usize..9, running in 0usize..30) {
        let machines = named(on);
        let all = (0..count).map(|at| {
            let unit = unit(&format!("u{at}.service"));
            if at < running { unit.at(&format!("m{:03}", at % on)) } else { unit }
        });
        let units: Vec<Unit> = all.collect();
        let placement = place(&machines, &units);
        let mut loads: BTreeMap<&String, usize> = machines.iter().map(|machine| (&machine.id, 0)).collect();
        for machine in placement.assigned.values() {
            *loads.get_mut(machine).unwrap() += 1;
        }
        let (least, most) = (loads.values().min().unwrap(), loads.values().max().unwrap());
        prop_assert!(most - least <= 1);
    }
}

#[test]
fn a_lost_machine_in_a_large_cluster_moves_only_its_units() {
    let all = named(60);
    let mut units: Vec<Unit> = Vec::new();
    for template in 0..20 {
        for instance in 0..15 {
            let glob = format!("t{template}@*.service");
            units.push(unit(&format!("t{template}@{instance}.service")).conflicts(&[&glob]));
            let target = format!("t{template}@{instance}.service");
            units.push(unit(&format!("s{template}@{instance}.service")).of(&target).tied(&target));
        }
    }
    units.push(unit("agent.service").global());
    let placement = place(&all, &units);
    assert!(placement.pending.is_empty());
    let settled = after(&units, &placement);
    let (lost, left) = all.split_first().unwrap();
    let now = place(left, &settled);
    assert!(now.pending.is_empty());
    let moved: Vec<&str> = now.moved().map(|(_, from)| from).collect();
    assert!(!moved.is_empty() && moved.iter().all(|from| *from == lost.id));
    // And back: nobody moves.
    let again = place(&all, &after(&units, &now));
    assert_eq!(again.moved().count(), 0);
}
