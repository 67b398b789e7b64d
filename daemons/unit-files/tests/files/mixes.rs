//! The table of allowed combinations.

use convoy_unit_files::{Definition, Strictness};

use crate::read;

const ID: &str = "MachineID=abc";
const OF: &str = "MachineOf=main@1.service";
const METADATA: &str = "MachineMetadata=zone=a";
const CONFLICTS: &str = "Conflicts=app@*.service";
const GLOBAL: &str = "Global=true";
const REPLACES: &str = "Replaces=other@*.service";

fn submit(options: &[&str], strictness: Strictness) -> Result<Definition, Vec<String>> {
    let text = format!("[X-Fleet]\n{}\n", options.join("\n"));
    read("app@1.service", &text, strictness)
        .map_err(|rejected| rejected.0.iter().map(ToString::to_string).collect())
}

#[test]
fn every_pair_of_options() {
    let options = [ID, OF, METADATA, CONFLICTS, GLOBAL, REPLACES];
    let refused = [
        (ID, OF),
        (ID, CONFLICTS),
        (ID, GLOBAL),
        (ID, REPLACES),
        (OF, GLOBAL),
        (CONFLICTS, REPLACES),
        (GLOBAL, REPLACES),
    ];
    for left in options {
        for right in options {
            if left == right {
                continue;
            }
            let expected = !refused.contains(&(left, right)) && !refused.contains(&(right, left));
            for strictness in [Strictness::Strict, Strictness::Compatible] {
                let result = submit(&[left, right], strictness);
                assert_eq!(result.is_ok(), expected, "{left} {right} {strictness:?}: {result:?}");
                if let Err(errors) = result {
                    assert_eq!(errors.len(), 1, "{errors:?}");
                    for option in [left, right] {
                        let (option, _) = option.split_once('=').unwrap();
                        assert!(errors[0].contains(option), "{}", errors[0]);
                    }
                }
            }
        }
    }
}

#[test]
fn old_spellings_are_in_the_table_too() {
    for (left, right) in [
        ("X-ConditionMachineID=abc", CONFLICTS),
        ("X-ConditionMachineBootID=abc", OF),
        (ID, "X-Conflicts=a"),
        (GLOBAL, "X-ConditionMachineOf=main.service"),
    ] {
        assert!(submit(&[left, right], Strictness::Compatible).is_err(), "{left} {right}");
    }
}

#[test]
fn global_that_is_false_goes_with_everything() {
    for other in [ID, OF, REPLACES] {
        assert!(submit(&["Global=false", other], Strictness::Strict).is_ok(), "{other}");
    }
}

#[test]
fn an_option_that_was_taken_back_is_in_nobodys_way() {
    assert!(submit(&[ID, "MachineID=", CONFLICTS], Strictness::Strict).is_ok());
}

#[test]
fn a_pattern_may_not_match_the_unit_that_has_to_be_near() {
    for option in ["Conflicts", "Replaces"] {
        for (pattern, peer, seen_by_fleet) in [
            ("main@*.service", "main@1.service", true),
            ("main@1.service", "main@1.service", true),
            ("main@%i.service", "main@%i.service", true),
            ("main@*.service", "main@%i.service", true),
            ("main@1.service", "main@%i.service", false),
            ("main@%i.service", "main@1.service", false),
            ("main@[1-3].service", "main@%i.service", false),
        ] {
            let options = [format!("{option}={pattern}"), format!("MachineOf={peer}")];
            let options: Vec<&str> = options.iter().map(String::as_str).collect();
            let errors = submit(&options, Strictness::Strict).unwrap_err();
            assert!(errors[0].contains("has to share the machine"), "{}", errors[0]);
            let compatible = submit(&options, Strictness::Compatible);
            assert_eq!(compatible.is_err(), seen_by_fleet, "{options:?}");
            if let Ok(definition) = compatible {
                assert_eq!(definition.warnings.len(), 1);
            }
        }
        let fine = [format!("{option}=other@*"), "MachineOf=main@1.service".to_owned()];
        assert!(submit(&[&fine[0], &fine[1]], Strictness::Strict).is_ok());
    }
}

#[test]
fn several_impossible_mixes_are_several_errors() {
    assert_eq!(submit(&[ID, OF, GLOBAL], Strictness::Strict).unwrap_err().len(), 3);
}
