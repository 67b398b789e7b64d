//! cloud-config.yaml keeps the rules under which it works everywhere: on every coreos-cloudinit ever released, and on
//! plain cloud-init. Each rule stands for a way in which such files fail without a word.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::indexing_slicing, reason = "helpers of tests")]

use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use convoy_cluster::{Values, fill_in};
use serde_json::Value;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text() -> String {
    fs::read_to_string(repository().join("cloud-config.yaml")).unwrap()
}

fn document() -> Value {
    serde_saphyr::from_str(&text()).unwrap()
}

/// Path and entry of each file that the document writes.
fn files() -> Vec<(String, Value)> {
    let list = document()["write_files"].as_array().unwrap().clone();
    list.into_iter().map(|file| (file["path"].as_str().unwrap().to_owned(), file)).collect()
}

fn content(path: &str) -> String {
    let found = files().into_iter().find(|(name, _)| name == path).unwrap().1;
    found["content"].as_str().unwrap().to_owned()
}

fn keys(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                found.push(key.clone());
                keys(value, found);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| keys(value, found)),
        _ => {}
    }
}

#[test]
fn the_first_line_is_the_header_and_nothing_else() {
    assert!(text().starts_with("#cloud-config\n"));
}

#[test]
fn only_sections_that_both_worlds_can_bear() {
    let document = document();
    let sections: Vec<&String> = document.as_object().unwrap().keys().collect();
    for section in sections {
        assert!(["write_files", "coreos", "runcmd"].contains(&section.as_str()), "section {section}");
    }
    // update fails off CoreOS; etcd, etcd2, fleet and flannel configure what no longer exists.
    let coreos: Vec<&String> = document["coreos"].as_object().unwrap().keys().collect();
    assert_eq!(coreos, ["units"]);
}

#[test]
fn no_key_has_a_hyphen() {
    let mut all = Vec::new();
    keys(&document(), &mut all);
    let hyphenated: Vec<&String> = all.iter().filter(|key| key.contains('-')).collect();
    assert!(hyphenated.is_empty(), "Flatcar drops these without a word: {hyphenated:?}");
}

#[test]
fn permissions_are_quoted_octal() {
    for (path, file) in files() {
        let mode =
            file["permissions"].as_str().unwrap_or_else(|| panic!("{path}: permissions are no string"));
        assert!(
            mode.len() == 4 && mode.starts_with('0') && u32::from_str_radix(mode, 8).is_ok(),
            "{path}: {mode}"
        );
    }
    for line in text().lines().filter(|line| line.trim_start().starts_with("permissions:")) {
        assert!(line.contains(": \"0"), "not quoted, so cloud-init's schema refuses it: {line}");
    }
}

#[test]
fn every_file_has_an_owner_that_exists_everywhere() {
    for (path, file) in files() {
        assert_eq!(file["owner"], "root:root", "{path}: an unknown owner aborts coreos-cloudinit");
    }
}

#[test]
fn nothing_is_written_where_it_may_not_be() {
    for (path, _) in files() {
        assert!(path.starts_with('/') && !path.starts_with("/usr"), "{path}: /usr is read-only on Flatcar");
        assert_ne!(path, "/etc/environment", "coreos-cloudinit keeps the machine's addresses there");
    }
}

#[test]
fn no_address_tokens() {
    for token in ["$private_ipv4", "$public_ipv4", "$private_ipv6", "$public_ipv6"] {
        assert!(!text().contains(token), "{token} is replaced by nothing where it is unknown");
    }
}

#[test]
fn no_command_makes_the_boot_wait() {
    let document = document();
    for unit in document["coreos"]["units"].as_array().unwrap() {
        let name = unit["name"].as_str().unwrap();
        assert_eq!(unit["command"], "start", "{name}");
        let text = content(&format!("/etc/systemd/system/{name}"));
        let starts: Vec<&str> = text.lines().filter(|line| line.starts_with("Exec")).collect();
        assert!(text.contains("Type=oneshot\n"), "{name}");
        assert!(starts.iter().all(|line| line.contains(" --no-block ")), "{name} waits: {starts:?}");
    }
    for command in document["runcmd"].as_array().unwrap() {
        let words: Vec<&str> =
            command.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        let harmless = words == ["systemctl", "daemon-reload"];
        assert!(harmless || words.contains(&"--no-block"), "{words:?} waits");
    }
    // What does take time is bounded, tries again, and is waited for by no target of the boot.
    let install = content("/etc/systemd/system/convoy-install.service");
    assert!(install.contains("TimeoutStartSec=") && install.contains("Restart=on-failure"), "{install}");
    assert!(!install.contains("[Install]"), "{install}");
}

#[test]
fn every_unit_that_is_started_or_enabled_is_in_the_file() {
    let document = document();
    let units: Vec<&str> = document["coreos"]["units"]
        .as_array()
        .unwrap()
        .iter()
        .map(|unit| unit["name"].as_str().unwrap())
        .collect();
    for unit in units {
        // coreos-cloudinit gives up at a name that it does not find.
        assert!(content(&format!("/etc/systemd/system/{unit}")).contains("[Install]"), "{unit}");
    }
}

#[test]
fn values_to_edit_stand_between_the_two_lines() {
    let text = text();
    let from = text.find("edit from here").unwrap();
    let to = text.find("edit to here").unwrap();
    let values = Values {
        seeds: vec![Ipv4Addr::new(192, 0, 2, 1)],
        token: "SENTINEL-A".into(),
        domain: "SENTINEL-B".into(),
        release_url: "SENTINEL-C".into(),
        release_sha256: "SENTINEL-D".into(),
    };
    let filled = fill_in(&text, &values).unwrap();
    let changed: Vec<usize> = text
        .lines()
        .zip(filled.lines())
        .enumerate()
        .filter(|(_, (old, new))| old != new)
        .map(|(line, _)| line)
        .collect();
    let line_of = |offset: usize| text[..offset].lines().count();
    assert_eq!(changed.len(), 5);
    assert!(changed.iter().all(|line| (line_of(from)..line_of(to)).contains(line)), "{changed:?}");
}

#[test]
fn the_example_app_is_the_one_that_is_shipped() {
    let shipped = fs::read_to_string(repository().join("units/examples/someapp@.service")).unwrap();
    assert_eq!(
        content("/etc/systemd/system/someapp@.service"),
        shipped,
        "copy units/examples/someapp@.service"
    );
}

#[test]
fn scripts_are_shell() {
    for (path, file) in files() {
        let text = file["content"].as_str().unwrap();
        if !text.starts_with("#!/bin/sh\n") {
            continue;
        }
        let mut shell = Command::new("sh").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
        shell.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(shell.wait().unwrap().success(), "{path}");
        assert_eq!(file["permissions"], "0755", "{path}");
    }
}

/// The validators of CoreOS's and Flatcar's own coreos-cloudinit, where somebody has built them.
#[test]
fn coreos_cloudinit_validates_it() {
    let Some(programs) = std::env::var_os("COREOS_CLOUDINIT") else {
        eprintln!("skipped: COREOS_CLOUDINIT names no coreos-cloudinit (a list separated by colons)");
        return;
    };
    for program in std::env::split_paths(&programs) {
        let file = repository().join("cloud-config.yaml");
        let output = Command::new(&program).arg("-validate").arg("-from-file").arg(file).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // The one expected line: it does not know what is for plain cloud-init.
        let complaints: Vec<&str> =
            text.lines().filter(|line| line.contains("line ") && !line.contains("\"runcmd\"")).collect();
        assert!(complaints.is_empty(), "{}: {complaints:?}", program.display());
    }
}
