//! Placement from 100 units on 10 machines to 20000 on 2000: the first pass, and passes over a settled cluster.
//! Fleet's figures are those of its own engine code, measured without etcd; it was not measured beyond 5000 units.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use convoy_placement::{Machine, Planner, Unit, place};
use convoy_unit_files::{Definition, Strictness, UnitName};

use crate::table::{Samples, print};

/// Units, machines, and what fleet takes for a steady and a first pass, in milliseconds.
type Size = (usize, usize, Option<(f64, f64)>);
const SIZES: [Size; 4] = [
    (100, 10, Some((2.5, 8.0))),
    (1000, 100, Some((330.0, 510.0))),
    (5000, 500, Some((14_000.0, 16_000.0))),
    (20_000, 2000, None),
];
const ROUNDS: usize = 9;

pub(crate) fn measure() -> Result<()> {
    print(
        "\nPlacement, in milliseconds (best of several, as fleet was measured); growth against the row above; n log n would be 15.0, 6.2 and 4.7\n",
    );
    print(&row([
        "units / machines",
        "first",
        "growth",
        "settled",
        "growth",
        "one edit",
        "fleet first",
        "fleet steady",
    ]));
    let mut last: Option<[Duration; 3]> = None;
    for (units, machines, fleet) in SIZES {
        let times = measure_one(units, machines)?;
        let growth = |at: usize| match (last.and_then(|last| last.get(at).copied()), times.get(at)) {
            (Some(last), Some(now)) if !last.is_zero() => {
                format!("{:.1}", now.as_secs_f64() / last.as_secs_f64())
            }
            _ => "–".to_owned(),
        };
        let [first, settled, edit] = times.map(|time| format!("{:.2}", time.as_secs_f64() * 1000.0));
        let theirs = |figure: Option<f64>| figure.map_or("–".to_owned(), |figure| format!("{figure}"));
        let name = format!("{units} / {machines}");
        let fleet_first = theirs(fleet.map(|(_, first)| first));
        let fleet_steady = theirs(fleet.map(|(steady, _)| steady));
        print(&row([&name, &first, &growth(0), &settled, &growth(1), &edit, &fleet_first, &fleet_steady]));
        last = Some(times);
    }
    Ok(())
}

fn row(cells: [&str; 8]) -> String {
    let [name, rest @ ..] = cells;
    rest.iter().fold(format!("  {name:<18}"), |row, cell| format!("{row}{cell:>13}"))
}

/// First pass, pass over the settled cluster, and a planner's pass after one edit.
fn measure_one(units: usize, machines: usize) -> Result<[Duration; 3]> {
    let (machines, mut units) = cluster(units, machines)?;
    let (mut first, mut settled, mut edit) = (Samples::default(), Samples::default(), Samples::default());
    let rounds = if units.len() > 10_000 { ROUNDS / 2 } else { ROUNDS };
    let placement = place(&machines, &units);
    ensure!(placement.pending.is_empty(), "{} units found no machine", placement.pending.len());
    for _ in 0..rounds {
        let began = Instant::now();
        let again = place(&machines, &units);
        first.push(began.elapsed());
        ensure!(again == placement, "the same input had another outcome");
    }
    for unit in &mut units {
        unit.current = placement.assigned.get(&unit.name).cloned();
    }
    for _ in 0..rounds {
        let began = Instant::now();
        let again = place(&machines, &units);
        settled.push(began.elapsed());
        ensure!(again.assigned == placement.assigned, "a second pass moved something");
    }
    let mut planner = Planner::new();
    for machine in &machines {
        planner.upsert_machine(machine.clone());
    }
    for (order, unit) in (0..).zip(&units) {
        planner.upsert_unit(order, unit.clone());
    }
    planner.plan();
    let (order, last) = (0..).zip(&units).last().context("a cluster without units")?;
    for round in 0..rounds * 2 {
        let edited = Unit { wanted: round % 2 == 1, ..last.clone() };
        let began = Instant::now();
        planner.upsert_unit(order, edited);
        let changed = planner.plan();
        edit.push(began.elapsed());
        ensure!(changed.contains(&last.name), "the edit had no effect");
    }
    Ok([first.fastest(), settled.fastest(), edit.fastest()])
}

/// A mixed workload: of ten units four are instances that keep apart from their siblings, two are their sidekicks,
/// one asks for a zone and one for a disk, two ask for nothing; five globals run everywhere.
fn cluster(units: usize, machines: usize) -> Result<(Vec<Machine>, Vec<Unit>)> {
    let machines = (0..machines).map(|at| {
        let zone = ("zone".to_owned(), format!("z{}", at % 5));
        let disk = ("disk".to_owned(), if at % 3 == 0 { "ssd" } else { "hdd" }.to_owned());
        Machine {
            id: format!("{:032x}", at * 0x9e37_79b9),
            metadata: [zone, disk].into(),
            ..Machine::default()
        }
    });
    let mut all = Vec::new();
    for global in 0..5 {
        all.push(unit(&format!("agent{global}.service"), "Global=true")?);
    }
    let instances = (units / 50).clamp(2, 40);
    for at in 0..units.saturating_sub(5) {
        let (template, instance, zone) = (at / 10 / instances, at / 10 % instances, at / 10 % 5);
        let name = |what: &str| format!("{what}{template}@{instance}.service");
        let conflicts = |what: &str| format!("Conflicts={what}{template}@*.service");
        let (name, options) = match at % 10 {
            0 => (name("web"), conflicts("web")),
            1 => (name("web-presence"), format!("MachineOf={}", name("web"))),
            2 => (name("api"), conflicts("api")),
            3 => (name("api-presence"), format!("MachineOf={}", name("api"))),
            4 => (name("cache"), conflicts("cache")),
            5 => (name("db"), format!("{}\nMachineMetadata=disk=ssd", conflicts("db"))),
            6 => (name("zoned"), format!("MachineMetadata=zone=z{zone}")),
            7 => (name("disk"), "MachineMetadata=disk=ssd".to_owned()),
            _ => (format!("job{at}.service"), String::new()),
        };
        all.push(unit(&name, &options)?);
    }
    Ok((machines.collect(), all))
}

fn unit(name: &str, options: &str) -> Result<Unit> {
    let parsed = UnitName::parse(name)?;
    let text = format!("[Service]\nExecStart=/bin/true\n[X-Fleet]\n{options}\n");
    let definition = Definition::read(&parsed, name, &text, Strictness::Strict)?;
    Ok(Unit::from_definition(&definition, true, None))
}
