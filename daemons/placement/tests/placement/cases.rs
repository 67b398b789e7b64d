//! Cases with names: what each option means, one by one.

use std::collections::BTreeMap;

use convoy_placement::{Accepts, Machine, Placement, Unit, place};
use convoy_unit_files::Preference;

use crate::build::{With, machine, machines, unit};
use crate::oracle::{Oracle, after};

/// Where everybody is: `web@1=A, web@2=-`, in the order of submission, types left out.
fn whereabouts(units: &[Unit], placement: &Placement) -> String {
    let short = |unit: &Unit| {
        let machine = placement.assigned.get(&unit.name).map_or("-", String::as_str);
        let global = placement.globals.get(&unit.name);
        let global = global.map(|on| on.iter().cloned().collect::<Vec<_>>().join("+"));
        format!("{}={}", unit.name.trim_end_matches(".service"), global.as_deref().unwrap_or(machine))
    };
    units.iter().map(short).collect::<Vec<_>>().join(", ")
}

#[track_caller]
fn expect(machines: &[Machine], units: &[Unit], expected: &str) -> Placement {
    let placement = place(machines, units);
    Oracle { machines, units }.check(&placement);
    assert_eq!(whereabouts(units, &placement), expected, "{placement:#?}");
    let settled = after(units, &placement);
    let again = place(machines, &settled);
    assert_eq!(whereabouts(units, &again), expected, "a second pass: {again:#?}");
    placement
}

#[test]
fn least_loaded_first_and_ties_by_id() {
    let units: Vec<Unit> = ["a", "b", "c", "d"].map(|name| unit(&format!("{name}.service"))).into();
    expect(&machines(&["B", "C", "A"]), &units, "a=A, b=B, c=C, d=A");
}

#[test]
fn who_runs_counts_and_stays_however_uneven_the_load_is() {
    let at = |name: &str| unit(name).at("A");
    let units = [at("a.service"), at("b.service"), at("c.service"), unit("d.service"), unit("e.service")];
    expect(&machines(&["A", "B"]), &units, "a=A, b=A, c=A, d=B, e=B");
}

#[test]
fn the_grid_of_three_by_three_that_fleet_never_solved() {
    // Each unit conflicts with its siblings and with its opposite numbers.
    let mut units = Vec::new();
    for row in ["a", "b", "c"] {
        for column in 1..=3 {
            let globs = [format!("{row}@*.service"), format!("*@{column}.service")];
            let globs: Vec<&str> = globs.iter().map(String::as_str).collect();
            units.push(unit(&format!("{row}@{column}.service")).conflicts(&globs));
        }
    }
    let machines = machines(&["A", "B", "C"]);
    assert!(place(&machines, &units).pending.is_empty());
    // Half of it placed in a way that can still be completed, and in ways that can't without moves.
    for (first, fifth) in [("A", "B"), ("A", "A"), ("A", "C"), ("B", "A")] {
        units[0].current = Some(first.to_owned());
        units[4].current = Some(fifth.to_owned());
        units[8].current = Some("C".to_owned());
        let placement = place(&machines, &units);
        Oracle { machines: &machines, units: &units }.check(&placement);
        assert!(placement.pending.is_empty());
    }
}

#[test]
fn a_pinned_unit_is_only_on_its_machine() {
    let long = machine("0123456789abcdef", &[]);
    let machines = [long, machine("A", &[]), machine("01234567", &[])];
    let full = unit("a.service").pinned("0123456789abcdef");
    expect(&machines, std::slice::from_ref(&full), "a=0123456789abcdef");
    expect(&machines[..2], &[unit("a.service").pinned("01234567")], "a=0123456789abcdef");
    expect(&machines[..2], &[unit("a.service").pinned("0123456")], "a=-");
    expect(&machines, &[unit("a.service").pinned("B")], "a=-");
}

#[test]
fn metadata_is_any_value_of_each_key() {
    let machines = [
        machine("A", &[("zone", "x"), ("disk", "hdd")]),
        machine("B", &[("zone", "y"), ("disk", "ssd")]),
        machine("C", &[("disk", "ssd")]),
    ];
    let asks = |key: &str, values: &[&str]| unit("a.service").metadata(key, values);
    expect(&machines, &[asks("zone", &["y", "z"])], "a=B");
    expect(&machines, &[asks("disk", &["ssd"]).metadata("zone", &["x", "y"])], "a=B");
    let placement = expect(&machines, &[asks("zone", &["w"])], "a=-");
    let reasons: Vec<String> = placement.reasons("a.service").iter().map(ToString::to_string).collect();
    assert_eq!(reasons, ["MachineMetadata=zone=w: A has zone=x, B has zone=y, C has no zone"]);
    // Metadata that changed under a running unit.
    let placement = expect(&machines, &[asks("disk", &["ssd"]).at("A")], "a=B");
    let reasons: Vec<String> = placement.reasons("a.service").iter().map(ToString::to_string).collect();
    assert_eq!(reasons[0], "moved from A: MachineMetadata=disk=ssd: A has disk=hdd");
}

