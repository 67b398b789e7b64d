//! Machines that vanish: one, many at once, for a reboot.

use std::time::Duration;

use convoy_keys::{FREEZE, FreezeRecord, MachineRecord, MaintenanceMode, RESUME, Record};
use convoy_scheduler::{Cause, Event};

use crate::model::{Model, text};

const PLAIN: &str = "[Service]\nExecStart=/bin/true\n";
const SECOND: Duration = Duration::from_secs(1);

/// Machines with two units each.
fn fleet(machines: &[&str]) -> Model {
    let mut model = Model::new(machines);
    for number in 0..2 * machines.len() {
        model.unit(&format!("a@{number}.service"), PLAIN);
    }
    model.live();
    model
}

fn units_on(model: &Model, machine: &str) -> usize {
    (0..20).filter(|number| model.on(&format!("a@{number}.service")) == [machine]).count()
}

#[test]
fn one_machines_units_move_in_one_transaction() {
    let mut model = fleet(&["m1", "m2", "m3", "m4"]);
    model.lose("m2");
    let step = model.pass();
    assert_eq!(step.batches.len(), 1);
    assert_eq!(step.batches[0].writes.len(), 4, "two entries away and two new ones: {:?}", step.batches);
    assert_eq!(step.batches[0].absent, ["/convoy/machines/m2"], "whoever is back in that moment keeps them");
    assert!(model.events.iter().any(|event| matches!(event, Event::MachineLost { units: 2, .. })));
    let moved = |event: &&Event| matches!(event, Event::Moved { cause: Cause::MachineLost, .. });
    assert_eq!(model.events.iter().filter(moved).count(), 2, "{:?}", model.events);
    assert_eq!(units_on(&model, "m2"), 0);
    assert!(model.settle().is_empty(), "and that is all");
    model.advance(7 * SECOND);
    model.machine("m2");
    let events = model.settle();
    assert!(
        matches!(events.as_slice(), [Event::MachineBack { away, .. }] if *away == 7 * SECOND),
        "nothing is moved for balance: {events:?}"
    );
}

#[test]
fn who_fits_nowhere_else_waits_for_its_machine() {
    let mut model = Model::new(&["m1", "m2"]);
    model.unit("a.service", &text("MachineID=m1", ""));
    model.live();
    model.lose("m1");
    model.settle();
    assert_eq!(model.on("a.service"), ["m1"], "a machine that comes back has it");
    assert_eq!(model.summary.pending.len(), 1);
    model.machine("m1");
    model.settle();
    assert!(model.summary.pending.is_empty());
}

#[test]
fn many_at_once_freeze_moves_and_new_units_are_placed_all_the_same() {
    let mut model = fleet(&["m1", "m2", "m3", "m4"]);
    model.lose("m1");
    model.lose("m2");
    let events = model.settle();
    assert!(events.iter().any(|event| matches!(event, Event::FreezeBegins { known: 4, .. })), "{events:?}");
    let record = FreezeRecord::parse(&model.entries[FREEZE].value).unwrap();
    assert_eq!((record.absent.len(), record.until - record.since), (2, 600));
    assert_eq!((units_on(&model, "m1"), units_on(&model, "m2")), (2, 2));
    model.unit("new.service", PLAIN);
    model.settle();
    assert!(["m3", "m4"].contains(&model.on("new.service")[0].as_str()));
    // A unit that is there is not moved either way when its machine is drained meanwhile: that is another matter.
    model.advance(300 * SECOND);
    assert!(model.settle().is_empty());
    assert_eq!(model.summary.frozen.len(), 2);
}

