use std::time::{Duration, Instant};

use convoy_unit_files::{Definition, Strictness, ties};

use crate::read;

/// Checks units given as name and text; returns who is rejected because of whom.
fn rejected(units: &[(&str, &str)]) -> Vec<String> {
    let units: Vec<Definition> =
        units.iter().map(|(name, text)| read(name, text, Strictness::Compatible).unwrap()).collect();
    let units: Vec<&Definition> = units.iter().collect();
    ties::check(&units, Strictness::Strict)
        .into_iter()
        .map(|(name, problem)| format!("{name} {problem}"))
        .collect()
}

const MAIN: (&str, &str) = ("main@1.service", "");

#[test]
fn a_tie_needs_machine_of() {
    for option in ["BindsTo", "Requires", "BindTo"] {
        let text = format!("[Unit]\nAfter=main@%i.service\n{option}=main@%i.service\n");
        let found = rejected(&[MAIN, ("side@1.service", &text)]);
        let option = option.replace("BindTo", "BindsTo");
        assert_eq!(
            found,
            [format!(
                "side@1.service side@1.service:3: {option}: nothing keeps the unit on the machine of main@1.service; \
                 add [X-Fleet] MachineOf=main@1.service"
            )]
        );
        let text = format!("{text}[X-Fleet]\nMachineOf=main@%i.service\n");
        assert_eq!(rejected(&[MAIN, ("side@1.service", &text)]), [""; 0]);
    }
}

#[test]
fn only_ties_to_units_of_the_set_count() {
    let side = ("side@1.service", "[Unit]\nBindsTo=main@%i.service docker.service\n");
    assert_eq!(rejected(&[side]), [""; 0]);
    assert_eq!(rejected(&[side, ("main@.service", ""), ("main@2.service", "")]), [""; 0]);
    assert_eq!(
        rejected(&[("side@.service", side.1), ("main@%i.service".replace("%i", "1").as_str(), "")]),
        [""; 0]
    );
    assert_eq!(
        rejected(&[MAIN, ("side@1.service", "[Unit]\nWants=main@1.service\nPartOf=main@1.service\n")]),
        [""; 0]
    );
}

#[test]
fn either_direction_and_any_chain_will_do() {
    let side = "[Unit]\nBindsTo=main@1.service\n";
    // The other one follows.
    assert_eq!(
        rejected(&[("main@1.service", "[X-Fleet]\nMachineOf=side@1.service"), ("side@1.service", side)]),
        [""; 0]
    );
    // Both follow a third one.
    let third = ("c.service", "");
    let follows = "[X-Fleet]\nMachineOf=c.service\n";
    assert_eq!(
        rejected(&[third, ("main@1.service", follows), ("side@1.service", &format!("{side}{follows}"))]),
        [""; 0]
    );
    // A chain through others.
    assert_eq!(
        rejected(&[
            MAIN,
            ("b.service", "[X-Fleet]\nMachineOf=main@1.service"),
            ("c.service", "[X-Fleet]\nMachineOf=b.service"),
            ("side@1.service", &format!("{side}{follows}")),
        ]),
        [""; 0]
    );
    // It may be submitted later.
    assert_eq!(
        rejected(&[("main@1.service", follows), ("side@1.service", &format!("{side}{follows}"))]),
        [""; 0]
    );
}

#[test]
fn a_unit_that_is_named_twice_is_one_unit() {
    let side = ("side@1.service", "[Unit]\nBindsTo=main@1.service\n[X-Fleet]\nMachineOf=main@1.service\n");
    assert_eq!(rejected(&[side, side, MAIN, MAIN]), [""; 0]);
    let elsewhere = ("other.service", "[X-Fleet]\nMachineOf=missing.service\n");
    let untied = ("side@1.service", "[Unit]\nBindsTo=main@1.service\n");
    assert_eq!(rejected(&[untied, MAIN, MAIN, elsewhere]).len(), 1);
}

#[test]
fn global_units() {
    let global = "[X-Fleet]\nGlobal=true\n";
    let side = "[Unit]\nBindsTo=main@1.service\n";
    let follows = format!("{side}[X-Fleet]\nMachineOf=main@1.service\n");
    let main = ("main@1.service", global);
    // Both are everywhere.
    assert_eq!(rejected(&[main, ("side@1.service", &format!("{side}{global}"))]), [""; 0]);
    // One goes where the global one runs.
    assert_eq!(rejected(&[main, ("side@1.service", &follows)]), [""; 0]);
    assert_eq!(rejected(&[main, ("side@1.service", side)]).len(), 1);
    // A global one is also where the other isn't.
    let found = rejected(&[MAIN, ("side@1.service", &format!("{side}{global}"))]);
    assert!(found[0].contains("make main@1.service global too"), "{found:?}");
    // Two that follow the same global one may be on two machines.
    let of_global = "[X-Fleet]\nMachineOf=g.service\n";
    assert_eq!(
        rejected(&[
            ("g.service", global),
            ("main@1.service", of_global),
            ("side@1.service", &format!("{side}{of_global}")),
        ])
        .len(),
        1
    );
}

#[test]
fn the_same_pin_is_the_same_machine() {
    let side = "[Unit]\nBindsTo=main@1.service\n[X-Fleet]\nMachineID=0123456789abcdef\n";
    for (id, expected) in [("0123456789abcdef", 0), ("01234567", 0), ("0123456", 1), ("other", 1)] {
        let main = format!("[X-Fleet]\nMachineID={id}\n");
        assert_eq!(rejected(&[("main@1.service", &main), ("side@1.service", side)]).len(), expected, "{id}");
    }
}

#[test]
fn it_takes_time_in_proportion() {
    let mut units = Vec::new();
    for index in 0..20_000 {
        let text = format!(
            "[Unit]\nBindsTo=app@{}.service\n[X-Fleet]\nMachineOf=app@{}.service\n",
            index / 2,
            (index + 1) % 20_000
        );
        units.push(read(&format!("app@{index}.service"), &text, Strictness::Compatible).unwrap());
    }
    let units: Vec<&Definition> = units.iter().collect();
    let begin = Instant::now();
    assert_eq!(ties::check(&units, Strictness::Strict), []);
    assert!(begin.elapsed() < Duration::from_secs(5));
}
