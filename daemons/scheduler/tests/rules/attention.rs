//! Units that fail, records that can't be read, globals that change.

use std::time::Duration;

use convoy_keys::{Desired, StateRecord, machine_key, schedule_key, unit_key};
use convoy_scheduler::{Cause, Event};

use crate::model::{Model, hash, machine_id, name, text};

const PLAIN: &str = "[Service]\nExecStart=/bin/true\n";
const SECOND: Duration = Duration::from_secs(1);

fn failing(model: &mut Model, unit: &str, machine: &str, failures: u32) {
    let hash = model.entry(unit, machine).unwrap().hash;
    model.state_as(
        unit,
        machine,
        &StateRecord { active: "failed".into(), hash, failures, ..StateRecord::default() },
    );
}

#[test]
fn a_unit_moves_after_so_many_failures() {
    for (convoy, failures, moves) in [
        ("", 2, false),
        ("", 3, true),
        ("MoveAfterFailures=1", 1, true),
        ("MoveAfterFailures=5", 4, false),
        ("MoveAfterFailures=0", 99, false),
    ] {
        let mut model = Model::new(&["m1", "m2"]);
        model.unit("a.service", &text("", convoy));
        model.live();
        let home = model.on("a.service");
        failing(&mut model, "a.service", &home[0], failures);
        let events = model.live();
        assert_eq!(model.on("a.service") != home, moves, "{convoy:?} after {failures}");
        let told = events.iter().any(|event| matches!(event, Event::Moved { cause: Cause::Failures, .. }));
        assert_eq!(told, moves, "{events:?}");
    }
}

#[test]
fn it_stays_where_it_is_if_there_is_no_other_place() {
    let mut model = Model::new(&["m1"]);
    model.unit("a.service", PLAIN);
    model.live();
    failing(&mut model, "a.service", "m1", 7);
    model.live();
    assert_eq!(model.on("a.service"), ["m1"]);
}

#[test]
fn who_fails_everywhere_goes_round_slower_and_slower() {
    let mut model = Model::new(&["m1", "m2"]);
    model.unit("a.service", PLAIN);
    model.live();
    let mut moves = Vec::new();
    for minute in 0..180 {
        let home = model.on("a.service")[0].clone();
        failing(&mut model, "a.service", &home, 3);
        model.live();
        if model.on("a.service") != [home] {
            moves.push(minute);
        }
        model.advance(60 * SECOND);
    }
    assert!((2..=8).contains(&moves.len()), "{moves:?}");
    let gaps: Vec<_> = moves.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.windows(2).all(|pair| pair[1] >= pair[0]), "{moves:?}");
}

