//! Files as systemd 252 reads them (systemd.syntax(7), and its parser where the page is silent).

use std::collections::HashMap;

/// The length in bytes at which systemd gives up on a line or on a continued line (LONG_LINE_MAX).
const LONG_LINE: usize = 1024 * 1024;
const BYTE_ORDER_MARK: char = '\u{feff}';

/// One assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The line on which it begins, counted from 1.
    pub line: u32,
    /// What stands before the equals sign.
    pub key: String,
    /// What stands after it, continued lines joined by a blank, without blanks around it.
    pub value: String,
}

/// A section; one that occurs several times is one section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The line of its first header, counted from 1.
    pub line: u32,
    /// Its name.
    pub name: String,
    /// What is assigned in it, in the order of the file.
    pub entries: Vec<Entry>,
}

/// What is wrong with the syntax.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// systemd refuses the file.
    LineTooLong,
    /// systemd takes it for the end of the line.
    NulByte,
    /// systemd refuses the file.
    Header(String),
    /// systemd passes the line over.
    OutsideSection(String),
    /// systemd passes the line over.
    NoEqualsSign {
        /// The section.
        section: String,
        /// The line.
        text: String,
    },
    /// systemd passes the line over.
    NoKey {
        /// The section.
        section: String,
        /// The line.
        text: String,
    },
}

/// A unit file's sections.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnitFile {
    sections: Vec<Section>,
    faults: Vec<(u32, Fault)>,
}

impl UnitFile {
    /// Reads the text. What can't be read is passed over and noted among the faults.
    pub fn parse(text: &str) -> Self {
        let mut reader = Reader::default();
        let mut seen_mark = false;
        let mut pending: Option<(u32, String)> = None;
        for (number, line) in (1..).zip(Lines(Some(text))) {
            if line.len() >= LONG_LINE {
                reader.fault(number, Fault::LineTooLong);
                return reader.file;
            }
            // A comment among continued lines is as if it weren't there.
            if line.trim_start_matches(is_blank).starts_with(['#', ';']) {
                continue;
            }
            let line = match line.strip_prefix(BYTE_ORDER_MARK) {
                Some(rest) if !seen_mark => {
                    seen_mark = true;
                    rest
                }
                _ => line,
            };
            let (first, mut joined) = pending.take().unwrap_or((number, String::new()));
            if joined.len() + line.len() > LONG_LINE {
                reader.fault(first, Fault::LineTooLong);
                return reader.file;
            }
            let backslashes = line.bytes().rev().take_while(|byte| *byte == b'\\').count();
            match line.strip_suffix('\\') {
                Some(open) if backslashes % 2 == 1 => {
                    joined.push_str(open);
                    joined.push(' ');
                    pending = Some((first, joined));
                }
                _ if joined.is_empty() => reader.line(first, line),
                _ => {
                    joined.push_str(line);
                    reader.line(first, &joined);
                }
            }
        }
        if let Some((first, joined)) = pending {
            reader.line(first, &joined);
        }
        if let Some(at) = text.find('\0') {
            let before = text.get(..at).unwrap_or_default();
            reader.fault(line_count(before), Fault::NulByte);
        }
        reader.file
    }

    /// All sections, in the order in which they first occur.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// A section.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// All assignments of a section, empty ones too.
    pub fn entries(&self, section: &str) -> &[Entry] {
        self.section(section).map_or(&[], |section| &section.entries)
    }

    /// The assignments of an option that is a list: an empty one takes back what came before it.
    pub fn values(&self, section: &str, key: &str) -> Vec<&Entry> {
        let mut values = Vec::new();
        for entry in self.entries(section).iter().filter(|entry| entry.key == key) {
            if entry.value.is_empty() {
                values.clear();
            } else {
                values.push(entry);
            }
        }
        values
    }

    /// The assignment that counts for an option with one value; none if the last one is empty.
    pub fn last(&self, section: &str, key: &str) -> Option<&Entry> {
        self.entries(section).iter().rfind(|entry| entry.key == key).filter(|entry| !entry.value.is_empty())
    }

    /// What is wrong, with the line.
    pub fn faults(&self) -> &[(u32, Fault)] {
        &self.faults
    }
}

/// systemd's WHITESPACE.
pub(crate) fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r')
}

/// Number of the line that a text ends in.
fn line_count(text: &str) -> u32 {
    u32::try_from(Lines(Some(text)).count()).unwrap_or(u32::MAX).max(1)
}

/// Lines without their ends. An end is a line feed, a carriage return, a NUL, or different ones of them in a row.
struct Lines<'a>(Option<&'a str>);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.0.take().filter(|text| !text.is_empty())?;
        let Some(end) = text.find(['\n', '\r', '\0']) else { return Some(text) };
        let (line, rest) = text.split_at_checked(end)?;
        let mut ends = String::with_capacity(3);
        for character in rest.chars().take(3) {
            if !matches!(character, '\n' | '\r' | '\0') || ends.contains(character) || ends.contains('\0') {
                break;
            }
            ends.push(character);
        }
        self.0 = rest.get(ends.len()..);
        Some(line)
    }
}

/// What the next line belongs to.
#[derive(Default)]
enum Place {
    /// No header yet.
    #[default]
    Outside,
    /// After a broken header.
    Nowhere,
    /// In a section.
    Section(usize),
}

#[derive(Default)]
struct Reader {
    file: UnitFile,
    by_name: HashMap<String, usize>,
    place: Place,
}

impl Reader {
    fn fault(&mut self, line: u32, fault: Fault) {
        self.file.faults.push((line, fault));
    }

    /// One logical line.
    fn line(&mut self, line: u32, text: &str) {
        let text = text.trim_matches(is_blank);
        if text.is_empty() {
            return;
        }
        if let Some(header) = text.strip_prefix('[') {
            return self.header(line, text, header.strip_suffix(']'));
        }
        let section = match self.place {
            Place::Outside => return self.fault(line, Fault::OutsideSection(text.to_owned())),
            Place::Nowhere => return,
            Place::Section(index) => self.file.sections.get_mut(index),
        };
        let Some(section) = section else { return };
        match text.split_once('=') {
            None => {
                let fault = Fault::NoEqualsSign { section: section.name.clone(), text: text.to_owned() };
                self.fault(line, fault);
            }
            Some(("", _)) => {
                let fault = Fault::NoKey { section: section.name.clone(), text: text.to_owned() };
                self.fault(line, fault);
            }
            Some((key, value)) => section.entries.push(Entry {
                line,
                key: key.trim_matches(is_blank).to_owned(),
                value: value.trim_matches(is_blank).to_owned(),
            }),
        }
    }

    fn header(&mut self, line: u32, text: &str, name: Option<&str>) {
        let unsafe_character =
            |character: char| character.is_ascii_control() || matches!(character, '"' | '\'' | '\\');
        let Some(name) = name.filter(|name| !name.contains(unsafe_character)) else {
            self.place = Place::Nowhere;
            return self.fault(line, Fault::Header(text.to_owned()));
        };
        let index = *self.by_name.entry(name.to_owned()).or_insert_with(|| {
            self.file.sections.push(Section { line, name: name.to_owned(), entries: Vec::new() });
            self.file.sections.len() - 1
        });
        self.place = Place::Section(index);
    }
}
