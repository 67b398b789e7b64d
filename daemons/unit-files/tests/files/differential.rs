//! The same files read by systemd itself: whatever its parser says of a file, ours has to have read the same.

use std::{collections::BTreeMap, fs, process::Command};

use convoy_unit_files::syntax::{Fault, UnitFile};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};

const FILES: usize = 300;
/// systemd repeats the value of an option that should be a truth value and is none.
const OPTION: &str = "RefuseManualStart";

#[test]
fn systemd_reads_the_same() {
    if let Err(error) = Command::new("systemd-analyze").arg("--version").output() {
        assert!(std::env::var_os("CI").is_none(), "systemd-analyze is needed: {error}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("systemd-analyze");
    command.args(["verify", "--man=no"]).env("SYSTEMD_LOG_COLOR", "0").env("LC_ALL", "C.UTF-8");
    let mut expected = BTreeMap::new();
    for (index, text) in texts().into_iter().enumerate() {
        let path = folder.path().join(format!("t{index}.service"));
        fs::write(&path, &text).unwrap();
        command.arg(&path);
        expected.insert(path, text);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let mut compared = 0;
    for (path, text) in expected {
        let prefix = format!("{}:", path.display());
        let lines = said.lines().filter_map(|line| line.strip_prefix(&prefix));
        let mut theirs = Vec::new();
        for line in lines {
            let (_, message) = line.split_once(": ").unwrap();
            // We keep a section's name once.
            if !(message.starts_with("Unknown section") && theirs.iter().any(|known| known == message)) {
                theirs.push(message.to_owned());
            }
        }
        assert_eq!(messages(&text), theirs, "{text:?}");
        compared += theirs.len();
    }
    assert!(compared > FILES, "systemd-analyze said next to nothing: {said}");
}

/// What systemd would say to what we have read.
fn messages(text: &str) -> Vec<String> {
    let file = UnitFile::parse(text);
    let known = |section: &str| matches!(section, "Unit" | "Service");
    let mut found = Vec::new();
    for section in file.sections() {
        if !known(&section.name) {
            found.push((section.line, format!("Unknown section '{}'. Ignoring.", section.name)));
            continue;
        }
        for entry in &section.entries {
            found.push((
                entry.line,
                if section.name == "Unit" && entry.key == OPTION {
                    format!("Failed to parse boolean value, ignoring: {}", entry.value)
                } else {
                    format!("Unknown key '{}' in section [{}], ignoring.", entry.key, section.name)
                },
            ));
        }
    }
    let mut end = u32::MAX;
    for (line, fault) in file.faults() {
        let message = match fault {
            Fault::OutsideSection(_) => "Assignment outside of section. Ignoring.".to_owned(),
            Fault::NoEqualsSign { section, .. } if known(section) => "Missing '=', ignoring line.".to_owned(),
            Fault::NoKey { section, .. } if known(section) => {
                "Missing key name before '=', ignoring line.".to_owned()
            }
            Fault::Header(text) if text.ends_with(']') && text.len() > 1 => {
                end = end.min(*line);
                format!("Bad characters in section header '{text}'")
            }
            Fault::Header(text) => {
                end = end.min(*line);
                format!("Invalid section header '{text}'")
            }
            Fault::NoEqualsSign { .. } | Fault::NoKey { .. } | Fault::NulByte | Fault::LineTooLong => {
                continue;
            }
        };
        found.push((*line, message));
    }
    found.sort_by_key(|(line, _)| *line);
    // systemd reads nothing after a broken header.
    found.into_iter().filter(|(line, _)| *line <= end).map(|(_, message)| message).collect()
}

/// Files made of what means something to the parser; always the same ones.
fn texts() -> Vec<String> {
    let piece = prop::sample::select(vec![
        "\n[Unit]\n",
        "\n[Unit]\n",
        "\n[Service]\n",
        "[Bar]",
        "[Un\"it]",
        "[Unit",
        "\n",
        "\n",
        "\r\n",
        "\r",
        "\n\r",
        "\\\n",
        "\\\n",
        "\\\\\n",
        "\\ \n",
        "\n#",
        "\n;",
        "#",
        ";",
        " ",
        "\t",
        "=",
        "a",
        "b c",
        "\"q\"",
        "\\x2d",
        "]",
        "\u{feff}",
        "\0",
        "ä",
        "\nRefuseManualStart=",
        "\nRefuseManualStart = ",
        "\nRefuseManualStart=v",
        "RefuseManualStart=w\n",
        "\nFoo=",
        "\n  RefuseManualStart=v  \n",
    ]);
    let strategy = (any::<bool>(), prop::collection::vec(piece, 1..30))
        .prop_map(|(headed, pieces)| format!("{}{}", if headed { "[Unit]\n" } else { "" }, pieces.concat()));
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        prop::test_runner::TestRng::deterministic_rng(prop::test_runner::RngAlgorithm::ChaCha),
    );
    (0..FILES).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}
