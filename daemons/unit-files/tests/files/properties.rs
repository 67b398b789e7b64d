use std::fmt::Write;

use convoy_unit_files::{Definition, Glob, Strictness, UnitName, syntax::UnitFile, ties};
use proptest::prelude::*;

use crate::oracle::matches;

/// Text in which all the characters that mean something are frequent.
fn unit_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "[X-Fleet]", "[X-Convoy]", "[Unit]", "[Service]", "[Install]", "[X-Fleet", "[]", "\n", "\n", "\n", "\r\n", "\\\n",
            "# ", "; ", "=", "=", "\"", " ", "\t", "\0", "\u{feff}", "%i", "%n", "%p", "%%", "%I", "%", "\\", "\\x2d",
            "MachineID=", "MachineOf=", "MachineMetadata=", "Conflicts=", "Global=", "Replaces=", "X-Conflicts=",
            "X-ConditionMachineOf=", "BindsTo=", "Requires=", "After=", "Description=", "MemoryMax=", "CPUQuota=",
            "WhenCutOff=", "stop-after:", "StopWithin=", "Weight=", "Prefer=", "Spread=", "RequireCapacity=",
            "app@*.service", "app@1.service", "main.service", "[a-z]", "*", "a=b", "true", "1", "5min", "2G", "50%",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn unit_name() -> impl Strategy<Value = UnitName> {
    prop::sample::select(vec![
        "app.service",
        "app@.service",
        "app@1.service",
        "a-b@x\\x2dy.socket",
        "a@b@c.timer",
        "x.target",
        "-.slice",
        "\\@\\.path",
    ])
    .prop_map(|name| UnitName::parse(name).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn globs_agree_with_the_oracle(pattern in "[abc*?\\[\\]^\\-\\\\/☺]{0,12}", name in "[abc/☺]{0,10}") {
        let letters: Vec<char> = pattern.chars().collect();
        let expected = matches(&letters, &name.chars().collect::<Vec<_>>());
        let found = Glob::parse(&pattern);
        prop_assert_eq!(found.is_ok(), expected.is_some(), "{} {}", pattern, name);
        // A class that takes a slash is where Go, too, doesn't look for another way.
        if let (Ok(glob), Some(expected)) = (found, expected)
            && (!pattern.contains('[') || !name.contains('/'))
        {
            prop_assert_eq!(glob.matches(&name), expected, "{} {}", pattern, name);
        }
    }

    #[test]
    fn an_escaped_text_matches_itself_alone(text in any::<String>(), other in any::<String>()) {
        let glob = Glob::parse(&Glob::escape(&text)).unwrap();
        prop_assert_eq!(glob.literal(), Some(text.as_str()));
        prop_assert!(glob.matches(&text));
        prop_assert_eq!(glob.matches(&other), text == other);
    }

    #[test]
    fn what_matches_begins_with_the_literal_prefix(pattern in "[ab@.*?\\[\\]\\\\]{0,8}", name in "[ab@.*]{0,8}") {
        if let Ok(glob) = Glob::parse(&pattern) && glob.matches(&name) {
            prop_assert!(name.starts_with(glob.literal_prefix()));
            prop_assert!(glob.literal().is_none_or(|literal| literal == name));
        }
    }

    #[test]
    fn names_are_safe_and_come_apart_and_together(text in "[a-zA-Z0-9:_.@\\\\/ %\u{e4}-]{0,20}(\\.service|\\.socket|\\.mount|)") {
        if let Ok(name) = UnitName::parse(&text) {
            prop_assert!(!text.contains('/') && text != "." && text != ".." && text.len() <= 255);
            prop_assert_eq!(UnitName::complete(&text).unwrap(), name.clone());
            prop_assert_eq!(format!("{}.{}", name.without_type(), name.unit_type().suffix()), text.clone());
            if let (Some(template), Some(instance)) = (name.template(), name.instance()) {
                prop_assert!(template.is_template());
                prop_assert_eq!(template.instantiate(instance).unwrap(), name.clone());
                prop_assert_eq!(template.prefix(), name.prefix());
            }
            prop_assert_eq!(name.is_template(), name.instance().is_none() && text.contains('@'));
        }
    }

    /// Written out plainly, what was read is read again.
    #[test]
    fn reading_again_changes_nothing(text in unit_text()) {
        let file = UnitFile::parse(&text);
        let mut plain = String::new();
        for section in file.sections() {
            writeln!(plain, "[{}]", section.name).unwrap();
            for entry in &section.entries {
                // A value that begins or ends so that the line would mean something else can't be written out.
                prop_assume!(!entry.key.starts_with(['#', ';', '[', '\u{feff}']) && !entry.value.ends_with('\\'));
                writeln!(plain, "{}={}", entry.key, entry.value).unwrap();
            }
        }
        let again = UnitFile::parse(&plain);
        let bare = |file: &UnitFile| -> Vec<(String, Vec<(String, String)>)> {
            let sections = file.sections().iter();
            sections.map(|section| {
                let entries = section.entries.iter().map(|entry| (entry.key.clone(), entry.value.clone()));
                (section.name.clone(), entries.collect())
            }).collect()
        };
        prop_assert_eq!(bare(&file), bare(&again), "{:?}", plain);
    }

    #[test]
    fn no_text_makes_it_panic(name in unit_name(), text in unit_text()) {
        let strict = Definition::read(&name, "file", &text, Strictness::Strict);
        let compatible = Definition::read(&name, "file", &text, Strictness::Compatible);
        for result in [&strict, &compatible] {
            match result {
                Err(rejected) => prop_assert!(!rejected.0.is_empty()),
                Ok(definition) => {
                    prop_assert_eq!(&definition.text, &text);
                    let _ = ties::check(&[definition, definition], Strictness::Strict);
                }
            }
        }
        // Whatever strict mode takes means the same in compatible mode; whatever that refuses strict mode refuses.
        match (strict, compatible) {
            (Ok(strict), compatible) => prop_assert_eq!(Ok(strict), compatible),
            (Err(strict), Err(compatible)) => prop_assert!(strict.0.len() >= compatible.0.len()),
            (Err(_), Ok(compatible)) => prop_assert!(!compatible.warnings.is_empty()),
        }
    }

    #[test]
    fn problems_name_a_line_that_exists(text in unit_text()) {
        let name = UnitName::parse("app@1.service").unwrap();
        let problems = match Definition::read(&name, "file", &text, Strictness::Strict) {
            Ok(definition) => definition.warnings,
            Err(rejected) => rejected.0,
        };
        let lines = text.split(['\n', '\r', '\0']).count();
        for problem in problems {
            let line = problem.line.map_or(1, |line| line as usize);
            prop_assert!((1..=lines).contains(&line), "{}", problem);
        }
    }
}
