//! `convoyctl plan --cluster FILE`, as others call it: exact output, exit codes, nothing but JSON on standard output.

#![allow(clippy::unwrap_used)] // a helper that fails should fail the test

use std::{
    io::{Read, Write},
    process::{Command, Stdio},
};

struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

fn convoyctl(words: &[&str], input: &str) -> Ended {
    let mut child = Command::new(env!("CARGO_BIN_EXE_convoyctl"))
        .args(words)
        .env_remove("CONVOYCTL_ENDPOINT")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command line that is wrong is not read for.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn plan(file: &str) -> Ended {
    convoyctl(&["plan", "--cluster", "-", "--output", "json"], file)
}

const MACHINES: &str = r#"[{"id":"A","metadata":{"k":"v"}},{"id":"B"}]"#;

fn cluster(units: &str) -> String {
    format!(r#"{{"machines":{MACHINES},"units":[{units}]}}"#)
}

#[test]
fn the_answer_has_exactly_the_documented_form() {
    let ended = plan(&cluster(
        r#"{"name":"web@1.service","text":"[X-Fleet]\nConflicts=web@*.service\n","desired":"launched","machine":"A"},
           {"name":"web@2.service","text":"[X-Fleet]\nConflicts=web@*.service\n"},
           {"name":"web@.service","text":"[X-Fleet]\nConflicts=web@*.service\n"},
           {"name":"off.service","text":"","desired":"inactive","machine":"A"},
           {"name":"all.service","text":"[X-Fleet]\nGlobal=true\n"}"#,
    ));
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    let json: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    let keys: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["machines", "rejected", "units", "warnings"]);
    assert_eq!(
        json["machines"],
        serde_json::json!({"A": ["all.service", "web@1.service"], "B": ["all.service", "web@2.service"]})
    );
    let units = json["units"].as_array().unwrap();
    let places: Vec<_> =
        units.iter().map(|unit| (unit["name"].as_str().unwrap(), unit["machine"].as_str())).collect();
    assert_eq!(
        places,
        [
            ("web@1.service", Some("A")),
            ("web@2.service", Some("B")),
            ("web@.service", None),
            ("off.service", None),
            ("all.service", None),
        ],
        "in the order of the file"
    );
    for unit in units {
        let keys: Vec<_> = unit.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["machine", "moved", "name", "reasons"]);
        assert_eq!(unit["moved"], false);
        assert!(unit["reasons"].as_array().unwrap().iter().all(serde_json::Value::is_string));
    }
}

#[test]
fn the_exit_code_tells_what_kind_of_answer_it_is() {
    let good = r#"{"name":"a.service","text":"[Service]\n"}"#;
    let rejected = r#"{"name":"bad.service","text":"[X-Fleet]\nConflict=x\n"}"#;
    let unnamed = r#"{"name":"bad","text":""}"#;
    let pending = r#"{"name":"pin.service","text":"[X-Fleet]\nMachineID=Z\n"}"#;
    let inactive = r#"{"name":"pin.service","text":"[X-Fleet]\nMachineID=Z\n","desired":"inactive"}"#;
    let loaded = r#"{"name":"pin.service","text":"[X-Fleet]\nMachineID=Z\n","desired":"loaded"}"#;
    let template = r#"{"name":"pin@.service","text":"[X-Fleet]\nMachineID=Z\n"}"#;
    let nowhere = r#"{"name":"g.service","text":"[X-Fleet]\nGlobal=true\nMachineMetadata=k=w\n"}"#;
    let tied = r#"{"name":"tied.service","text":"[Unit]\nBindsTo=a.service\n"}"#;
    for (units, code) in [
        (&[good][..], 0),
        (&[good, rejected], 2),
        (&[good, unnamed], 2),
        (&[good, pending], 3),
        (&[good, loaded], 3),
        (&[rejected, pending], 2),
        (&[good, inactive], 0),
        (&[good, template], 0),
        (&[good, nowhere], 0),
        (&[good, tied], 2),
        (&[good, good], 1),
        (&[], 0),
    ] {
        let ended = plan(&cluster(&units.join(",")));
        assert_eq!(ended.code, Some(code), "{units:?}: {}{}", ended.out, ended.err);
        assert_eq!(ended.out.is_empty(), code == 1, "{units:?}: {}", ended.out);
        assert_eq!(ended.err.is_empty(), code != 1, "{units:?}: {}", ended.err);
    }
    let nowhere = plan(&cluster(nowhere));
    let json: serde_json::Value = serde_json::from_str(&nowhere.out).unwrap();
    assert_eq!(json["warnings"][0]["name"], "g.service", "{json}");
    assert!(plan("{").err.contains("standard input: EOF while parsing an object at line 1 column 1"));
}

