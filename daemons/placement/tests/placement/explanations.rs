//! What `explain` says, and that its remedies help.

use convoy_placement::{Accepts, Exclusion, Remedy, Standing, explain};

use crate::build::{With, machine, machines, unit};

#[test]
fn every_machine_has_the_options_that_exclude_it() {
    let mut machines =
        vec![machine("A", &[("zone", "x")]), machine("B", &[("zone", "y")]), machine("C", &[])];
    machines.push(machine("D", &[("zone", "x")]));
    machines[3].accepts = Accepts::Present;
    let units = [
        unit("web@1.service").conflicts(&["web@*.service"]).at("A"),
        unit("web@2.service").conflicts(&["web@*.service"]).metadata("zone", &["x"]),
    ];
    let explanation = explain(&machines, &units, "web@2.service");
    assert_eq!(explanation.standing, Standing::Placed("A".to_owned()));
    let cordoned = units.clone().map(|unit| unit.pinned("A"));
    let explanation = explain(&machines, &cordoned, "web@2.service");
    assert_eq!(explanation.standing, Standing::Pending);
    assert!(matches!(explanation.machines["A"].as_slice(), [Exclusion::Conflict { .. }]));
    assert!(matches!(
        explanation.machines["B"].as_slice(),
        [Exclusion::MachineId { .. }, Exclusion::Metadata { .. }]
    ));
    assert!(explanation.machines["D"].contains(&Exclusion::Cordoned));
    assert_eq!(
        explanation.to_string(),
        "web@2.service waits for a machine\n  \
         Conflicts=web@*.service: web@1.service is on A\n  \
         MachineID=A: B is another machine, C is another machine, D is another machine\n  \
         A: Conflicts=web@*.service (web@1.service is on A)\n  \
         B: MachineID=A (B is another machine); MachineMetadata=zone=x (B has zone=y)\n  \
         C: MachineID=A (C is another machine); MachineMetadata=zone=x (C has no zone)\n  \
         D: MachineID=A (D is another machine); cordoned (D takes no new units)\n  \
         what would help, any one of:\n    \
         stop web@1.service: it would go to A"
    );
}

#[test]
fn remedies_are_tried_out() {
    let two = [machine("A", &[("zone", "y")]), machine("B", &[("zone", "z")])];
    let asks = unit("a.service").metadata("zone", &["x"]);
    let remedies = explain(&two, std::slice::from_ref(&asks), "a.service").remedies;
    let metadata = |machine: &str| Remedy::AddMetadata {
        machine: machine.to_owned(),
        key: "zone".to_owned(),
        value: "x".to_owned(),
    };
    assert!(remedies.contains(&metadata("A")) && remedies.contains(&metadata("B")));
    let dropped = Remedy::DropOption {
        unit: "a.service".to_owned(),
        option: "MachineMetadata=zone".to_owned(),
        machine: "A".to_owned(),
    };
    assert!(remedies.contains(&dropped));
    let added = Remedy::AddMachine { metadata: [("zone".to_owned(), "x".to_owned())].into() };
    assert!(remedies.contains(&added));
    // Two reasons on each machine: no single option helps, another machine does.
    let units = [
        unit("b.service").pinned("A"),
        unit("c.service").pinned("B"),
        asks.conflicts(&["b.service", "c.service"]),
    ];
    assert_eq!(explain(&two, &units, "a.service").remedies, [added]);
}

#[test]
fn a_target_that_is_stopped_is_to_be_started() {
    let units = [unit("f.service").of("t.service"), unit("t.service").unwanted()];
    let explanation = explain(&machines(&["A"]), &units, "f.service");
    let started = Remedy::StartTarget { target: "t.service".to_owned(), machine: "A".to_owned() };
    assert_eq!(explanation.remedies.first(), Some(&started));
}

#[test]
fn units_that_do_not_wait_have_a_standing_too() {
    let units = [unit("a.service").unwanted(), unit("g.service").global(), unit("b.service").at("A")];
    let two = machines(&["A", "B"]);
    assert_eq!(explain(&two, &units, "a.service").standing, Standing::Inactive);
    assert_eq!(explain(&two, &units, "x.service").standing, Standing::Unknown);
    let everywhere = Standing::Global(vec!["A".to_owned(), "B".to_owned()]);
    assert_eq!(explain(&two, &units, "g.service").standing, everywhere);
    let placed = explain(&two, &units, "b.service");
    assert_eq!(placed.to_string(), "b.service is on A\n  stays where it is\n  A: it is here\n  B: would do");
}