#[test]
fn a_follower_goes_where_its_target_is_and_moves_after_it() {
    let two = machines(&["A", "B"]);
    expect(&two, &[unit("f.service").of("t.service"), unit("t.service").at("B")], "f=B, t=B");
    expect(&two, &[unit("f.service").of("t.service").at("A"), unit("t.service").at("B")], "f=B, t=B");
    let chain = [unit("c.service").of("b.service"), unit("b.service").of("a.service"), unit("a.service")];
    expect(&two, &chain, "c=A, b=A, a=A");
}

#[test]
fn a_target_without_a_machine_goes_where_its_running_followers_are() {
    let two = machines(&["A", "B"]);
    let three = machines(&["A", "B", "C"]);
    expect(&two, &[unit("t.service"), unit("f.service").of("t.service").at("B")], "t=B, f=B");
    expect(&two, &[unit("t.service").at("Z"), unit("f.service").of("t.service").at("B")], "t=B, f=B");
    let chain =
        [unit("c.service").of("b.service").at("C"), unit("b.service").of("a.service"), unit("a.service")];
    expect(&three, &chain, "c=C, b=C, a=C");
    // It has to move, so it joins them; who runs where it may stay doesn't.
    let zoned = [machine("A", &[]), machine("B", &[]), machine("C", &[("zone", "x")])];
    let pushed = [
        unit("x.service").metadata("zone", &["x"]).conflicts(&["t.service"]).at("C"),
        unit("t.service").at("C"),
        unit("f.service").of("t.service").at("B"),
    ];
    expect(&zoned, &pushed, "x=C, t=B, f=B");
}

#[test]
fn a_follower_waits_for_a_target_that_is_nowhere() {
    let two = machines(&["A", "B"]);
    let reason =
        |units: &[Unit], expected: &str| expect(&two, units, expected).reasons("f.service")[0].to_string();
    let follower = unit("f.service").of("t.service");
    assert_eq!(reason(std::slice::from_ref(&follower), "f=-"), "MachineOf=t.service: there is no such unit");
    let inactive = [follower.clone(), unit("t.service").unwanted()];
    assert_eq!(reason(&inactive, "f=-, t=-"), "MachineOf=t.service: that unit is inactive");
    let pending = [follower.clone(), unit("t.service").pinned("C")];
    assert_eq!(reason(&pending, "f=-, t=-"), "MachineOf=t.service: that unit waits for a machine itself");
    let own = unit("f.service").of("f.service");
    assert_eq!(reason(&[own], "f=-"), "MachineOf=f.service: that is the unit itself");
    let apart = [follower.metadata("zone", &["x"]), unit("t.service")];
    assert_eq!(reason(&apart, "f=-, t=A"), "MachineMetadata=zone=x: A has no zone, B has no zone");
}

#[test]
fn a_group_prefers_the_machine_that_takes_all_of_it() {
    let machines = [machine("A", &[]), machine("B", &[("zone", "x")])];
    let follower = unit("f.service").of("t.service").metadata("zone", &["x"]);
    expect(&machines, &[unit("t.service"), follower.clone()], "t=B, f=B");
    // It even moves for that, as a whole.
    expect(&machines, &[unit("t.service").at("A"), follower.clone()], "t=B, f=B");
    let both = [unit("t.service").at("A"), unit("g.service").of("t.service").at("A"), follower];
    expect(&machines, &both, "t=B, g=B, f=B");
}

#[test]
fn a_circle_of_machine_of_is_placed_whole_or_not_at_all() {
    let machines = [machine("A", &[]), machine("B", &[("zone", "x")])];
    let one = unit("a.service").of("b.service");
    let other = unit("b.service").of("a.service");
    expect(&machines, &[one.clone(), other.clone().metadata("zone", &["x"])], "a=B, b=B");
    expect(&machines, &[one, other.metadata("zone", &["y"])], "a=-, b=-");
}

#[test]
fn ties_hold_where_both_are_placed() {
    let two = machines(&["A", "B"]);
    let units = [unit("x.service").at("A"), unit("a.service").tied("b.service"), unit("b.service").at("A")];
    expect(&two, &units, "x=A, a=A, b=A");
    expect(&two, &[unit("a.service").tied("b.service"), unit("b.service").unwanted()], "a=A, b=-");
}

