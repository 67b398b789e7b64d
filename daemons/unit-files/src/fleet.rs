//! The `[X-Fleet]` section: fleet's six options and their old spellings.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Glob, Rules, UnitName,
    name::is_name_character,
    option::{Item, Options, Split},
    quote::shown,
    report::Report,
    specifier::Specifiers,
};

pub(crate) const SECTION: &str = "X-Fleet";

/// The options in the spelling of today.
pub(crate) const OPTIONS: [&str; 6] =
    ["MachineID", "MachineOf", "MachineMetadata", "Conflicts", "Global", "Replaces"];
/// The spellings of before fleet 0.8.
pub(crate) const LEGACY: [&str; 5] = [
    "X-ConditionMachineID",
    "X-ConditionMachineBootID",
    "X-ConditionMachineOf",
    "X-ConditionMachineMetadata",
    "X-Conflicts",
];

/// What the section says, with the lines.
#[derive(Debug, Default)]
pub(crate) struct Placement {
    pub(crate) machine_id: Vec<Item>,
    pub(crate) machine_of: Vec<Item>,
    pub(crate) metadata: Vec<Item>,
    pub(crate) conflicts: Vec<Item>,
    pub(crate) replaces: Vec<Item>,
    pub(crate) global: Option<Item>,
}

/// Reads the section into the rules.
pub(crate) fn read(options: &Options<'_>, report: &mut Report<'_>, rules: &mut Rules) -> Placement {
    use Split::{Blanks, Quoted};
    let mut list =
        |spellings: &[&'static str], split| options.values(report, spellings, split, Specifiers::fleet);
    let mut found = Placement {
        machine_id: list(&["MachineID", "X-ConditionMachineID", "X-ConditionMachineBootID"], Quoted),
        machine_of: list(&["MachineOf", "X-ConditionMachineOf"], Quoted),
        metadata: list(&["MachineMetadata", "X-ConditionMachineMetadata"], Quoted),
        ..Placement::default()
    };
    let mut global = list(&["Global"], Quoted);
    found.conflicts =
        options.values(report, &["Conflicts", "X-Conflicts"], Blanks, Specifiers::fleet_pattern);
    found.replaces = options.values(report, &["Replaces"], Quoted, Specifiers::fleet_pattern);

    rules.machine_id = machine_id(&found.machine_id, report);
    rules.machine_of = machine_of(&found.machine_of, options.specifiers, report);
    rules.metadata = metadata(&found.metadata, report);
    rules.conflicts = globs(&found.conflicts, report);
    rules.replaces = globs(&found.replaces, report);
    if let Some(last) = global.pop() {
        rules.global = is_global(&last, report);
        found.global = rules.global.then_some(last);
    }
    found
}

/// The newest spelling that is there, and of that the first value.
fn machine_id(items: &[Item], report: &mut Report<'_>) -> Option<String> {
    let spelling = ["MachineID", "X-ConditionMachineID", "X-ConditionMachineBootID"]
        .into_iter()
        .find(|spelling| items.iter().any(|item| item.option == *spelling))?;
    let first = items.iter().find(|item| item.option == spelling)?;
    for further in items.iter().filter(|item| item.text != first.text) {
        report.warning(
            further.line,
            further.option,
            format!(
                "{:?} is passed over, the unit is pinned to {:?}",
                shown(&further.text),
                shown(&first.text)
            ),
            "give one MachineID; for a choice of machines use MachineMetadata",
        );
    }
    let possible =
        |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '_' | '%');
    if first.text.is_empty() || !first.text.chars().all(possible) {
        report.warning(
            first.line,
            first.option,
            format!("no machine has the id {:?}: the unit waits for ever", shown(&first.text)),
            "give one id as convoyctl list-machines --full shows it",
        );
    }
    Some(first.text.clone())
}

fn machine_of(items: &[Item], specifiers: &Specifiers, report: &mut Report<'_>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for item in items {
        check_peer(item, specifiers, report);
        if !names.contains(&item.text) {
            names.push(item.text.clone());
        }
    }
    names
}

