//! research on fleet: which values an option takes, how lists are written, what is merged.

use convoy_unit_files::{Definition, Strictness};

use crate::{compatible, fleet, fleet_errors, globs, read};

const UNIT: &str = "app@1.service";

fn metadata(definition: &Definition) -> Vec<String> {
    let pairs = definition.rules.metadata.iter();
    pairs.flat_map(|(key, values)| values.iter().map(move |value| format!("{key}={value}"))).collect()
}

#[test]
fn without_options_there_are_no_rules() {
    for text in ["", "[Unit]\n", "[X-Fleet]\n", "[X-Fleet]\nConflicts=\nMachineOf=\nGlobal=\nMachineID=\n"] {
        assert_eq!(
            read(UNIT, text, Strictness::Strict).unwrap().rules,
            convoy_unit_files::Rules::default(),
            "{text}"
        );
    }
}

#[test]
fn lists_are_quoted_and_conflicts_is_also_split_at_blanks() {
    for (options, expected) in [
        ("Conflicts=a.service", &["a.service"][..]),
        ("Conflicts=a.service b.service", &["a.service", "b.service"]),
        ("Conflicts=\"a.service\" \"b.service\"", &["a.service", "b.service"]),
        ("Conflicts=\"a.service b.service\"", &["a.service", "b.service"]),
        ("Conflicts=a@*\nConflicts=b@*", &["a@*", "b@*"]),
        ("Conflicts=a@* \\\n  b@*", &["a@*", "b@*"]),
        ("Conflicts=a@*\nConflicts=\nConflicts=b@*", &["b@*"]),
        ("Conflicts=a@*\nConflicts=a@*", &["a@*"]),
    ] {
        assert_eq!(globs(&fleet(UNIT, options).rules.conflicts), expected, "{options}");
    }
    for (options, expected) in [
        ("MachineOf=a.service", &["a.service"][..]),
        ("MachineOf=\"a.service\" \"b.service\"", &["a.service", "b.service"]),
        ("MachineOf=a.service\nMachineOf=b.service", &["a.service", "b.service"]),
        ("MachineOf=a.service\nMachineOf=", &[]),
    ] {
        assert_eq!(fleet(UNIT, options).rules.machine_of, expected, "{options}");
    }
    assert_eq!(globs(&fleet(UNIT, "Replaces=\"a@*\" \"b@*\"").rules.replaces), ["a@*", "b@*"]);
}

#[test]
fn metadata_is_a_set_of_values_for_each_key() {
    for (options, expected) in [
        ("MachineMetadata=a=1", &["a=1"][..]),
        ("MachineMetadata=\"a=1\" \"a=2\" \"b=3\"", &["a=1", "a=2", "b=3"]),
        ("MachineMetadata=a=2\nMachineMetadata=b=3\nMachineMetadata=a=1", &["a=1", "a=2", "b=3"]),
        ("MachineMetadata=\"os=Core OS\"", &["os=Core OS"]),
        ("MachineMetadata=rack=%i", &["rack=1"]),
    ] {
        assert_eq!(metadata(&fleet(UNIT, options)), expected, "{options}");
    }
}

#[test]
fn an_id_is_the_first_value_of_the_newest_spelling() {
    for (options, expected, warnings) in [
        ("MachineID=abc", "abc", 0),
        ("MachineID=abc\nMachineID=def", "abc", 1),
        ("MachineID=abc\nMachineID=abc", "abc", 0),
        ("X-ConditionMachineID=old\nMachineID=new", "new", 1),
        ("X-ConditionMachineBootID=boot", "boot", 0),
        ("X-ConditionMachineBootID=boot\nX-ConditionMachineID=old", "old", 1),
        ("MachineID=abc\nMachineID=\nMachineID=def", "def", 0),
        ("MachineID=\"abc\" \"def\"", "abc", 1),
        ("MachineID=abc def", "abc def", 1),
    ] {
        let definition = fleet(UNIT, options);
        assert_eq!(definition.rules.machine_id.as_deref(), Some(expected), "{options}");
        assert_eq!(definition.warnings.len(), warnings, "{options}: {:?}", definition.warnings);
    }
}

#[test]
fn old_spellings_are_merged_with_new_ones() {
    let definition = fleet(
        UNIT,
        "X-Conflicts=a@*\nConflicts=b@*\nX-ConditionMachineMetadata=k=1\nMachineMetadata=k=2\n\
         X-ConditionMachineOf=c.service\nMachineOf=d.service",
    );
    assert_eq!(globs(&definition.rules.conflicts), ["a@*", "b@*"]);
    assert_eq!(metadata(&definition), ["k=1", "k=2"]);
    assert_eq!(definition.rules.machine_of, ["c.service", "d.service"]);
    assert_eq!(definition.warnings, []);
}

