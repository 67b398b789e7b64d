//! The assignments of one option in one of our sections: lists, spellings, specifiers.

use crate::{
    report::Report,
    specifier::Specifiers,
    syntax::{Entry, UnitFile},
};

/// Most values of one option, and longest line of one: enough for anything that a person means, and few enough that no
/// file takes long to check.
const MOST: usize = 1000;
const LONGEST: usize = 16 * 1024;

/// One value of an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// Line of its assignment.
    pub(crate) line: u32,
    /// The spelling that was used.
    pub(crate) option: &'static str,
    /// As written.
    pub(crate) raw: String,
    /// With specifiers expanded.
    pub(crate) text: String,
}

/// How a line is split into values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Split {
    /// At blanks outside quotes if the line begins and ends with a quote; otherwise it is one value.
    Quoted,
    /// Also at blanks if there are no quotes.
    Blanks,
}

/// Reads our options from one section.
#[derive(Debug)]
pub(crate) struct Options<'a> {
    pub(crate) entries: &'a [Entry],
    pub(crate) specifiers: &'a Specifiers,
}

impl<'a> Options<'a> {
    pub(crate) fn new(file: &'a UnitFile, section: &str, specifiers: &'a Specifiers) -> Self {
        Self { entries: file.entries(section), specifiers }
    }

    /// All values of an option in all its spellings, in the order of the file. An empty assignment takes back what
    /// came before it.
    pub(crate) fn values(
        &self,
        report: &mut Report<'_>,
        spellings: &[&'static str],
        split: Split,
        expand: impl Fn(&Specifiers, &str) -> String,
    ) -> Vec<Item> {
        let mut items = Vec::new();
        for entry in self.entries {
            let Some(option) = spellings.iter().copied().find(|spelling| *spelling == entry.key) else {
                continue;
            };
            if entry.value.is_empty() {
                items.clear();
                continue;
            }
            if entry.value.len() > LONGEST {
                too_much(entry.line, option, report);
                continue;
            }
            let words = words(&entry.value, split);
            if !words.balanced {
                report.let_through(
                    entry.line,
                    option,
                    "the quotes aren't in pairs around whole values",
                    "taken apart as fleet did",
                    format!("write {option}=\"first value\" \"second value\""),
                );
            }
            items.extend(words.list.into_iter().map(|raw| Item {
                line: entry.line,
                option,
                text: expand(self.specifiers, &raw),
                raw,
            }));
            if items.len() > MOST {
                too_much(entry.line, option, report);
                items.truncate(MOST);
                break;
            }
        }
        items
    }
}

fn too_much(line: u32, option: &str, report: &mut Report<'_>) {
    report.error(
        line,
        option,
        format!("it has more than {MOST} values, or a line of more than {LONGEST} bytes"),
        "write fewer values; a pattern stands for many names",
    );
}

struct Words {
    list: Vec<String>,
    balanced: bool,
}

/// Fleet's lists. Quotes count only if they are both the first and the last character; a backslash escapes nothing.
fn words(line: &str, split: Split) -> Words {
    let number = line.bytes().filter(|byte| *byte == b'"').count();
    let quoted = line.starts_with('"') && line.ends_with('"');
    if !quoted {
        let list = match split {
            Split::Quoted => vec![line.to_owned()],
            Split::Blanks => line.split_ascii_whitespace().map(str::to_owned).collect(),
        };
        // One quote inside a value is as good as any other character.
        return Words { list, balanced: !line.starts_with('"') && !line.ends_with('"') };
    }
    let mut list = vec![String::new()];
    let mut inside = false;
    for character in line.chars() {
        match (character, list.last_mut()) {
            ('"', _) => inside = !inside,
            (' ' | '\t', _) if !inside => list.push(String::new()),
            (character, Some(word)) => word.push(character),
            (_, None) => {}
        }
    }
    // Between two values stands one blank or more.
    list.retain(|word| !word.is_empty());
    if split == Split::Blanks {
        list = list.iter().flat_map(|word| word.split_ascii_whitespace()).map(str::to_owned).collect();
    }
    Words { list, balanced: number % 2 == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_taken_apart_as_fleet_did() {
        for (line, quoted, blanks, balanced) in [
            ("a", &["a"][..], &["a"][..], true),
            ("a b", &["a b"], &["a", "b"], true),
            ("\"a\" \"b c\"", &["a", "b c"], &["a", "b", "c"], true),
            ("\"a\"  \"b\"", &["a", "b"], &["a", "b"], true),
            ("\"a\" b \"c\"", &["a", "b", "c"], &["a", "b", "c"], true),
            ("\"a\"", &["a"], &["a"], true),
            ("\"\"", &[], &[], true),
            ("\"", &[], &[], false),
            ("\"a \"b\"", &["a b"], &["a", "b"], false),
            ("\"a\" b", &["\"a\" b"], &["\"a\"", "b"], false),
            ("a \"b\"", &["a \"b\""], &["a", "\"b\""], false),
            ("a\"b", &["a\"b"], &["a\"b"], true),
        ] {
            let as_quoted = words(line, Split::Quoted);
            assert_eq!(as_quoted.list, quoted, "{line}");
            assert_eq!(as_quoted.balanced, balanced, "{line}");
            assert_eq!(words(line, Split::Blanks).list, blanks, "{line}");
        }
    }
}