#[test]
fn a_unit_moves_only_if_it_was_somewhere_else() {
    let ended = plan(&cluster(
        r#"{"name":"lost.service","text":"","machine":"gone"},
           {"name":"stay.service","text":"","machine":"B"},
           {"name":"new.service","text":""},
           {"name":"unfit.service","text":"[X-Fleet]\nMachineMetadata=k=v\n","machine":"B"}"#,
    ));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let json: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    let moved: Vec<_> =
        json["units"].as_array().unwrap().iter().map(|unit| unit["moved"].as_bool().unwrap()).collect();
    assert_eq!(moved, [true, false, false, true]);
}

#[test]
fn compat_turns_into_warnings_what_fleet_let_through() {
    let file = cluster(r#"{"name":"a.service","text":"[X-Fleet]\nMachineMetadata=zone\nConflict=x\n"}"#);
    assert_eq!(plan(&file).code, Some(2));
    let ended = convoyctl(&["plan", "--cluster", "-", "--output", "json", "--compat"], &file);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let json: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    let warnings = json["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 2, "{json}");
    assert!(warnings.iter().all(|warning| warning["name"] == "a.service" && warning["warning"].is_string()));
}

#[test]
fn a_wrong_command_line_is_64_and_help_is_0() {
    for (words, code) in [
        (&[][..], 64),
        (&["begin"], 64),
        (&["plan", "--cluster"], 64),
        (&["plan", "--clusters", "x"], 64),
        (&["plan", "--cluster", "-", "--output", "xml"], 64),
        (&["list-units", "--frobnicate"], 64),
        (&["--help"], 0),
        (&["start", "--help"], 0),
        (&["--version"], 0),
        (&["version"], 0),
        (&["plan", "--cluster", "/nonexistent/cluster.json"], 1),
        (&["verify", "/nonexistent/a.service"], 4),
        (&["completions", "tcsh"], 64),
    ] {
        assert_eq!(convoyctl(words, "").code, Some(code), "{words:?}");
    }
    assert!(convoyctl(&["strat", "a"], "").err.contains("start"), "a slip of the pen gets a hint");
}

#[test]
fn a_reader_that_leaves_ends_nothing() {
    let units: Vec<_> =
        (0..2000).map(|number| format!(r#"{{"name":"a{number}.service","text":""}}"#)).collect();
    let mut child = Command::new(env!("CARGO_BIN_EXE_convoyctl"))
        .args(["plan", "--cluster", "-", "--output", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    child.stdin.take().unwrap().write_all(cluster(&units.join(",")).as_bytes()).unwrap();
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((child.wait().unwrap().code(), err.as_str()), (Some(0), ""));
}

#[test]
fn completions_and_manual_pages_are_made_from_the_command_line() {
    for (shell, has) in
        [("bash", "_convoyctl"), ("zsh", "#compdef convoyctl"), ("fish", "complete -c convoyctl")]
    {
        let script = convoyctl(&["completions", shell], "").out;
        assert!(script.contains(has) && script.contains("block-attempts"), "{shell}");
        assert!(script.contains("convoyctl complete-names"), "{shell}: names of units");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("man1");
    assert_eq!(convoyctl(&["man", path.to_str().unwrap()], "").code, Some(0));
    let page = std::fs::read_to_string(path.join("convoyctl.1")).unwrap();
    for heading in ["NAME", "SYNOPSIS", "EXIT STATUS", "ENVIRONMENT", "FILES", "EXAMPLES"] {
        assert!(page.contains(heading), "{heading}");
    }
    for name in ["convoyctl-start.1", "convoyctl-list-unit-files.1", "convoyctl-plan.1"] {
        assert!(path.join(name).is_file(), "{name}");
    }
    assert!(!path.join("convoyctl-man.1").exists());
}