#[test]
fn there_is_no_old_spelling_of_the_others() {
    for (option, meant) in [
        ("X-ConditionConflicts", "Conflicts"),
        ("X-Global", "Global"),
        ("X-Replaces", "Replaces"),
        ("X-MachineOf", "MachineOf"),
    ] {
        let errors = fleet_errors(UNIT, &format!("{option}=a.service"));
        assert!(errors[0].remedy.contains(meant), "{}", errors[0]);
    }
}

#[test]
fn truth_values() {
    for word in ["true", "yes", "on", "1", "t", "TRUE", "Yes", "\"true\"", "no\nGlobal=yes"] {
        assert!(fleet(UNIT, &format!("Global={word}")).rules.global, "{word}");
    }
    for word in ["false", "no", "off", "0", "f", "False", "yes\nGlobal=no", "yes\nGlobal="] {
        let definition = fleet(UNIT, &format!("Global={word}"));
        assert!(!definition.rules.global && definition.warnings.is_empty(), "{word}");
    }
    for word in ["y", "treu", "2", "yes no", "enabled"] {
        let definition = fleet(UNIT, &format!("Global={word}"));
        assert!(!definition.rules.global, "{word}");
        assert_eq!(definition.warnings[0].option.as_deref(), Some("Global"), "{word}");
    }
}

#[test]
fn specifiers_are_those_of_fleet() {
    for (unit, text, expected) in [
        ("app@1.service", "%n", "app@1.service"),
        ("app@1.service", "%N.socket", "app@1.socket"),
        ("app@1.service", "%p.service", "app.service"),
        ("app@1.service", "main@%i.service", "main@1.service"),
        ("app@a@b.service", "main@%i.service", "main@a@b.service"),
        ("app.service", "%p%i.socket", "app.socket"),
        ("app@.service", "main@%i.service", "main@%i.service"),
        ("app@.service", "%N.socket", "app@%i.socket"),
    ] {
        let definition = compatible(unit, &format!("MachineOf={text}"));
        assert_eq!(definition.rules.machine_of, [expected], "{unit} {text}");
    }
    for (text, expected) in
        [("k=%H", "k=%H"), ("k=%%i", "k=%1"), ("k=%", "k=%"), ("k=100%", "k=100%"), ("%p=%i", "app=1")]
    {
        assert_eq!(metadata(&fleet(UNIT, &format!("MachineMetadata={text}"))), [expected]);
    }
}

#[test]
fn a_name_with_backslashes_matches_itself_in_a_pattern() {
    let unit = "app@a\\x2db.service";
    for pattern in ["%n", "%p@%i.service", "%N.*"] {
        let definition = fleet(unit, &format!("Conflicts={pattern}"));
        assert!(definition.rules.conflicts[0].matches(unit), "{pattern}");
        assert_eq!(definition.warnings, []);
    }
    // Written out, a backslash is an escape; the remedy doubles it.
    let definition = fleet(unit, "Conflicts=app@a\\x2db.service");
    assert!(!definition.rules.conflicts[0].matches(unit));
    assert!(definition.warnings[0].remedy.contains("\\\\x2d"), "{}", definition.warnings[0]);
    let definition = fleet(unit, "Conflicts=app@a\\\\x2db.service");
    assert!(definition.rules.conflicts[0].matches(unit) && definition.warnings.is_empty());
}