#[test]
fn a_unit_whose_record_became_unreadable_is_left_as_it_is() {
    for (what, value) in [
        ("no JSON", &b"{"[..]),
        ("another record", br#"{"text":42}"#),
        ("a text that is no unit file", br#"{"text":"[X-Fleet]\nFlying=yes\n","desired":"launched"}"#),
    ] {
        let mut model = Model::new(&["m1", "m2"]);
        model.unit("a.service", PLAIN);
        model.unit("b.service", &text("Conflicts=a.service", ""));
        model.live();
        let (home, entry) = (model.on("a.service"), model.entry("a.service", "m1"));
        let key = unit_key(&name("a.service"));
        model.put(&key, value);
        let events = model.live();
        assert_eq!((model.on("a.service"), model.entry("a.service", "m1")), (home.clone(), entry), "{what}");
        let told = |event: &&Event| matches!(event, Event::Rejected { .. } | Event::Skipped { .. });
        assert_eq!(events.iter().filter(told).count(), 1, "{what}: {events:?}");
        assert!(model.live().is_empty(), "{what}: said once");
        // It still keeps others off its machine, and it is not moved when that is drained.
        model.maintain(&home[0], convoy_keys::MaintenanceMode::Drain, None);
        model.live();
        assert_eq!(model.on("a.service"), home, "{what}");
        assert_ne!(model.on("b.service"), home, "{what}");
        model.unit("a.service", PLAIN);
        model.live();
        assert_eq!(model.on("a.service").len(), 1, "{what}");
    }
}

#[test]
fn a_unit_that_was_never_readable_is_nowhere_and_stops_nobody() {
    let mut model = Model::new(&["m1"]);
    model.put(&unit_key(&name("bad.service")), b"{");
    model.unit("bad2.service", "[X-Fleet]\nMachineMetadata=zone\n");
    model.unit("good.service", PLAIN);
    let events = model.live();
    assert_eq!(model.on("good.service"), ["m1"]);
    assert!(model.on("bad.service").is_empty() && model.on("bad2.service").is_empty());
    assert_eq!(model.summary.pending.len(), 2);
    let rejected = events.iter().find_map(|event| match event {
        Event::Rejected { problem, .. } => Some(problem.clone()),
        _ => None,
    });
    assert!(rejected.unwrap().contains("MachineMetadata"));
    let skipped = |event: &Event| matches!(event, Event::Skipped { key, .. } if key.ends_with("bad.service"));
    assert!(events.iter().any(skipped), "{events:?}");
}

#[test]
fn a_rejected_unit_obeys_what_is_wanted_of_it() {
    let mut model = Model::new(&["m1"]);
    model.unit("a.service", PLAIN);
    model.live();
    let old = model.entry("a.service", "m1").unwrap();
    model.unit_as("a.service", "[X-Fleet]\nFlying=yes\n", Desired::Loaded, 0);
    model.live();
    let entry = model.entry("a.service", "m1").unwrap();
    assert_eq!((entry.hash, entry.desired), (old.hash, Desired::Loaded));
    model.unit_as("a.service", "[X-Fleet]\nFlying=yes\n", Desired::Inactive, 0);
    model.live();
    assert!(model.on("a.service").is_empty());
}

#[test]
fn a_machine_whose_record_can_not_be_read_is_there() {
    let mut model = Model::new(&["m1", "m2"]);
    model.unit("a.service", PLAIN);
    model.unit("b.service", PLAIN);
    model.live();
    let before = (model.on("a.service"), model.on("b.service"));
    model.put(&machine_key(&machine_id("m1")), b"[]");
    model.unit("c.service", PLAIN);
    model.live();
    assert_eq!((model.on("a.service"), model.on("b.service")), before);
    assert_eq!(model.on("c.service"), ["m2"]);
    model.new_leader();
    model.live();
    assert_eq!((model.on("a.service"), model.on("b.service")), before);
}

#[test]
fn other_rubbish_is_named_and_passed_over() {
    let mut model = Model::new(&["m1"]);
    model.unit("a.service", PLAIN);
    model.live();
    for key in ["/convoy/moves/a.service", "/convoy/maintenance/m1", "/convoy/states/m1/x.service"] {
        model.put(key, b"rubbish");
    }
    for key in ["/convoy/units/no name", "/convoy/schedule/m1", "/convoy/machines/a/b"] {
        model.put(key, b"{}");
    }
    let events = model.live();
    let skipped = events.iter().filter(|event| matches!(event, Event::Skipped { .. })).count();
    assert_eq!((skipped, model.summary.unusable), (6, 6), "{events:?}");
    assert_eq!(model.on("a.service"), ["m1"]);
    model.put(&schedule_key(&machine_id("m1"), &name("a.service")), b"rubbish");
    model.settle();
    assert_eq!(model.entry("a.service", "m1").unwrap().hash, hash("a.service", PLAIN), "written anew");
}

/// A global unit on three machines that all run its first version.
fn global() -> Model {
    let mut model = Model::new(&["m1", "m2", "m3"]);
    model.unit("g.service", &text("Global=true", ""));
    model.live();
    assert_eq!(model.on("g.service"), ["m1", "m2", "m3"]);
    model
}

fn versions(model: &Model) -> Vec<u64> {
    ["m1", "m2", "m3"].iter().map(|id| model.entry("g.service", id).unwrap().restarts).collect()
}

#[test]
fn a_new_version_of_a_global_goes_from_machine_to_machine() {
    let mut model = global();
    model.unit_as("g.service", &text("Global=true", ""), Desired::Launched, 1);
    model.settle();
    assert_eq!(versions(&model), [1, 0, 0]);
    model.state("g.service", "m1", "activating");
    model.settle();
    assert_eq!(versions(&model), [1, 0, 0], "not before it is up");
    model.state("g.service", "m1", "active");
    model.settle();
    assert_eq!(versions(&model), [1, 1, 0]);
    model.live();
    assert_eq!(versions(&model), [1, 1, 1]);
}

#[test]
fn a_failure_stops_the_rollout_and_is_said_once() {
    let mut model = global();
    model.unit_as("g.service", &text("Global=true", ""), Desired::Launched, 1);
    model.settle();
    model.state("g.service", "m1", "failed");
    let events = model.settle();
    assert!(matches!(events.as_slice(), [Event::RolloutStopped { .. }]), "{events:?}");
    assert!(model.settle().is_empty());
    assert_eq!(versions(&model), [1, 0, 0]);
    assert!(model.summary.remarks.iter().any(|remark| remark.contains("rollout")), "{:?}", model.summary);
    // The next version begins anew.
    model.unit_as("g.service", &text("Global=true", ""), Desired::Launched, 2);
    model.live();
    assert_eq!(versions(&model), [2, 2, 2]);
}

#[test]
fn a_new_machine_gets_the_new_version_and_a_cordoned_one_keeps_what_it_has() {
    let mut model = global();
    model.maintain("m3", convoy_keys::MaintenanceMode::Cordon, None);
    model.machine("m4");
    model.maintain("m4", convoy_keys::MaintenanceMode::Cordon, None);
    model.live();
    assert_eq!(model.on("g.service"), ["m1", "m2", "m3"]);
    model.delete("/convoy/maintenance/m4");
    model.live();
    assert_eq!(model.on("g.service"), ["m1", "m2", "m3", "m4"]);
    model.maintain("m3", convoy_keys::MaintenanceMode::Drain, None);
    model.live();
    assert_eq!(model.on("g.service"), ["m1", "m2", "m4"]);
}