#[test]
fn a_freeze_ends_with_the_machines_return_with_time_or_with_a_word() {
    for (name, end) in [
        (
            "one returns",
            (|model: &mut Model| {
                model.machine("m1");
                model.settle();
                model.advance(9 * SECOND);
                model.settle();
                assert_eq!(units_on(model, "m2"), 2, "the other one may be on the way");
                model.advance(SECOND);
            }) as fn(&mut Model),
        ),
        ("time", |model: &mut Model| model.advance(600 * SECOND)),
        ("a word", |model: &mut Model| model.put(RESUME, b"")),
    ] {
        let mut model = fleet(&["m1", "m2", "m3", "m4"]);
        model.lose("m1");
        model.lose("m2");
        model.settle();
        end(&mut model);
        let events = model.settle();
        assert!(events.iter().any(|event| matches!(event, Event::FreezeEnds { .. })), "{name}: {events:?}");
        assert_eq!(units_on(&model, "m2"), 0, "{name}");
        assert_eq!(units_on(&model, "m1") >= 2, name == "one returns", "{name}");
        assert!(!model.entries.contains_key(FREEZE) && !model.entries.contains_key(RESUME), "{name}");
        model.advance(SECOND);
        assert!(model.settle().is_empty(), "{name}: it does not begin again");
    }
}

#[test]
fn when_all_are_back_nothing_has_moved() {
    let mut model = fleet(&["m1", "m2", "m3", "m4"]);
    model.lose("m1");
    model.lose("m2");
    model.settle();
    model.advance(30 * SECOND);
    model.machine("m1");
    model.settle();
    model.advance(5 * SECOND);
    model.machine("m2");
    let events = model.settle();
    assert!(events.iter().any(|event| matches!(event, Event::FreezeEnds { .. })), "{events:?}");
    assert!(["m1", "m2", "m3", "m4"].iter().all(|machine| units_on(&model, machine) == 2));
    assert!(model.summary.frozen.is_empty() && !model.entries.contains_key(FREEZE));
}

#[test]
fn what_is_many() {
    for (machines, lost, is_frozen) in [
        (&["m1", "m2"][..], &["m1"][..], false),
        (&["m1", "m2", "m3"], &["m1"], false),
        (&["m1", "m2", "m3"], &["m1", "m2"], true),
        (&["m1", "m2", "m3", "m4"], &["m1", "m2"], true),
        (&["m1", "m2", "m3", "m4", "m5"], &["m1", "m2"], false),
        (&["m1", "m2"], &["m1", "m2"], true),
    ] {
        let mut model = fleet(machines);
        for machine in lost {
            model.lose(machine);
        }
        model.settle();
        assert_eq!(!model.summary.frozen.is_empty(), is_frozen, "{lost:?} of {machines:?}");
    }
}

#[test]
fn one_after_another_is_not_at_once() {
    let mut model = fleet(&["m1", "m2", "m3", "m4"]);
    model.lose("m1");
    model.live();
    model.advance(11 * SECOND);
    model.lose("m2");
    model.settle();
    assert!(model.summary.frozen.is_empty());
    assert_eq!(units_on(&model, "m2"), 0);
}

#[test]
fn a_machine_without_units_leaves_no_gap() {
    let mut model = fleet(&["m1", "m2", "m3"]);
    model.machine("m4");
    model.live();
    model.lose("m4");
    model.settle();
    model.lose("m1");
    model.settle();
    assert!(model.summary.frozen.is_empty());
    assert_eq!(units_on(&model, "m1"), 0);
}

#[test]
fn leases_that_waver_hold_the_first_loss_back_until_it_is_clear() {
    let mut model = fleet(&["m1", "m2", "m3", "m4"]);
    model.lose("m1");
    model.wavering = Some(vec!["m2".to_owned()]);
    let step = model.pass();
    assert_eq!(units_on(&model, "m1"), 2, "the other one may follow");
    assert!(step.again.is_some());
    // It follows: a freeze.
    model.advance(SECOND);
    model.lose("m2");
    model.wavering = Some(Vec::new());
    model.settle();
    assert_eq!((units_on(&model, "m1"), units_on(&model, "m2")), (2, 2));
    assert_eq!(model.summary.frozen.len(), 2);

    // It renews its lease after all: a lone loss.
    let mut model = fleet(&["m1", "m2", "m3", "m4"]);
    model.lose("m1");
    model.wavering = Some(vec!["m2".to_owned()]);
    model.settle();
    assert_eq!(units_on(&model, "m1"), 2);
    model.wavering = Some(Vec::new());
    model.settle();
    assert_eq!(units_on(&model, "m1"), 0);

    // Nobody can say: not for longer than a lease lasts.
    let mut model = fleet(&["m1", "m2", "m3", "m4"]);
    model.lose("m1");
    model.wavering = Some(vec!["m2".to_owned()]);
    model.settle();
    model.wavering = None;
    model.advance(6 * SECOND);
    model.settle();
    assert_eq!(units_on(&model, "m1"), 0);
}

