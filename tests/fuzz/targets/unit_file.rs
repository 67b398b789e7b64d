//! Unit files: nothing panics, both modes agree where they have to, problems name lines that exist.

#![no_main]

use convoy_unit_files::{Definition, Problem, Strictness, UnitName, decode, hash, syntax::UnitFile, ties};
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 6] =
    ["app@1.service", "app@.service", "app.service", "a-b@x\\x2dy.socket", "a@b@c.timer", "-.slice"];

fuzz_target!(|data: &[u8]| {
    let Some((first, bytes)) = data.split_first() else { return };
    let Ok(text) = decode("file", bytes) else { return };
    let name = UnitName::parse(NAMES[usize::from(*first) % NAMES.len()]).expect("these are names");
    let strict = Definition::read(&name, "file", text, Strictness::Strict);
    let compatible = Definition::read(&name, "file", text, Strictness::Compatible);
    for result in [&strict, &compatible] {
        match result {
            Err(rejected) => {
                assert!(!rejected.0.is_empty());
                check_lines(&rejected.0, text);
            }
            Ok(definition) => {
                assert_eq!(definition.hash, hash(text));
                check_lines(&definition.warnings, text);
                check_ties(definition);
            }
        }
    }
    match (strict, compatible) {
        (Ok(strict), compatible) => assert_eq!(Ok(strict), compatible),
        (Err(strict), Err(compatible)) => assert!(strict.0.len() >= compatible.0.len()),
        (Err(_), Ok(compatible)) => assert!(!compatible.warnings.is_empty()),
    }
    check_reading_again(&UnitFile::parse(text));
});

fn check_lines(problems: &[Problem], text: &str) {
    let lines = text.split(['\n', '\r', '\0']).count();
    for problem in problems {
        assert!(problem.line.is_none_or(|line| (1..=lines).contains(&(line as usize))), "{problem}");
        assert!(problem.to_string().len() < 4000, "{problem}");
    }
}

fn check_ties(definition: &Definition) {
    for tie in &definition.rules.ties {
        assert_ne!(tie, definition.name.as_str());
        let Ok(name) = UnitName::parse(tie) else { continue };
        let other = Definition::read(&name, "other", "", Strictness::Strict).expect("an empty file");
        let problems = ties::check(&[definition, &other], Strictness::Strict);
        let follows = definition.rules.machine_of.contains(tie);
        let exempt = follows || name.is_template() || definition.name.is_template();
        // Who has to be on the other one's machine is there; who is everywhere is also elsewhere.
        assert_eq!(problems.is_empty(), exempt && !(follows && definition.rules.global));
    }
}

/// Written out plainly, what was read is read again.
fn check_reading_again(file: &UnitFile) {
    let mut plain = String::new();
    for section in file.sections() {
        plain.push_str(&format!("[{}]\n", section.name));
        for entry in &section.entries {
            if entry.key.starts_with(['#', ';', '[', '\u{feff}']) || entry.value.ends_with('\\') {
                return;
            }
            plain.push_str(&format!("{}={}\n", entry.key, entry.value));
        }
    }
    let again = UnitFile::parse(&plain);
    assert!(again.faults().is_empty(), "{plain:?}: {:?}", again.faults());
    let same = file.sections().len() == again.sections().len()
        && file.sections().iter().zip(again.sections()).all(|(left, right)| {
            left.name == right.name
                && left.entries.len() == right.entries.len()
                && left
                    .entries
                    .iter()
                    .zip(&right.entries)
                    .all(|(left, right)| left.key == right.key && left.value == right.value)
        });
    assert!(same, "{plain:?}");
}
