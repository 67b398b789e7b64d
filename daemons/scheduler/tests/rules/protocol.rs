//! From a wish to a machine, and from one machine to another.

use std::time::Duration;

use convoy_keys::{Desired, MaintenanceMode, StateRecord};
use convoy_scheduler::{Cause, Event};

use crate::model::{Model, hash, text};

const PLAIN: &str = "[Service]\nExecStart=/bin/true\n";
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_first_place_and_every_wish_after_it() {
    let mut model = Model::new(&["m1"]);
    model.unit("a.service", PLAIN);
    let events = model.live();
    assert_eq!(model.on("a.service"), ["m1"]);
    assert!(matches!(events.as_slice(), [Event::Placed { .. }]), "{events:?}");
    assert_eq!(model.entry("a.service", "m1").unwrap().hash, hash("a.service", PLAIN));

    // Edited, restarted, loaded only: the entry says so at once.
    let edited = format!("{PLAIN}Environment=A=1\n");
    model.unit_as("a.service", &edited, Desired::Loaded, 3);
    model.live();
    let entry = model.entry("a.service", "m1").unwrap();
    assert_eq!((entry.hash, entry.desired, entry.restarts), (hash("a.service", &edited), Desired::Loaded, 3));

    model.unit_as("a.service", &edited, Desired::Inactive, 3);
    model.live();
    assert!(model.on("a.service").is_empty());
    model.unit("a.service", PLAIN);
    model.live();
    model.destroy("a.service");
    model.live();
    assert!(model.on("a.service").is_empty());
    assert_eq!(model.summary.units, 0);
}

#[test]
fn templates_are_never_placed_and_a_unit_without_a_place_is_said_once() {
    let mut model = Model::new(&["m1"]);
    model.unit("app@.service", PLAIN);
    model.unit("app@1.service", &text("Conflicts=app@*.service", ""));
    model.unit("app@2.service", &text("Conflicts=app@*.service", ""));
    let events = model.live();
    assert!(model.on("app@.service").is_empty());
    let pending: Vec<_> = events.iter().filter(|event| matches!(event, Event::Pending { .. })).collect();
    assert_eq!(pending.len(), 1, "{events:?}");
    assert_eq!((model.summary.units, model.summary.pending.len()), (2, 1));
    model.machine("m2");
    model.live();
    assert_eq!(model.on("app@2.service"), ["m2"]);
    assert_eq!(model.on("app@1.service"), ["m1"]);
    assert!(model.summary.pending.is_empty());
}

#[test]
fn a_move_is_made_in_two_halves() {
    let mut model = Model::new(&["m1", "m2"]);
    model.unit("a.service", PLAIN);
    model.live();
    assert_eq!(model.on("a.service"), ["m1"]);
    model.wish("a.service", "m2");
    model.settle();
    assert!(model.on("a.service").is_empty(), "the old entry is gone, the new one is not there yet");
    assert!(model.has_wish("a.service"));
    assert_eq!(model.summary.moving, 1);
    // It takes its time to stop; the wish holds all the while, whoever leads.
    model.state("a.service", "m1", "deactivating");
    model.settle();
    model.new_leader();
    model.settle();
    assert!(model.on("a.service").is_empty());
    model.gone("a.service", "m1");
    let events = model.settle();
    assert_eq!(model.on("a.service"), ["m2"]);
    assert!(!model.has_wish("a.service"));
    assert!(
        events.iter().any(|event| matches!(event, Event::Placed { .. } | Event::Moved { .. })),
        "{events:?}"
    );
}

#[test]
fn who_has_not_said_that_it_runs_it_must_not_have_begun_to() {
    let mut model = Model::new(&["m1", "m2"]);
    model.unit("a.service", PLAIN);
    model.settle();
    assert_eq!(model.on("a.service"), ["m1"]);
    model.wish("a.service", "m2");
    let step = model.pass();
    assert_eq!(model.on("a.service"), ["m2"], "at once");
    assert_eq!(step.batches[0].absent, ["/convoy/states/m1/a.service"]);
}

