//! Specifiers: what `%n` and its like stand for in the file of one unit.

use crate::{Glob, UnitName};

/// What the specifiers of one unit stand for. In a template the instance isn't known: `%i` stays, in the full name too.
#[derive(Debug, Clone)]
pub(crate) struct Specifiers {
    /// `%n`
    full: String,
    /// `%N`
    stem: String,
    /// `%p`
    prefix: String,
    /// `%i`; empty for a unit without an at sign.
    instance: String,
    template: bool,
}

impl Specifiers {
    pub(crate) fn of(name: &UnitName) -> Self {
        let template = name.is_template();
        let prefix = name.prefix().to_owned();
        let (instance, stem) = if template {
            ("%i".to_owned(), format!("{prefix}@%i"))
        } else {
            (name.instance().unwrap_or_default().to_owned(), name.without_type().to_owned())
        };
        Self { full: format!("{stem}.{}", name.unit_type().suffix()), stem, prefix, instance, template }
    }

    /// The name itself.
    pub(crate) fn full(&self) -> &str {
        &self.full
    }

    /// Fleet's specifiers: `%n`, `%N`, `%p`, `%i`. Everything else stays as it is, `%%` too.
    pub(crate) fn fleet(&self, text: &str) -> String {
        expand(text, false, |letter| self.common(letter).map(str::to_owned))
    }

    /// Fleet's specifiers in a pattern: a backslash in the unit's name stands for itself there.
    pub(crate) fn fleet_pattern(&self, text: &str) -> String {
        expand(text, false, |letter| self.common(letter).map(Glob::escape))
    }

    /// systemd's specifiers, as far as they come from the name alone (systemd.unit(5)). Others stay as they are.
    pub(crate) fn systemd(&self, text: &str) -> String {
        expand(text, true, |letter| match letter {
            'P' => unescape(&self.prefix),
            'j' => Some(self.last_part().to_owned()),
            'J' => unescape(self.last_part()),
            'I' if !self.template => unescape(&self.instance),
            _ => self.common(letter).map(str::to_owned),
        })
    }

    fn common(&self, letter: char) -> Option<&str> {
        match letter {
            'n' => Some(&self.full),
            'N' => Some(&self.stem),
            'p' => Some(&self.prefix),
            'i' => Some(&self.instance),
            _ => None,
        }
    }

    /// What follows the last dash of the prefix.
    fn last_part(&self) -> &str {
        self.prefix.rsplit_once('-').map_or(&self.prefix, |(_, last)| last)
    }
}

fn expand(text: &str, percent: bool, mut value: impl FnMut(char) -> Option<String>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        expanded.push_str(before);
        rest = after;
        let mut following = after.chars();
        match following.next() {
            Some('%') if percent => {
                expanded.push('%');
                rest = following.as_str();
            }
            Some(letter) if letter != '%' => match value(letter) {
                Some(value) => {
                    expanded.push_str(&value);
                    rest = following.as_str();
                }
                None => expanded.push('%'),
            },
            _ => expanded.push('%'),
        }
    }
    expanded.push_str(rest);
    expanded
}

/// systemd-escape(1) backwards: a dash is a slash, `\x2d` is the byte 2d. None for what is no such escape or no text.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'-' => b'/',
            b'\\' => {
                rest.next().filter(|byte| *byte == b'x')?;
                let high = digit(rest.next()?)?;
                high * 16 + digit(rest.next()?)?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