/// Errors in strict mode, with the remedy; a warning with fleet's effect in compatible mode.
#[test]
fn what_fleet_passed_over_is_an_error() {
    for (options, option, remedy) in [
        ("Conflict=a@*", "Conflict", "did you mean Conflicts?"),
        ("conflicts=a@*", "conflicts", "did you mean Conflicts?"),
        ("MachineMetaData=a=b", "MachineMetaData", "did you mean MachineMetadata?"),
        ("Metadata=a=b", "Metadata", "did you mean MachineMetadata?"),
        ("Weight=3", "Weight", "it belongs into [X-Convoy]"),
        ("WhenCutof=keep", "WhenCutof", "did you mean WhenCutOff in [X-Convoy]?"),
        ("Description=x", "Description", "[X-Fleet] has MachineID, MachineOf, MachineMetadata"),
        ("MachineMetadata=zone", "MachineMetadata", "write zone=VALUE"),
        ("MachineMetadata==a", "MachineMetadata", "write KEY=a"),
        ("MachineMetadata=zone=", "MachineMetadata", "write zone=VALUE"),
        ("MachineMetadata=a=b c=d", "MachineMetadata", "MachineMetadata=\"a=b\" \"c=d\""),
        ("MachineMetadata=a=b=c", "MachineMetadata", "one pair"),
        ("Conflicts=[", "Conflicts", "close the bracket"),
        ("Conflicts=a\\", "Conflicts", "backslash"),
        ("Replaces=a[", "Replaces", "close the bracket"),
        ("Replaces=a.service b.service", "Replaces", "Replaces=\"first\" \"second\""),
        ("MachineOf=a.service b.service", "MachineOf", "MachineOf=\"a.service\" \"b.service\""),
        ("MachineOf=a@*.service", "MachineOf", "full names"),
        ("MachineOf=a/b.service", "MachineOf", "full name"),
        ("MachineOf=%n", "MachineOf", "name the unit whose machine"),
        ("MachineOf=app@1.service", "MachineOf", "name the unit whose machine"),
        ("Conflicts=\"a.service\" b.service", "Conflicts", "Conflicts=\"first value\" \"second value\""),
        ("MachineOf", "", "write OPTION=VALUE"),
        ("=a", "", "write OPTION=VALUE"),
    ] {
        // The backslash at the end of the line would go on with the next one.
        let errors = fleet_errors(UNIT, &format!("{options}\u{20}"));
        assert_eq!(errors.len(), 1, "{options}: {errors:?}");
        assert_eq!(errors[0].option.as_deref().unwrap_or_default(), option, "{options}");
        assert_eq!((errors[0].file.as_str(), errors[0].line), (UNIT, Some(2)), "{options}");
        assert!(errors[0].remedy.contains(remedy), "{options}: {}", errors[0]);
        let definition = compatible(UNIT, &format!("{options}\u{20}"));
        assert!(!definition.warnings.is_empty(), "{options}");
    }
}

#[test]
fn compatible_mode_has_fleets_effect() {
    let definition =
        compatible(UNIT, "MachineMetadata=a=1 b=2\nMachineMetadata=c=3\nConflicts=[ b@*\nMachineOf=%n");
    assert_eq!(metadata(&definition), ["c=3"]);
    assert_eq!(globs(&definition.rules.conflicts), ["b@*"]);
    assert_eq!(definition.rules.machine_of, [UNIT]);
    assert_eq!(definition.warnings.len(), 3);
}

#[test]
fn a_name_that_never_matches_is_a_warning_in_either_mode() {
    for (options, remedy) in [
        ("MachineOf=main", "write main.service"),
        ("MachineOf=main@1", "write main@1.service"),
        ("MachineOf=main.conf", "write main.conf.service"),
        ("MachineOf=main@.service", "main@%i.service"),
        ("Conflicts=main", "write main.service"),
    ] {
        let definition = fleet(UNIT, options);
        assert_eq!(definition.warnings.len(), 1, "{options}");
        assert!(definition.warnings[0].remedy.contains(remedy), "{options}: {}", definition.warnings[0]);
    }
}

/// The instance of a template isn't known, so nothing is held against it.
#[test]
fn a_template_is_checked_as_far_as_it_can_be() {
    for options in [
        "MachineMetadata=rack=%i",
        "MachineMetadata=%i",
        "MachineOf=%i",
        "MachineOf=main@%i.service",
        "MachineID=%i",
        "Conflicts=%p@*.service",
        "Conflicts=app@%i.socket",
    ] {
        let result = read("app@.service", &format!("[X-Fleet]\n{options}\n"), Strictness::Strict);
        if options == "MachineMetadata=%i" {
            continue;
        }
        assert_eq!(result.unwrap().warnings, [], "{options}");
    }
    for options in ["MachineOf=%n", "MachineOf=app@%i.service", "MachineMetadata=zone", "Conflicts=[%i"] {
        let errors =
            read("app@.service", &format!("[X-Fleet]\n{options}\n"), Strictness::Strict).unwrap_err().0;
        assert_eq!(errors.len(), 1, "{options}");
    }
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_file() {
    let errors = fleet_errors(UNIT, "MachineMetadata=a\nConflict=b\nConflicts=[\nMachineOf=x y\n[Bad");
    let lines: Vec<_> = errors.iter().filter_map(|problem| problem.line).collect();
    assert_eq!(lines, [2, 3, 4, 5, 6]);
    assert_eq!(
        errors[0].to_string(),
        "app@1.service:2: MachineMetadata: \"a\" has no equals sign; write a=VALUE"
    );
}

#[test]
fn no_option_takes_endless_values() {
    let many = format!("Conflicts={}", "a.service ".repeat(1001));
    let errors = fleet_errors(UNIT, &many);
    assert!(errors[0].message.contains("more than 1000 values"), "{}", errors[0]);
    let long = format!("MachineOf={}", "%n".repeat(100_000));
    let errors = fleet_errors(UNIT, &long);
    assert!(errors[0].to_string().len() < 1000);
}
