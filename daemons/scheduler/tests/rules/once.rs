//! Units that may run at most once.

use std::time::Duration;

use convoy_keys::{MaintenanceMode, machine_key, state_key};

use crate::model::{Model, machine_id, name, text};

const SECOND: Duration = Duration::from_secs(1);

fn single() -> String {
    text("", "WhenCutOff=at-most-one\nStopWithin=5s")
}

/// A unit that runs on m1 or m2; its machine and the other one.
fn running(unit: &str) -> (Model, &'static str, &'static str) {
    let mut model = Model::new(&["m1", "m2", "m3"]);
    model.maintain("m3", MaintenanceMode::Cordon, None);
    // A leader that has led for longer than any cut-off machine may run on: what comes later is new.
    model.settle();
    model.advance(60 * SECOND);
    model.unit(unit, &single());
    model.live();
    let (here, there) = if model.on(unit) == ["m1"] { ("m1", "m2") } else { ("m2", "m1") };
    assert_eq!(model.on(unit), [here]);
    (model, here, there)
}

/// It may still run, or be stopping, on a machine that is cut off, and then starts on this one.
fn starts_after_the_fence(model: &mut Model, there: &str) {
    assert!(model.on("a.service").is_empty(), "before the fence is over");
    model.advance(12 * SECOND);
    model.settle();
    assert_eq!(model.on("a.service"), [there]);
}

#[test]
fn its_machine_is_lost_and_the_fence_is_waited_for() {
    let (mut model, here, there) = running("a.service");
    model.lose(here);
    let step = model.pass();
    assert_eq!(model.on("a.service"), [here], "it may still run there");
    // Lease 5 s, stop within 5 s, margin 2 s.
    assert_eq!(step.again, Some(model.now.monotonic + 12 * SECOND));
    model.advance(Duration::from_millis(11_999));
    model.settle();
    assert_eq!(model.on("a.service"), [here]);
    model.advance(Duration::from_millis(1));
    let step = model.pass();
    assert_eq!(model.on("a.service"), [there]);
    let moves = |batch: &&convoy_scheduler::Batch| batch.writes.iter().any(|write| write.key.contains(there));
    let batch = step.batches.iter().find(moves).unwrap();
    assert_eq!(batch.absent, [machine_key(&machine_id(here))], "else it has started it again");
}

#[test]
fn a_new_leader_counts_from_the_beginning() {
    let (mut model, here, there) = running("a.service");
    model.lose(here);
    model.settle();
    model.advance(11 * SECOND);
    model.new_leader();
    model.settle();
    model.advance(11 * SECOND);
    model.settle();
    assert_eq!(model.on("a.service"), [here]);
    model.advance(SECOND);
    model.settle();
    assert_eq!(model.on("a.service"), [there]);
}

#[test]
fn a_machine_that_returns_in_time_keeps_it() {
    let (mut model, here, _) = running("a.service");
    model.lose(here);
    model.settle();
    model.advance(8 * SECOND);
    model.machine(here);
    model.live();
    model.advance(60 * SECOND);
    model.live();
    assert_eq!(model.on("a.service"), [here]);
}

#[test]
fn a_machine_that_is_back_has_a_moment_to_say_what_it_runs() {
    let (mut model, here, there) = running("a.service");
    model.maintain(here, MaintenanceMode::Drain, None);
    model.settle();
    model.lose(here);
    model.settle();
    model.machine(here);
    model.gone("a.service", here);
    model.settle();
    assert!(model.on("a.service").is_empty(), "its record came first, its states may follow");
    model.advance(2 * SECOND);
    model.settle();
    assert_eq!(model.on("a.service"), [there]);
}

#[test]
fn a_state_that_vanished_with_its_machine_is_no_stop() {
    let (mut model, here, there) = running("a.service");
    model.maintain(here, MaintenanceMode::Drain, None);
    model.settle();
    assert!(model.on("a.service").is_empty(), "the first half of the move");
    model.lose(here);
    model.settle();
    starts_after_the_fence(&mut model, there);
}