#[test]
fn a_new_leader_freezes_what_it_finds_missing() {
    let mut model = fleet(&["m1", "m2", "m3", "m4"]);
    model.lose("m1");
    model.lose("m2");
    model.new_leader();
    model.settle();
    assert_eq!(model.summary.frozen.len(), 2);
    assert_eq!(units_on(&model, "m1"), 2);
}

#[test]
fn a_new_leader_does_not_wait_for_the_machine_that_the_old_one_died_with() {
    let mut model = fleet(&["m1", "m2", "m3", "m4"]);
    model.lose("m1");
    model.new_leader();
    model.pass();
    assert_eq!(units_on(&model, "m1"), 0, "at the first look");
}

#[test]
fn a_freeze_outlives_its_leader() {
    // After how many seconds another one leads, who is back by then, and whether moves are frozen under it, too.
    for (after, back, is_frozen) in [
        (30, &[][..], true),
        (30, &["m1"], true),
        (30, &["m1", "m2"], false),
        (599, &[], true),
        (600, &[], false),
        (609, &[], false),
        // Nobody led for long: all of it begins anew.
        (3600, &[], true),
    ] {
        let mut model = fleet(&["m1", "m2", "m3", "m4"]);
        model.lose("m1");
        model.lose("m2");
        model.settle();
        let record = model.entries[FREEZE].clone();
        model.advance(after * SECOND);
        for machine in back {
            model.machine(machine);
        }
        model.new_leader();
        model.settle();
        let case = format!("{back:?} after {after} s");
        assert_eq!(!model.summary.frozen.is_empty(), is_frozen, "{case}");
        assert_eq!(model.entries.contains_key(FREEZE), is_frozen, "{case}");
        assert_eq!(units_on(&model, "m2") == 2, is_frozen || back.contains(&"m2"), "{case}");
        if is_frozen && back.is_empty() && after < 600 {
            assert_eq!(model.entries[FREEZE], record, "{case}: it is the same one");
            model.advance((600 - after) * SECOND);
            model.settle();
            assert_eq!((units_on(&model, "m1"), units_on(&model, "m2")), (0, 0), "{case}: it ends in time");
        }
        if is_frozen && !back.is_empty() {
            model.advance(Duration::from_millis(9_999));
            model.settle();
            assert_eq!(units_on(&model, "m2"), 2, "{case}: it may be on the way");
            model.advance(Duration::from_millis(1));
            model.settle();
            assert_eq!(units_on(&model, "m2"), 0, "{case}");
            assert!(!model.entries.contains_key(FREEZE), "{case}");
        }
    }
}

#[test]
fn a_freeze_ends_by_a_word_though_its_leader_is_gone() {
    let mut model = fleet(&["m1", "m2", "m3", "m4"]);
    model.lose("m1");
    model.lose("m2");
    model.settle();
    model.put(RESUME, b"");
    model.new_leader();
    model.settle();
    assert_eq!((units_on(&model, "m1"), units_on(&model, "m2")), (0, 0));
    assert!(!model.entries.contains_key(FREEZE) && !model.entries.contains_key(RESUME));
}

