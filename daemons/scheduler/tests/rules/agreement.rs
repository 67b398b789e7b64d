//! Properties: whatever happens, the rules come to rest, and no unit is in two places.

use std::collections::BTreeMap;
use std::time::Duration;

use convoy_keys::{ClusterKey, Desired, MachineId, MaintenanceMode};
use convoy_unit_files::UnitName;
use proptest::prelude::*;

use crate::model::{Model, text};

/// Something that happens.
#[derive(Debug, Clone)]
enum Act {
    Submit(u8, u8, u8),
    Dismiss(u8),
    Destroy(u8),
    Lose(u8),
    Return(u8),
    Maintain(u8, u8),
    Wish(u8, u8),
    Fail(u8),
    Spoil(u8),
    NewLeader,
    Pass,
    Obey,
    Wait(u16),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0u8..6, 0u8..5, 0u8..3).prop_map(|(unit, rules, policy)| Act::Submit(unit, rules, policy)),
        1 => (0u8..6).prop_map(Act::Dismiss),
        1 => (0u8..6).prop_map(Act::Destroy),
        2 => (0u8..4).prop_map(Act::Lose),
        2 => (0u8..4).prop_map(Act::Return),
        1 => (0u8..4, 0u8..4).prop_map(|(machine, mode)| Act::Maintain(machine, mode)),
        1 => (0u8..6, 0u8..4).prop_map(|(unit, machine)| Act::Wish(unit, machine)),
        1 => (0u8..6).prop_map(Act::Fail),
        1 => (0u8..6).prop_map(Act::Spoil),
        1 => Just(Act::NewLeader),
        6 => Just(Act::Pass),
        4 => Just(Act::Obey),
        2 => (0u16..1000).prop_map(Act::Wait),
    ]
}

fn unit(number: u8) -> String {
    format!("app@{number}.service")
}

fn machine(number: u8) -> String {
    format!("m{number}")
}

fn happen(model: &mut Model, act: &Act) {
    match act {
        Act::Submit(number, rules, policy) => {
            let other = unit((number + 1) % 6);
            let fleet = match rules {
                0 => "Conflicts=app@*.service".to_owned(),
                1 => format!("MachineOf={other}"),
                2 => "Global=true".to_owned(),
                3 => format!("Conflicts={other}"),
                _ => String::new(),
            };
            let convoy = match policy {
                0 => "WhenCutOff=at-most-one",
                1 => "WhenCutOff=stop-after:60s",
                _ => "",
            };
            model.unit(&unit(*number), &text(&fleet, convoy));
        }
        Act::Dismiss(number) => {
            model.unit_as(&unit(*number), &text("", "WhenCutOff=at-most-one"), Desired::Inactive, 0);
        }
        Act::Destroy(number) => model.destroy(&unit(*number)),
        Act::Lose(number) => model.lose(&machine(*number)),
        Act::Return(number) => model.machine(&machine(*number)),
        Act::Maintain(number, mode) => match mode {
            0 => model.maintain(&machine(*number), MaintenanceMode::Cordon, None),
            1 => model.maintain(&machine(*number), MaintenanceMode::Drain, None),
            2 => model.maintain(&machine(*number), MaintenanceMode::Reboot, None),
            _ => model.delete(&format!("/convoy/maintenance/{}", machine(*number))),
        },
        Act::Wish(number, to) => model.wish(&unit(*number), &machine(*to)),
        Act::Fail(number) => {
            let unit = unit(*number);
            // States hang on the machine's lease.
            let there = |machine: &String| model.entries.contains_key(&format!("/convoy/machines/{machine}"));
            for machine in model.on(&unit).into_iter().filter(there).collect::<Vec<_>>() {
                model.state_as(
                    &unit,
                    &machine,
                    &convoy_keys::StateRecord {
                        active: "failed".into(),
                        hash: model.entry(&unit, &machine).unwrap().hash,
                        failures: 3,
                        ..convoy_keys::StateRecord::default()
                    },
                );
            }
        }
        Act::Spoil(number) => model.put(&format!("/convoy/units/{}", unit(*number)), b"rubbish"),
        Act::NewLeader => model.new_leader(),
        Act::Pass => drop(model.pass()),
        Act::Obey => drop(model.obey()),
        Act::Wait(seconds) => model.advance(Duration::from_secs(u64::from(*seconds))),
    }
}

/// No unit that is not global has two entries on machines that are there, but for those that shall let it go.
fn no_unit_is_in_two_places(model: &Model) -> Result<(), TestCaseError> {
    let mut places: BTreeMap<UnitName, Vec<MachineId>> = BTreeMap::new();
    for key in model.entries.keys() {
        if let Some(ClusterKey::Schedule(machine, unit)) = ClusterKey::parse(key)
            && model.entries.contains_key(&convoy_keys::machine_key(&machine))
            && model.on(unit.as_str()).contains(&machine.to_string())
        {
            places.entry(unit).or_default().push(machine);
        }
    }
    for (unit, machines) in places {
        let record = model.entries.get(&convoy_keys::unit_key(&unit));
        // One that was global, and one that nobody can read any more, is judged when that is settled.
        let is_plain = record.is_some_and(|record| {
            let text = String::from_utf8_lossy(&record.value);
            !text.contains("Global") && text != "rubbish"
        });
        prop_assert!(!is_plain || machines.len() <= 1, "{unit} is on {machines:?}");
    }
    Ok(())
}

proptest! {
    #[test]
    fn the_rules_come_to_rest_and_no_unit_is_in_two_places(acts in prop::collection::vec(act(), 0..60)) {
        let mut model = Model::new(&["m0", "m1", "m2", "m3"]);
        for act in &acts {
            happen(&mut model, act);
        }
        // Everything returns, and gets the time that anything may take.
        for number in 0..4 {
            model.machine(&machine(number));
        }
        model.live();
        for _ in 0..3 {
            model.advance(Duration::from_secs(1300));
            model.live();
        }
        no_unit_is_in_two_places(&model)?;
        prop_assert!(model.settle().is_empty(), "a second look changes nothing");
        // What runs is what is scheduled.
        for key in model.entries.keys() {
            if let Some(ClusterKey::State(machine, unit)) = ClusterKey::parse(key) {
                prop_assert!(model.entry(unit.as_str(), machine.as_str()).is_some(), "{unit} runs on {machine} unasked");
            }
        }
    }

    #[test]
    fn what_may_run_at_most_once_never_runs_twice(acts in prop::collection::vec(act(), 0..60)) {
        let mut model = Model::new(&["m0", "m1", "m2", "m3"]);
        model.is_strict = true;
        for act in &acts {
            let act = match act {
                Act::Submit(unit, 2, _) => Act::Submit(*unit, 4, 0),
                Act::Submit(unit, rules, _) => Act::Submit(*unit, *rules, 0),
                act => act.clone(),
            };
            happen(&mut model, &act);
        }
        model.live();
    }
}
