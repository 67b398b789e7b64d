//! Which units arguments stand for.

use std::collections::BTreeSet;

use convoy_unit_files::{Glob, UnitName};

use crate::{braces, picture::Picture, refusal::Refusal};

/// What becomes of templates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Templates {
    /// They are units like others.
    Themselves,
    /// A pattern passes them over; by name they are refused.
    Refused,
    /// A template stands for its instances.
    Instances,
}

/// The units that arguments stand for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// In the order of the arguments, each once.
    pub names: Vec<UnitName>,
    /// What no unit was found for, as sentences.
    pub missing: Vec<String>,
}

/// Whether the argument is a pattern. A backslash alone makes none: systemd-escape writes it.
pub fn is_pattern(argument: &str) -> bool {
    argument.contains(['*', '?', '['])
}

/// The words that an argument stands for.
pub fn words(arguments: &[String]) -> Result<Vec<String>, Refusal> {
    let expanded: Result<Vec<_>, _> = arguments.iter().map(|argument| braces::expand(argument)).collect();
    Ok(expanded.map_err(Refusal::Usage)?.concat())
}

/// Finds units of the store. Units that only run, unknown to the store, count too.
pub fn stored(picture: &Picture, arguments: &[String], templates: Templates) -> Result<Selection, Refusal> {
    let known: BTreeSet<&UnitName> = picture.units.keys().chain(picture.states.keys()).collect();
    let mut selection = Selection::default();
    for word in words(arguments)? {
        let found = if is_pattern(&word) {
            matching(&known, &word, templates)?
        } else {
            let name = UnitName::complete(&word).map_err(|error| Refusal::Usage(error.to_string()))?;
            named(&known, &name, templates)?
        };
        if found.is_empty() {
            selection
                .missing
                .push(format!("{word}: there is no such unit in the store; list-unit-files shows them"));
        }
        for name in found {
            if !selection.names.contains(&name) {
                selection.names.push(name);
            }
        }
    }
    Ok(selection)
}

/// The units that match a pattern, with or without its type.
fn matching(known: &BTreeSet<&UnitName>, word: &str, templates: Templates) -> Result<Vec<UnitName>, Refusal> {
    let base = word.rsplit_once('/').map_or(word, |(_, base)| base);
    let parse = |pattern: &str| Glob::parse(pattern).map_err(|error| Refusal::Usage(error.to_string()));
    let (plain, service) = (parse(base)?, parse(&format!("{base}.service"))?);
    let matches = |name: &UnitName| plain.matches(name.as_str()) || service.matches(name.as_str());
    let wanted = |name: &UnitName| templates == Templates::Themselves || !name.is_template();
    Ok(known.iter().filter(|name| matches(name) && wanted(name)).map(|name| (*name).clone()).collect())
}

fn named(
    known: &BTreeSet<&UnitName>,
    name: &UnitName,
    templates: Templates,
) -> Result<Vec<UnitName>, Refusal> {
    match templates {
        Templates::Refused if name.is_template() => Err(Refusal::Usage(format!(
            "{name} is a template; name an instance, such as {}, or a pattern",
            name.instantiate("1").map_or_else(|_| name.to_string(), |instance| instance.to_string())
        ))),
        Templates::Instances if name.is_template() => {
            let instances = known.iter().filter(|known| known.template().as_ref() == Some(name));
            Ok(instances.map(|name| (*name).clone()).collect())
        }
        _ => Ok(known.contains(name).then(|| name.clone()).into_iter().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::tests::picture;

    fn cluster() -> Picture {
        let units = ["a@.service", "a@1.service", "a@2.service", "b.timer", "ab.service", "c@x.socket"];
        let entries: Vec<(String, &str)> = units
            .iter()
            .map(|name| (format!("/convoy/units/{name}"), r#"{"text":"","desired":"launched"}"#))
            .chain([(
                "/convoy/states/m1/ghost.service".to_owned(),
                r#"{"load":"loaded","active":"active","sub":"running","hash":"","unclaimed":true}"#,
            )])
            .collect();
        let entries: Vec<(&str, &str)> = entries.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        picture(&entries)
    }

    fn select(words: &str, templates: Templates) -> (Vec<String>, usize) {
        let arguments: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let selection = stored(&cluster(), &arguments, templates).unwrap();
        (selection.names.iter().map(ToString::to_string).collect(), selection.missing.len())
    }

    #[test]
    fn names_patterns_and_braces_find_units_of_the_store() {
        use Templates::{Instances, Refused, Themselves};
        for (words, templates, names, missing) in [
            ("a@1", Refused, &["a@1.service"][..], 0),
            ("./dir/a@1.service", Refused, &["a@1.service"], 0),
            ("a@{1..3}", Refused, &["a@1.service", "a@2.service"], 1),
            ("a@*", Refused, &["a@1.service", "a@2.service"], 0),
            ("a@*", Themselves, &["a@.service", "a@1.service", "a@2.service"], 0),
            ("a@", Instances, &["a@1.service", "a@2.service"], 0),
            ("a@?", Refused, &["a@1.service", "a@2.service"], 0),
            ("a@2 a@*", Refused, &["a@2.service", "a@1.service"], 0),
            ("b", Refused, &[], 1),
            ("b.timer", Refused, &["b.timer"], 0),
            ("*.socket", Refused, &["c@x.socket"], 0),
            ("[ab]*", Refused, &["a@1.service", "a@2.service", "ab.service", "b.timer"], 0),
            ("ghost", Refused, &["ghost.service"], 0),
            ("z*", Refused, &[], 1),
        ] {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            assert_eq!(select(words, templates), (names, missing), "{words}");
        }
    }

    #[test]
    fn what_can_not_be_a_name_is_a_mistake_on_the_command_line() {
        for (word, templates) in
            [("a b", Templates::Refused), ("a@", Templates::Refused), ("a[", Templates::Refused)]
        {
            assert!(
                matches!(stored(&cluster(), &[word.into()], templates), Err(Refusal::Usage(_))),
                "{word}"
            );
        }
    }
}