#[test]
fn a_move_that_can_not_be_is_refused_at_once() {
    for (name, fleet, to) in [
        ("no such machine", "", "m9"),
        ("a rule against it", "MachineMetadata=zone=a", "m2"),
        ("a machine that takes nothing", "", "m3"),
    ] {
        let mut model = Model::new(&["m2", "m3"]);
        let record = convoy_keys::MachineRecord {
            name: "m1".into(),
            metadata: [("zone".to_owned(), "a".to_owned())].into(),
            ..convoy_keys::MachineRecord::default()
        };
        model.machine_as("m1", &record);
        model.maintain("m3", MaintenanceMode::Cordon, None);
        model.unit("a.service", &text(fleet, ""));
        model.live();
        let before = model.on("a.service");
        model.wish("a.service", to);
        let events = model.live();
        assert!(events.iter().any(|event| matches!(event, Event::MoveRefused { .. })), "{name}: {events:?}");
        assert!(!model.has_wish("a.service"), "{name}");
        assert_eq!(model.on("a.service"), before, "{name}");
    }
    let mut model = Model::new(&["m1"]);
    model.unit_as("a.service", PLAIN, Desired::Inactive, 0);
    model.unit("g.service", &text("Global=true", ""));
    for unit in ["a.service", "g.service", "unknown.service"] {
        model.wish(unit, "m1");
    }
    model.live();
    assert!(!model.has_wish("a.service") && !model.has_wish("g.service"));
}

#[test]
fn what_belongs_together_moves_together() {
    let mut model = Model::new(&["m1", "m2"]);
    model.unit("app.service", PLAIN);
    model.unit("side.service", &text("MachineOf=app.service", ""));
    model.live();
    let home = model.on("app.service");
    assert_eq!(model.on("side.service"), home);
    let other = if home == ["m1"] { "m2" } else { "m1" };
    model.maintain(&home[0], MaintenanceMode::Drain, None);
    model.settle();
    assert!(model.on("app.service").is_empty() && model.on("side.service").is_empty());
    model.gone("side.service", &home[0]);
    model.settle();
    assert!(model.on("side.service").is_empty(), "one does not go ahead of the other");
    model.gone("app.service", &home[0]);
    let step = model.pass();
    assert_eq!((model.on("app.service"), model.on("side.service")), (vec![other.into()], vec![other.into()]));
    assert_eq!(step.batches.len(), 1, "in one transaction");
}

#[test]
fn a_unit_in_the_way_has_left_before_the_next_one_comes() {
    let mut model = Model::new(&["m1"]);
    model.unit("old.service", PLAIN);
    model.live();
    model.unit("new.service", &text("Conflicts=old.service", ""));
    model.live();
    assert!(model.on("new.service").is_empty(), "{:?}", model.summary);
    model.destroy("old.service");
    model.settle();
    assert!(model.on("old.service").is_empty() && model.on("new.service").is_empty());
    model.gone("old.service", "m1");
    model.settle();
    assert_eq!(model.on("new.service"), ["m1"], "{:?}", model.summary);
}

#[test]
fn what_is_found_running_is_left_where_it_is() {
    let found = |unclaimed| StateRecord {
        active: "active".into(),
        hash: hash("a.service", PLAIN),
        unclaimed,
        ..StateRecord::default()
    };
    let mut model = Model::new(&["m1", "m2", "m3"]);
    model.state_as("a.service", "m3", &found(true));
    model.settle();
    assert!(model.on("a.service").is_empty(), "nobody asked for it");
    model.unit("a.service", PLAIN);
    let events = model.settle();
    assert_eq!(model.on("a.service"), ["m3"]);
    assert!(matches!(events.as_slice(), [Event::Adopted { .. }]), "{events:?}");
    // A second one is told to go, and the order is taken back when it went.
    model.state_as("a.service", "m1", &found(true));
    model.settle();
    assert_eq!(model.entry("a.service", "m1").unwrap().desired, Desired::Inactive);
    assert_eq!(model.on("a.service"), ["m3"]);
    model.live();
    assert_eq!(model.entry("a.service", "m1"), None);
    assert_eq!(model.on("a.service"), ["m3"]);
}

#[test]
fn a_store_that_is_new_waits_for_machines_to_say_what_they_run() {
    let mut model = Model::new(&[]);
    model.delete("/convoy/cluster");
    for name in ["a.service", "b.service"] {
        model.unit(name, PLAIN);
    }
    model.settle();
    // However often it looks, and whoever comes first.
    for machine in ["m1", "m2"] {
        model.machine(machine);
        model.settle();
        model.advance(SECOND);
        model.settle();
        assert!(model.on("a.service").is_empty() && model.on("b.service").is_empty(), "{machine}");
    }
    model.machine("m3");
    let state = StateRecord {
        active: "active".into(),
        hash: hash("a.service", PLAIN),
        unclaimed: true,
        ..StateRecord::default()
    };
    model.state_as("a.service", "m3", &state);
    model.settle();
    assert_eq!(model.on("a.service"), ["m3"], "it is adopted at once");
    assert!(model.on("b.service").is_empty());
    model.advance(3 * SECOND);
    model.settle();
    assert_eq!(model.on("b.service").len(), 1, "nobody has it");
    assert_eq!(model.on("a.service"), ["m3"]);
}