#[test]
fn the_new_entry_holds_only_if_the_old_machine_is_still_there() {
    let (mut model, here, there) = running("a.service");
    model.maintain(here, MaintenanceMode::Drain, None);
    model.settle();
    model.gone("a.service", here);
    let step = model.look();
    let put = step.batches.iter().find(|batch| !batch.writes.is_empty()).unwrap();
    assert!(put.writes.iter().any(|write| write.key.contains(there)));
    assert_eq!(put.present, [machine_key(&machine_id(here))], "else its lease took the state away");
    assert_eq!(put.absent, [state_key(&machine_id(here), &name("a.service"))], "and it did not come back");
}

#[test]
fn a_machine_that_has_not_answered_yet_is_waited_for() {
    let mut model = Model::new(&["m1"]);
    model.settle();
    model.unit("a.service", &single());
    model.settle();
    model.advance(60 * SECOND);
    model.settle();
    assert_eq!(model.on("a.service"), ["m1"]);
    model.machine("m2");
    model.maintain("m1", MaintenanceMode::Drain, None);
    model.settle();
    assert_eq!(model.on("a.service"), ["m1"], "whether it runs there is not known");
    model.state("a.service", "m1", "active");
    model.settle();
    assert!(model.on("a.service").is_empty());
    model.live();
    assert_eq!(model.on("a.service"), ["m2"]);
}

#[test]
fn a_new_leader_that_finds_it_nowhere_waits_for_a_machine_that_may_be_cut_off() {
    let (mut model, here, there) = running("a.service");
    model.maintain(here, MaintenanceMode::Drain, None);
    model.settle();
    model.lose(here);
    // Neither entry nor state nor machine: nothing in the store tells where it was.
    model.new_leader();
    model.settle();
    starts_after_the_fence(&mut model, there);
}

#[test]
fn a_unit_that_was_just_submitted_waits_for_nobody() {
    let (mut model, _, _) = running("a.service");
    model.unit("b.service", &single());
    model.settle();
    assert_eq!(model.on("b.service").len(), 1);
}

#[test]
fn a_new_leader_sees_a_destroyed_unit_that_is_still_being_stopped() {
    let (mut model, here, there) = running("a.service");
    model.destroy("a.service");
    model.new_leader();
    model.settle();
    // What it may not have seen is over by now.
    model.advance(60 * SECOND);
    model.lose(here);
    model.settle();
    model.unit("a.service", &single());
    model.settle();
    starts_after_the_fence(&mut model, there);
}

#[test]
fn a_new_leader_that_finds_no_trace_of_a_destroyed_unit_waits_too() {
    let (mut model, here, there) = running("a.service");
    model.destroy("a.service");
    model.settle();
    model.lose(here);
    // Neither unit nor entry nor state nor machine.
    model.new_leader();
    model.settle();
    model.unit("a.service", &single());
    model.settle();
    starts_after_the_fence(&mut model, there);
}

#[test]
fn a_machine_that_was_lost_for_long_and_came_back_for_a_moment_is_remembered() {
    let (mut model, here, there) = running("a.service");
    model.lose(here);
    model.settle();
    model.unit_as("a.service", &single(), convoy_keys::Desired::Inactive, 0);
    // Long after its units went elsewhere it is back, starts what its schedule still says, and is cut off again.
    model.advance(600 * SECOND);
    model.machine(here);
    model.obey();
    model.lose(here);
    model.settle();
    model.unit("a.service", &single());
    model.settle();
    starts_after_the_fence(&mut model, there);
}

#[test]
fn a_machine_that_says_it_has_it_does_not_get_it_while_another_one_runs_it() {
    let (mut model, here, there) = running("a.service");
    model.state("a.service", there, "failed");
    model.wish("a.service", there);
    model.settle();
    assert!(model.on("a.service").is_empty(), "it is told to stop first");
    model.live();
    assert_eq!(model.on("a.service"), [there]);
    assert!(model.entry("a.service", here).is_none());
}