fn check_peer(item: &Item, specifiers: &Specifiers, report: &mut Report<'_>) {
    let Item { line, option, text, .. } = item;
    let waits = "no unit has this name, so the unit waits for ever";
    if text == specifiers.full() {
        return report.let_through(
            *line,
            option,
            "the unit names itself",
            "it waits for ever",
            "name the unit whose machine it has to share",
        );
    }
    // In a template the instance is not known yet; any will do for the check.
    let text = text.replace("%i", "i");
    if text.contains(is_space) {
        let quoted: Vec<_> =
            text.split(is_space).filter(|word| !word.is_empty()).map(|word| format!("\"{word}\"")).collect();
        return report.let_through(
            *line,
            option,
            &format!("{:?} is one value with blanks", shown(&text)),
            waits,
            format!("write {option}={}, or one line for each unit", shown(&quoted.join(" "))),
        );
    }
    if text.contains(['*', '?', '[']) {
        return report.let_through(
            *line,
            option,
            &format!("{:?} is a pattern", shown(&text)),
            waits,
            "MachineOf takes full names; write one line for each unit",
        );
    }
    match UnitName::parse(&text) {
        Ok(name) if name.is_template() => report.warning(
            *line,
            option,
            format!("{name} is a template and never on a machine: the unit waits for ever"),
            format!("name an instance, such as {}@%i.{}", name.prefix(), name.unit_type().suffix()),
        ),
        Ok(_) => {}
        Err(_)
            if !text.is_empty()
                && text.chars().all(is_name_character)
                && UnitName::complete(&text).is_ok_and(|name| name.as_str() != text) =>
        {
            // It may end in an instance which is not known yet and brings the type along.
            if !item.text.ends_with("%i") {
                report.warning(
                    *line,
                    option,
                    format!("{:?} has no type of unit at its end: {waits}", shown(&text)),
                    format!("write {}.service", shown(&item.raw)),
                );
            }
        }
        Err(error) => {
            report.let_through(*line, option, &error.to_string(), waits, "write the full name of a unit");
        }
    }
}

fn is_space(character: char) -> bool {
    character.is_whitespace()
}

fn metadata(items: &[Item], report: &mut Report<'_>) -> BTreeMap<String, BTreeSet<String>> {
    let mut pairs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for Item { line, option, text, .. } in items {
        let parts: Vec<&str> = text.splitn(3, '=').collect();
        match parts.as_slice() {
            [key, value] if !key.is_empty() && !value.is_empty() => {
                if text.contains(is_space) && !pairs.contains_key(*key) {
                    report.warning(
                        *line,
                        option,
                        format!("{:?} is one pair with a blank in it", shown(text)),
                        format!("if that is meant, fine; several pairs are written {option}=\"a=b\" \"c=d\""),
                    );
                }
                pairs.entry((*key).to_owned()).or_default().insert((*value).to_owned());
            }
            parts => {
                let (message, remedy) = match parts {
                    [word] => (
                        format!("{:?} has no equals sign", shown(text)),
                        format!("write {}=VALUE", shown(word)),
                    ),
                    ["", _] => (format!("{:?} has no key", shown(text)), format!("write KEY{}", shown(text))),
                    [_, _] => {
                        (format!("{:?} has no value", shown(text)), format!("write {}VALUE", shown(text)))
                    }
                    _ => (
                        format!("{:?} has more than one equals sign", shown(text)),
                        format!("write one pair on a line, or {option}=\"a=b\" \"c=d\""),
                    ),
                };
                report.let_through(*line, option, &message, "the pair is dropped", remedy);
            }
        }
    }
    pairs
}

fn globs(items: &[Item], report: &mut Report<'_>) -> Vec<Glob> {
    let mut globs: Vec<Glob> = Vec::new();
    for Item { line, option, raw, text } in items {
        let nothing = "it matches nothing";
        match Glob::parse(text) {
            Err(error) => report.let_through(
                *line,
                option,
                &error.to_string(),
                nothing,
                "close the bracket, or put a backslash before a character that stands for itself",
            ),
            Ok(_) if text.contains(is_space) => report.let_through(
                *line,
                option,
                &format!("{:?} is one value with blanks", shown(text)),
                nothing,
                format!("write {option}=\"first\" \"second\", or one line for each"),
            ),
            Ok(glob) => {
                if has_systemd_escape(raw) {
                    report.warning(
                        *line,
                        option,
                        format!("in {:?} the backslash only makes the next character literal", shown(raw)),
                        r"an escaped name is matched by two backslashes, as in \\x2d",
                    );
                }
                if let Some(literal) = glob.literal() {
                    check_literal(*line, option, text, literal, report);
                }
                if !globs.contains(&glob) {
                    globs.push(glob);
                }
            }
        }
    }
    globs
}

/// Whether a pattern has `\x2d`, as systemd-escape(1) writes it, without a backslash that keeps the backslash.
fn has_systemd_escape(pattern: &str) -> bool {
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character == '\\' && characters.next() == Some('x') {
            return true;
        }
    }
    false
}

/// A pattern without wildcards names one unit; it should be one that can exist.
fn check_literal(line: u32, option: &str, text: &str, literal: &str, report: &mut Report<'_>) {
    if UnitName::parse(&literal.replace("%i", "i")).is_ok() || literal.contains("%i") {
        return;
    }
    report.warning(
        line,
        option,
        format!("{:?} matches no unit", shown(text)),
        if literal.contains('.') {
            "write the full name of a unit".to_owned()
        } else {
            format!("write {}.service", shown(text))
        },
    );
}

/// Fleet's truth values: the words for true are fewer than systemd's, and every other word is false.
fn is_global(item: &Item, report: &mut Report<'_>) -> bool {
    match item.text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" | "t" => true,
        "false" | "no" | "off" | "0" | "f" | "n" => false,
        _ => {
            report.warning(
                item.line,
                item.option,
                format!("{:?} is no truth value, so the unit isn't global", shown(&item.text)),
                "write Global=true or Global=false",
            );
            false
        }
    }
}