#[test]
fn who_dismissed_a_unit_dismissed_it_everywhere() {
    let mut model = Model::new(&["m1"]);
    let state = StateRecord { active: "active".into(), unclaimed: true, ..StateRecord::default() };
    model.state_as("a.service", "m1", &state);
    model.unit_as("a.service", PLAIN, Desired::Inactive, 0);
    model.settle();
    assert_eq!(model.entry("a.service", "m1").unwrap().desired, Desired::Inactive);
    model.live();
    assert_eq!(model.entry("a.service", "m1"), None);
}

#[test]
fn a_drain_keeps_its_pace() {
    let mut model = Model::new(&["m1"]);
    for number in 1..=3 {
        model.unit(&format!("app@{number}.service"), PLAIN);
    }
    for name in ["b", "c", "d", "e", "f"] {
        model.unit(&format!("{name}.service"), PLAIN);
    }
    model.live();
    model.machine("m2");
    model.maintain("m1", MaintenanceMode::Drain, None);
    model.settle();
    let away = |model: &Model| {
        let names = (1..=3).map(|number| format!("app@{number}.service"));
        let names = names.chain(["b", "c", "d", "e", "f"].map(|name| format!("{name}.service")));
        names.filter(|name| model.on(name).is_empty()).count()
    };
    assert_eq!(away(&model), 4, "four in all, one of the template");
    let apps = (1..=3).filter(|number| model.on(&format!("app@{number}.service")).is_empty()).count();
    assert_eq!(apps, 1);
    let events = model.live();
    assert!(["b", "c", "d", "e", "f"].iter().all(|name| model.on(&format!("{name}.service")) == ["m2"]));
    assert!((1..=3).all(|number| model.on(&format!("app@{number}.service")) == ["m2"]));
    let moved = |event: &&Event| matches!(event, Event::Moved { cause: Cause::Drain, .. });
    assert_eq!(events.iter().filter(moved).count(), 8, "{events:?}");
}

#[test]
fn a_drain_does_not_wait_for_ever_for_one_that_does_not_come_up() {
    let mut model = Model::new(&["m1", "m2"]);
    model.maintain("m2", MaintenanceMode::Cordon, None);
    model.unit("app@1.service", PLAIN);
    model.unit("app@2.service", PLAIN);
    model.live();
    model.delete("/convoy/maintenance/m2");
    model.maintain("m1", MaintenanceMode::Drain, None);
    model.settle();
    let first = if model.on("app@1.service").is_empty() { "app@1.service" } else { "app@2.service" };
    let second = if first == "app@1.service" { "app@2.service" } else { "app@1.service" };
    model.gone(first, "m1");
    model.settle();
    model.state(first, "m2", "activating");
    model.settle();
    assert_eq!(model.on(second), ["m1"], "one after the other");
    model.advance(125 * SECOND);
    model.settle();
    assert!(model.on(second).is_empty());
}

#[test]
fn an_agent_that_restarts_keeps_what_it_has_and_gets_nothing_new() {
    let mut model = Model::new(&["m1"]);
    model.unit("a.service", PLAIN);
    model.live();
    let record = convoy_keys::MachineRecord {
        name: "m1".into(),
        boot_id: "b1".into(),
        agent_restarts: true,
        ..convoy_keys::MachineRecord::default()
    };
    model.machine_as("m1", &record);
    model.unit("b.service", PLAIN);
    model.live();
    assert_eq!(model.on("a.service"), ["m1"]);
    assert!(model.on("b.service").is_empty());
    model.machine("m1");
    model.live();
    assert_eq!(model.on("b.service"), ["m1"]);
}

#[test]
fn two_hundred_units_are_written_in_few_transactions() {
    let mut model = Model::new(&["m1", "m2", "m3", "m4"]);
    for number in 0..200 {
        model.unit(&format!("a@{number}.service"), PLAIN);
    }
    let step = model.pass();
    assert!(step.batches.len() <= 3, "{}", step.batches.len());
    assert!(model.settle().is_empty());
}