#[test]
fn conflicts_hold_in_both_directions_and_never_with_itself() {
    let two = machines(&["A", "B"]);
    let template = |name: &str| unit(name).conflicts(&["web@*.service"]);
    let units = [template("web@1.service"), template("web@2.service"), template("web@3.service")];
    let placement = expect(&two, &units, "web@1=A, web@2=B, web@3=-");
    let reason = placement.reasons("web@3.service")[0].to_string();
    assert_eq!(reason, "Conflicts=web@*.service: web@1.service is on A, web@2.service is on B");
    expect(&two, &[unit("a.service").conflicts(&["b.service"]), unit("b.service")], "a=A, b=B");
    expect(&two, &[unit("b.service"), unit("a.service").conflicts(&["b.service"])], "b=A, a=B");
    // After an edit: the later one leaves.
    let edited = [unit("a.service").at("A"), unit("b.service").conflicts(&["a.service"]).at("A")];
    expect(&two, &edited, "a=A, b=B");
    // One that is inactive blocks nobody.
    expect(&two, &[unit("a.service").unwanted().conflicts(&["*"]), unit("b.service")], "a=-, b=A");
}

#[test]
fn who_runs_is_never_put_out_for_somebody_new() {
    let one = machines(&["A"]);
    let units = [
        unit("new1.service").conflicts(&["old.service"]),
        unit("new2.service").conflicts(&["old.service"]),
        unit("old.service").at("A"),
    ];
    expect(&one, &units, "new1=-, new2=-, old=A");
}

#[test]
fn a_global_is_everywhere_except_where_older_rights_are() {
    let machines = [machine("A", &[("zone", "x")]), machine("B", &[("zone", "x")]), machine("C", &[])];
    let global = unit("g.service").global().metadata("zone", &["x"]);
    expect(&machines, std::slice::from_ref(&global), "g=A+B");
    let conflicting = global.clone().conflicts(&["u.service"]);
    let user = unit("u.service").metadata("zone", &["x"]);
    expect(&machines, &[user.clone(), conflicting.clone()], "u=A, g=B");
    expect(&machines, &[conflicting.clone(), user.clone().at("B")], "g=A, u=B");
    expect(&machines, &[conflicting.clone(), user.clone()], "g=A+B, u=-");
    expect(&machines, &[conflicting.unwanted(), user.clone()], "g=-, u=A");
    // A follower of a global goes where the global runs.
    expect(
        &machines,
        &[unit("f.service").of("g.service"), global.clone(), unit("x.service").at("A")],
        "f=B, g=A+B, x=A",
    );
    // Globals count towards the load.
    expect(
        &machines,
        &[global, unit("a.service"), unit("b.service"), unit("c.service")],
        "g=A+B, a=C, b=A, c=B",
    );
    let nowhere = place(&machines, &[unit("g.service").global().metadata("zone", &["y"])]);
    assert!(nowhere.pending.is_empty() && nowhere.warnings.contains_key("g.service"));
}

#[test]
fn a_unit_that_replaces_another_takes_its_place() {
    let two = machines(&["A", "B"]);
    let old = unit("old.service").at("A");
    let new = unit("new.service").replaces("old.service");
    let placement = expect(&two, &[old.clone(), new.clone()], "old=B, new=A");
    assert_eq!(placement.moved().collect::<Vec<_>>(), [("old.service", "A")]);
    // The replaced one can't go elsewhere: then the new one does, or waits.
    expect(&two, &[old.clone().pinned("A"), new.clone()], "old=A, new=B");
    expect(&two[..1], &[old.clone(), new.clone()], "old=A, new=-");
    // The place does not suit the new one.
    expect(&two, &[old.clone(), new.clone().pinned("B")], "old=A, new=B");
    // Both there already, after an edit.
    expect(&two, &[old, new.at("A")], "old=B, new=A");
}

#[test]
fn machines_that_are_cordoned_keep_what_they_have_and_drained_ones_nothing() {
    let mut machines = machines(&["A", "B"]);
    machines[0].accepts = Accepts::Present;
    let units = [unit("a.service").at("A"), unit("b.service"), unit("c.service")];
    expect(&machines, &units, "a=A, b=B, c=B");
    machines[0].accepts = Accepts::Nothing;
    expect(&machines, &units, "a=B, b=B, c=B");
    machines[1].accepts = Accepts::Nothing;
    expect(&machines, &units, "a=-, b=-, c=-");
}

