//! What else Convoy reads from a unit file.

use convoy_unit_files::{Definition, Strictness, UnitName, decode, hash};

use crate::read;

fn strict(name: &str, text: &str) -> Definition {
    read(name, text, Strictness::Strict).unwrap_or_else(|rejected| panic!("{rejected}"))
}

#[test]
fn text_and_hash_are_kept() {
    let text = "[Unit]\nDescription=x\n";
    let definition = strict("app.service", text);
    assert_eq!(definition.text, text);
    assert_eq!(definition.hash, hash(text));
    assert_eq!(hash(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

#[test]
fn descriptions_and_dependencies_have_systemds_specifiers() {
    for (name, text, expected) in [
        ("app@1.service", "App %i of %p", "App 1 of app"),
        ("app@1.service", "%n %N", "app@1.service app@1"),
        ("app@a-b\\x2dc.service", "%i %I", "a-b\\x2dc a/b-c"),
        ("my-app@1.service", "%j %p", "app my-app"),
        ("my-a\\x2db@1.service", "%J %P", "a-b my/a-b"),
        ("app.service", "100%% of %p on %H", "100% of app on %H"),
        ("app@.service", "App %i, %n, %I", "App %i, app@%i.service, %I"),
        ("app@\\xff.service", "%I", "%I"),
        ("app.service", "%", "%"),
    ] {
        let definition = strict(name, &format!("[Unit]\nDescription={text}\n"));
        assert_eq!(definition.description.as_deref(), Some(expected), "{name} {text}");
    }
    assert_eq!(strict("a.service", "[Unit]\nDescription=a\nDescription=b").description.as_deref(), Some("b"));
    assert_eq!(strict("a.service", "[Unit]\nDescription=a\nDescription=").description, None);
}

#[test]
fn dependencies() {
    let definition = strict(
        "side@1.service",
        "[Unit]\nBindsTo=main@%i.service\nRequires=db.service main@%i.service\nRequires=\nWants=a.service\n\
         Wants=b.service a.service\nAfter=main@.service\nBefore=%p.target\nPartOf=x.target\n",
    );
    let dependencies = &definition.dependencies;
    assert_eq!(dependencies.binds_to, ["main@1.service"]);
    // Dependencies can only be added.
    assert_eq!(dependencies.requires, ["db.service", "main@1.service"]);
    assert_eq!(dependencies.wants, ["a.service", "b.service"]);
    assert_eq!(dependencies.after, ["main@1.service"]);
    assert_eq!(dependencies.before, ["side.target"]);
    assert_eq!(dependencies.part_of, ["x.target"]);
    assert_eq!(definition.rules.ties, ["main@1.service", "db.service"]);
    assert_eq!(definition.warnings, []);
}

#[test]
fn dependencies_that_systemd_passes_over_are_told() {
    let definition = strict(
        "a.service",
        "[Unit]\nAfter=b\nWants=\"c.service\" d.service\nBindsTo=a.service x@%b.service\n",
    );
    assert_eq!(definition.dependencies.after, [""; 0]);
    assert_eq!(definition.dependencies.wants, ["d.service"]);
    assert_eq!(definition.rules.ties, [""; 0]);
    let lines: Vec<_> = definition.warnings.iter().map(|warning| warning.line).collect();
    assert_eq!(lines, [Some(2), Some(3)]);
}

#[test]
fn an_install_section_counts_if_it_does_something() {
    for (text, expected) in [
        ("WantedBy=x.target", true),
        ("RequiredBy=x.service", true),
        ("Alias=y.service", true),
        ("Also=y.socket", true),
        ("WantedBy=x.target\nWantedBy=", false),
        ("DefaultInstance=1", false),
        ("", false),
    ] {
        assert_eq!(strict("a.service", &format!("[Install]\n{text}\n")).installs, expected, "{text}");
    }
}

#[test]
fn sections_and_options_in_the_wrong_place_are_warnings() {
    for (text, warning) in [
        ("[X-Foo]\na=b", None),
        ("[Foo]\na=b", Some("[Foo] over; a service has no such section")),
        ("[Servcie]\na=b", Some("did you mean [Service]?")),
        ("[Socket]\na=b", Some("a service has no such section")),
        ("[X-fleet]\na=b", Some("did you mean [X-Fleet]?")),
        ("[X-Flete]\na=b", Some("did you mean [X-Fleet]?")),
        ("[XFleet]\na=b", Some("did you mean [X-Fleet]?")),
        ("[X-Convoi]\na=b", Some("did you mean [X-Convoy]?")),
        ("[Unit]\nMachineOf=a.service", Some("it belongs into [X-Fleet]")),
        ("[Service]\nX-Conflicts=a", Some("it belongs into [X-Fleet]")),
        ("[Unit]\nWhenCutOff=keep", Some("it belongs into [X-Convoy]")),
        ("[Unit]\nConflicts=a.service", None),
        ("[Unit]\nX-Note=a", None),
        ("[Service]\nExecStart=/bin/true\nworld", Some("no equals sign")),
        ("a=b\n[Unit]", Some("before the first section")),
        ("[X-Foo]\nfree text", None),
    ] {
        let definition = strict("a.service", text);
        let warnings: Vec<String> = definition.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings.len(), usize::from(warning.is_some()), "{text}: {warnings:?}");
        if let Some(warning) = warning {
            assert!(warnings[0].contains(warning), "{text}: {warnings:?}");
        }
    }
}

#[test]
fn files_that_systemd_refuses_are_errors_in_either_mode() {
    for text in ["[Unit\n", "[Unit]\nA=\0\n", &format!("[Unit]\nA={}", "x".repeat(1 << 20))] {
        for strictness in [Strictness::Strict, Strictness::Compatible] {
            assert_eq!(read("a.service", text, strictness).unwrap_err().0.len(), 1);
        }
    }
}

#[test]
fn bytes_that_are_no_text_are_told_with_their_line() {
    let problem = decode("a.service", b"[Unit]\nDescription=\xff\n").unwrap_err();
    assert_eq!(problem.to_string(), "a.service:2: the file is no UTF-8 text; save it in UTF-8");
    assert_eq!(decode("a.service", "ä".as_bytes()).unwrap(), "ä");
}

#[test]
fn problems_name_the_file_that_was_given() {
    let name = UnitName::parse("app@1.service").unwrap();
    let rejected =
        Definition::read(&name, "units/app@.service", "[X-Fleet]\nConflict=a\n", Strictness::Strict);
    assert_eq!(
        rejected.unwrap_err().to_string(),
        "units/app@.service:2: Conflict: [X-Fleet] has no such option; did you mean Conflicts?"
    );
}

/// The unit that the tutorial's readers write.
#[test]
fn a_sidekick_as_it_is_documented() {
    let definition = strict(
        "someapp-sidekick@1.service",
        "[Unit]\nDescription=Announces someapp %i\nBindsTo=someapp@%i.service\nAfter=someapp@%i.service\n\n\
         [Service]\nExecStart=/usr/bin/true\n\n[X-Fleet]\nMachineOf=someapp@%i.service\n",
    );
    assert_eq!(definition.rules.machine_of, ["someapp@1.service"]);
    assert_eq!(definition.rules.ties, ["someapp@1.service"]);
    assert_eq!(definition.warnings, []);
}