#[test]
fn a_freeze_record_that_makes_no_sense_does_no_harm() {
    for (value, is_frozen) in [
        (&b"rubbish"[..], false),
        (b"{\"since\":5,\"absent\":[],\"until\":18446744073709551615}", false),
        (b"{\"since\":5,\"absent\":[\"m1\",\"m9\"],\"until\":18446744073709551615}", true),
    ] {
        let mut model = fleet(&["m1", "m2", "m3", "m4"]);
        model.lose("m1");
        model.put(FREEZE, value);
        model.new_leader();
        model.settle();
        let case = String::from_utf8_lossy(value).into_owned();
        if is_frozen {
            assert_eq!(units_on(&model, "m1"), 2, "{case}");
            let record = FreezeRecord::parse(&model.entries[FREEZE].value).unwrap();
            assert_eq!(record.until, model.now.unix + 600, "{case}: for no longer than any other");
            model.advance(600 * SECOND);
            model.settle();
        }
        model.advance(10 * SECOND);
        model.settle();
        assert_eq!(units_on(&model, "m1"), 0, "{case}");
        assert!(!model.entries.contains_key(FREEZE), "{case}");
    }
}

#[test]
fn who_removes_the_record_ends_no_freeze() {
    let mut model = fleet(&["m1", "m2", "m3", "m4"]);
    model.lose("m1");
    model.lose("m2");
    model.settle();
    let record = model.entries[FREEZE].value.clone();
    model.delete(FREEZE);
    model.settle();
    assert_eq!(model.entries[FREEZE].value, record);
    assert_eq!(units_on(&model, "m1"), 2);
}

#[test]
fn a_store_that_lost_all_leases_gives_machines_time_to_return() {
    let mut model = fleet(&["m1", "m2", "m3", "m4"]);
    for id in ["m1", "m2", "m3", "m4"] {
        model.lose(id);
    }
    // Three of four have announced themselves anew when somebody leads again.
    for id in ["m1", "m2", "m3"] {
        model.machine(id);
    }
    model.new_leader();
    model.settle();
    assert_eq!(units_on(&model, "m4"), 2);
    model.advance(4 * SECOND);
    model.machine("m4");
    model.settle();
    assert_eq!(units_on(&model, "m4"), 2);
}

#[test]
fn an_announced_reboot_is_waited_for() {
    let mut model = fleet(&["m1", "m2", "m3", "m4"]);
    model.maintain("m1", MaintenanceMode::Reboot, Some(model.now.unix + 120));
    model.unit("new.service", PLAIN);
    model.settle();
    assert_ne!(model.on("new.service"), ["m1"], "nothing comes to a machine that goes");
    model.lose("m1");
    let step = model.pass();
    assert_eq!(units_on(&model, "m1"), 2);
    assert_eq!(step.again, Some(model.now.monotonic + 120 * SECOND));
    // Another machine is lost meanwhile: that is one, not two.
    model.advance(SECOND);
    model.lose("m2");
    model.settle();
    assert_eq!((units_on(&model, "m1"), units_on(&model, "m2")), (2, 0));
    // Back with another boot: the announcement has done its work.
    let record = MachineRecord { name: "m1".into(), boot_id: "b2".into(), ..MachineRecord::default() };
    model.machine_as("m1", &record);
    model.settle();
    assert!(!model.entries.contains_key("/convoy/maintenance/m1"));
    assert_eq!(units_on(&model, "m1"), 2);
}

#[test]
fn a_reboot_that_takes_too_long_is_a_loss() {
    let mut model = fleet(&["m1", "m2", "m3"]);
    model.maintain("m1", MaintenanceMode::Reboot, Some(model.now.unix + 120));
    model.settle();
    model.lose("m1");
    model.settle();
    model.advance(119 * SECOND);
    model.settle();
    assert_eq!(units_on(&model, "m1"), 2);
    model.advance(SECOND);
    model.settle();
    assert_eq!(units_on(&model, "m1"), 0);
}

#[test]
fn a_reboot_is_not_over_before_it_began() {
    let mut model = fleet(&["m1", "m2"]);
    model.maintain("m1", MaintenanceMode::Reboot, None);
    model.settle();
    assert!(model.entries.contains_key("/convoy/maintenance/m1"), "the same boot is still there");
    model.new_leader();
    model.settle();
    assert!(model.entries.contains_key("/convoy/maintenance/m1"));
    model.advance(601 * SECOND);
    model.settle();
    assert!(!model.entries.contains_key("/convoy/maintenance/m1"), "its time is over");
}