#[test]
fn a_wish_is_obeyed_if_nobody_else_has_to_move() {
    let two = machines(&["A", "B"]);
    let wisher = unit("a.service").at("A").wish("B");
    expect(&two, std::slice::from_ref(&wisher), "a=B");
    let follower = unit("f.service").of("a.service").at("A");
    expect(&two, &[wisher.clone(), follower], "a=B, f=B");
    let rival = unit("r.service").conflicts(&["a.service"]).at("B");
    let placement = place(&two, &[wisher.clone(), rival]);
    assert_eq!(placement.assigned["a.service"], "A");
    let mut cordoned = machines(&["A", "B"]);
    cordoned[1].accepts = Accepts::Present;
    assert_eq!(place(&cordoned, &[wisher]).assigned["a.service"], "A");
}

#[test]
fn a_unit_leaves_where_it_failed_if_it_can() {
    let two = machines(&["A", "B"]);
    expect(&two, &[unit("a.service").at("A").avoid(&["A"])], "a=B");
    expect(&two, &[unit("a.service").at("A").avoid(&["A", "B"])], "a=A");
    expect(&two, &[unit("a.service").at("A").avoid(&["A"]).pinned("A")], "a=A");
    let group = [unit("a.service").at("A").avoid(&["A"]), unit("f.service").of("a.service").at("A")];
    expect(&two, &group, "a=B, f=B");
}

#[test]
fn room_is_a_wish_unless_it_is_required() {
    let mut two = machines(&["A", "B"]);
    for machine in &mut two {
        machine.capacity.memory = Some(10);
    }
    let big = |name: &str, required| unit(name).memory(8, required);
    let units = [unit("x.service").at("B"), big("a.service", false), big("b.service", false)];
    expect(&two, &units, "x=B, a=A, b=B");
    let soft = [big("a.service", false), big("b.service", false), big("c.service", false)];
    expect(&two, &soft, "a=A, b=B, c=A");
    let hard = [big("a.service", true), big("b.service", true), big("c.service", true)];
    let placement = expect(&two, &hard, "a=A, b=B, c=-");
    let reason = placement.reasons("c.service")[0].to_string();
    assert_eq!(
        reason,
        "RequireCapacity=yes: A lacks memory (8 bytes asked for, 2 free), B lacks memory (8 bytes asked for, 2 free)"
    );
    // A unit without the option is not kept out by those that have it.
    expect(&two, &[big("a.service", true).at("A"), big("b.service", false).pinned("A")], "a=A, b=A");
}

#[test]
fn instances_are_spread_over_the_values_of_a_key() {
    let zones =
        [("A", "x"), ("B", "x"), ("C", "x"), ("D", "y")].map(|(id, zone)| machine(id, &[("zone", zone)]));
    let instance = |number: usize| {
        let mut unit = unit(&format!("web@{number}.service"));
        unit.rules.spread = vec!["zone".to_owned()];
        unit
    };
    let units: Vec<Unit> = (1..=4).map(instance).collect();
    expect(&zones, &units, "web@1=A, web@2=D, web@3=B, web@4=D");
}

#[test]
fn preferred_metadata_outweighs_load_up_to_its_weight() {
    let machines = [machine("A", &[]), machine("B", &[("disk", "ssd")])];
    let prefers = |name: &str, weight| {
        let mut unit = unit(name);
        unit.rules.prefer = vec![Preference { key: "disk".to_owned(), value: "ssd".to_owned(), weight }];
        unit
    };
    let units =
        [prefers("a.service", 2), prefers("b.service", 2), prefers("c.service", 2), prefers("d.service", 2)];
    expect(&machines, &units, "a=B, b=B, c=A, d=B");
    expect(&machines, &[unit("x.service").at("A"), prefers("a.service", -2)], "x=A, a=A");
}

#[test]
fn a_weight_counts_as_that_many_units() {
    let mut heavy = unit("heavy.service");
    heavy.rules.weight = Some(3);
    let units = [heavy, unit("a.service"), unit("b.service"), unit("c.service"), unit("d.service")];
    expect(&machines(&["A", "B"]), &units, "heavy=A, a=B, b=B, c=B, d=A");
}

#[test]
fn one_has_to_move_so_that_another_finds_a_place() {
    let machines = [machine("A", &[("zone", "x")]), machine("B", &[])];
    let units = [
        unit("old.service").at("A"),
        unit("new.service").conflicts(&["old.service"]).metadata("zone", &["x"]),
    ];
    let placement = expect(&machines, &units, "old=B, new=A");
    let why: BTreeMap<&str, &str> = placement.moved().collect();
    assert_eq!(why, BTreeMap::from([("old.service", "A")]));
}

#[test]
fn nothing_in_and_nothing_out() {
    assert_eq!(place(&[], &[]), Placement::default());
    let placement = expect(&[], &[unit("a.service"), unit("g.service").global()], "a=-, g=");
    assert_eq!(placement.reasons("a.service")[0].to_string(), "there is no machine");
}
