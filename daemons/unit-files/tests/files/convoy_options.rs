use std::time::Duration;

use convoy_unit_files::{CutOff, Definition, Preference, Strictness};

use crate::read;

fn convoy(options: &str) -> Definition {
    read("app@1.service", &format!("[X-Convoy]\n{options}\n"), Strictness::Strict)
        .unwrap_or_else(|rejected| panic!("{options}: {rejected}"))
}

#[test]
fn defaults() {
    let definition = convoy("");
    assert_eq!(definition.cut_off, CutOff::Keep);
    assert_eq!(definition.stop_within, Duration::from_secs(10));
    assert_eq!(definition.move_after_failures, None);
    assert_eq!(definition.rules, convoy_unit_files::Rules::default());
    assert_eq!(convoy("WhenCutOff=at-most-one\nWhenCutOff=").cut_off, CutOff::Keep);
}

#[test]
fn what_becomes_of_a_unit_that_is_cut_off() {
    for (text, expected) in [
        ("keep", CutOff::Keep),
        ("at-most-one", CutOff::AtMostOne),
        ("stop-after:60s", CutOff::StopAfter(Duration::from_secs(60))),
        ("stop-after=60s", CutOff::StopAfter(Duration::from_secs(60))),
        ("stop-after:5min 20s", CutOff::StopAfter(Duration::from_secs(320))),
        ("stop-after:90", CutOff::StopAfter(Duration::from_secs(90))),
        ("stop-after: 1.5h", CutOff::StopAfter(Duration::from_secs(5400))),
        ("keep\nWhenCutOff=at-most-one", CutOff::AtMostOne),
    ] {
        assert_eq!(convoy(&format!("WhenCutOff={text}")).cut_off, expected, "{text}");
    }
}

#[test]
fn numbers_and_times() {
    let definition = convoy("StopWithin=1min\nMoveAfterFailures=0\nWeight=7\n");
    assert_eq!(definition.stop_within, Duration::from_secs(60));
    assert_eq!(definition.move_after_failures, Some(0));
    assert_eq!(definition.rules.weight, Some(7));
    assert_eq!(convoy("StopWithin=500ms").stop_within, Duration::from_millis(500));
}

#[test]
fn soft_rules() {
    let definition = convoy("Spread=zone\nSpread=rack host\nSpread=zone");
    assert_eq!(definition.rules.spread, ["zone", "rack", "host"]);
    for (options, expected) in [
        ("Prefer=disk=ssd", &[("disk", "ssd", 1)][..]),
        ("Prefer=disk=ssd:5", &[("disk", "ssd", 5)]),
        ("Prefer=disk=ssd:-3 zone=a", &[("disk", "ssd", -3), ("zone", "a", 1)]),
        ("Prefer=\"disk=ssd:5\" \"os=Core OS:2\"", &[("disk", "ssd", 5), ("os", "Core OS", 2)]),
        ("Prefer=os=Core OS", &[("os", "Core OS", 1)]),
        ("Prefer=net=a:b", &[("net", "a:b", 1)]),
        ("Prefer=rack=%i", &[("rack", "1", 1)]),
        ("Prefer=a=b\nPrefer=\nPrefer=c=d", &[("c", "d", 1)]),
    ] {
        let expected: Vec<Preference> = expected
            .iter()
            .map(|(key, value, weight)| Preference {
                key: (*key).into(),
                value: (*value).into(),
                weight: *weight,
            })
            .collect();
        assert_eq!(convoy(options).rules.prefer, expected, "{options}");
    }
    let definition =
        read("app.service", "[Service]\nMemoryMax=1G\n[X-Convoy]\nRequireCapacity=yes\n", Strictness::Strict)
            .unwrap();
    assert!(definition.rules.require_capacity && definition.warnings.is_empty());
    assert_eq!(convoy("RequireCapacity=on").warnings.len(), 1);
}

/// Fleet never read this section, so there is nothing to be compatible with: a broken value is an error in either mode.
#[test]
fn broken_values_are_errors() {
    for options in [
        "WhenCutOff=stop",
        "WhenCutOff=stop-after",
        "WhenCutOff=stop-after:",
        "WhenCutOff=stop-after:0",
        "WhenCutOff=stop-after:soon",
        "WhenCutOff=stop-after:infinity",
        "WhenCutOff=Keep",
        "StopWithin=0",
        "StopWithin=2h",
        "StopWithin=-1",
        "StopWithin=infinity",
        "MoveAfterFailures=-1",
        "MoveAfterFailures=often",
        "Weight=10001",
        "Weight=1.5",
        "RequireCapacity=perhaps",
        "Spread=zone=a",
        "Prefer=ssd",
        "Prefer==ssd",
        "Prefer=disk=",
        "Prefer=disk=ssd:99999",
        "Prefer=a=b=c",
        "Prefer=disk=ssd:99999999999999999999",
    ] {
        for strictness in [Strictness::Strict, Strictness::Compatible] {
            let errors = read("app.service", &format!("[X-Convoy]\n{options}\n"), strictness).unwrap_err().0;
            assert_eq!(errors.len(), 1, "{options}");
            assert_eq!(errors[0].option.as_deref(), options.split('=').next(), "{options}");
            assert!(!errors[0].remedy.is_empty(), "{options}");
        }
    }
}

#[test]
fn unknown_options_are_told_with_the_one_that_was_meant() {
    for (option, remedy) in [
        ("WhenCutoff=keep", "did you mean WhenCutOff?"),
        ("Weigth=1", "did you mean Weight?"),
        ("Conflicts=a", "it belongs into [X-Fleet]"),
        ("Foo=1", "[X-Convoy] has WhenCutOff"),
    ] {
        let text = format!("[X-Convoy]\n{option}\n");
        let errors = read("app.service", &text, Strictness::Strict).unwrap_err().0;
        assert!(errors[0].remedy.contains(remedy), "{}", errors[0]);
        assert_eq!(read("app.service", &text, Strictness::Compatible).unwrap().warnings.len(), 1);
    }
}
