use convoy_unit_files::{UnitName, UnitType};

#[test]
fn thirteen_types_and_safe_characters_make_a_name() {
    let long = format!("{}.service", "a".repeat(247));
    for name in [
        "a.service",
        "a.socket",
        "a.timer",
        "a.path",
        "a.device",
        "a.mount",
        "a.automount",
        "a.swap",
        "a.target",
        "a.slice",
        "a.scope",
        "a.snapshot",
        "a.busname",
        "some-app_1:x.y@z\\x2d.service",
        "-.slice",
        ".a.service",
        "a@.path",
        "a@b@c.service",
        &long,
    ] {
        assert_eq!(UnitName::parse(name).unwrap().as_str(), name);
    }
}

#[test]
fn everything_else_is_refused_with_the_reason() {
    let too_long = format!("{}.service", "a".repeat(248));
    for (name, reason) in [
        ("", "it is empty"),
        ("app", "write app.service"),
        ("app.", "is no type"),
        ("app.conf", "is no type"),
        (".service", "nothing before the type"),
        ("@1.service", "nothing before the at sign"),
        ("a b.service", "' ' is not allowed"),
        ("a/b.service", "'/' is not allowed"),
        ("../x.service", "'/' is not allowed"),
        ("a\0.service", "is not allowed"),
        ("a\n.service", "is not allowed"),
        ("ä.service", "'ä' is not allowed"),
        ("a%i.service", "'%' is not allowed"),
        ("a.Service", "is no type"),
        ("a@.mount", "no templates"),
        ("a@b.slice", "no templates"),
        (&too_long, "256 bytes"),
    ] {
        let error = UnitName::parse(name).unwrap_err().to_string();
        assert!(error.contains(reason), "{name:?}: {error}");
    }
}

#[test]
fn parts_of_a_name() {
    for (name, kind, stem, prefix, instance, template, is_template) in [
        ("app.service", UnitType::Service, "app", "app", None, None, false),
        ("app@1.service", UnitType::Service, "app@1", "app", Some("1"), Some("app@.service"), false),
        ("app@.service", UnitType::Service, "app@", "app", None, None, true),
        ("app@a@b.socket", UnitType::Socket, "app@a@b", "app", Some("a@b"), Some("app@.socket"), false),
        ("a.b@c.d.timer", UnitType::Timer, "a.b@c.d", "a.b", Some("c.d"), Some("a.b@.timer"), false),
        ("x.service.target", UnitType::Target, "x.service", "x.service", None, None, false),
        ("app@@.service", UnitType::Service, "app@@", "app", Some("@"), Some("app@.service"), false),
    ] {
        let parsed = UnitName::parse(name).unwrap();
        assert_eq!(parsed.unit_type(), kind, "{name}");
        assert_eq!(parsed.without_type(), stem, "{name}");
        assert_eq!(parsed.prefix(), prefix, "{name}");
        assert_eq!(parsed.instance(), instance, "{name}");
        assert_eq!(parsed.template().as_ref().map(UnitName::as_str), template, "{name}");
        assert_eq!(parsed.is_template(), is_template, "{name}");
    }
}

#[test]
fn names_are_completed_as_fleetctl_did() {
    for (text, expected) in [
        ("app", Some("app.service")),
        ("app@1", Some("app@1.service")),
        ("app.socket", Some("app.socket")),
        ("app.conf", Some("app.conf.service")),
        ("/etc/units/app@.service", Some("app@.service")),
        ("units/app/", Some("app.service")),
        ("./app", Some("app.service")),
        ("x.swap", Some("x.swap")),
        ("x.target", Some("x.target")),
        ("", None),
        ("/", None),
        ("..", None),
        ("a b", None),
        ("app@{1..3}", None),
    ] {
        assert_eq!(UnitName::complete(text).ok().as_ref().map(UnitName::as_str), expected, "{text}");
    }
}

#[test]
fn only_templates_have_instances() {
    let template = UnitName::parse("app@.service").unwrap();
    assert_eq!(template.instantiate("1").unwrap().as_str(), "app@1.service");
    assert_eq!(template.instantiate("a@b").unwrap().as_str(), "app@a@b.service");
    assert!(template.instantiate("").is_err());
    assert!(template.instantiate("a/b").is_err());
    assert!(template.instantiate("1").unwrap().instantiate("2").is_err());
    assert!(UnitName::parse("app.service").unwrap().instantiate("1").is_err());
}

#[test]
fn messages_stay_short() {
    let error = UnitName::parse(&"x".repeat(1_000_000)).unwrap_err();
    assert!(error.to_string().len() < 1000);
}
