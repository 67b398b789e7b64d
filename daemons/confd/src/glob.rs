//! Patterns of Go's `path.Match`: `*` and `?` stop at a slash, classes may begin with `^`, a backslash quotes.

use thiserror::Error;

/// The pattern can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("syntax error in pattern")]
pub struct BadPattern;

/// A pattern that was read.
#[derive(Debug, Clone)]
pub struct Pattern(Vec<Token>);

#[derive(Debug, Clone)]
enum Token {
    /// `*`: anything but slashes.
    Star,
    /// `?`: one character that is no slash.
    One,
    /// `[a-z]`: one character, a slash too.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    Byte(u8),
}

impl Pattern {
    /// Reads a pattern.
    pub fn parse(pattern: &[u8]) -> Result<Self, BadPattern> {
        let mut tokens = Vec::new();
        let mut rest = pattern;
        while let Some((first, after)) = rest.split_first() {
            rest = after;
            tokens.push(match first {
                b'*' => Token::Star,
                b'?' => Token::One,
                b'[' => class(&mut rest)?,
                b'\\' => {
                    let (quoted, after) = rest.split_first().ok_or(BadPattern)?;
                    rest = after;
                    Token::Byte(*quoted)
                }
                byte => Token::Byte(*byte),
            });
        }
        Ok(Self(tokens))
    }

    /// What every match begins with.
    pub fn literal_prefix(&self) -> Vec<u8> {
        self.0
            .iter()
            .map_while(|token| match token {
                Token::Byte(byte) => Some(*byte),
                _ => None,
            })
            .collect()
    }

    /// Whether the whole name matches.
    pub fn matches(&self, name: &[u8]) -> bool {
        let (mut token, mut at) = (0, 0);
        // Where to go on when the rest doesn't match: the last star takes one byte more.
        let mut resume: Option<(usize, usize)> = None;
        loop {
            let rest = name.get(at..).unwrap_or_default();
            match self.0.get(token) {
                Some(Token::Star) => {
                    resume = Some((token + 1, at));
                    token += 1;
                    continue;
                }
                Some(other) => {
                    if let Some(width) = other.takes(rest) {
                        token += 1;
                        at += width;
                        continue;
                    }
                }
                None if rest.is_empty() => return true,
                None => {}
            }
            match resume {
                Some((after_star, end)) if name.get(end).is_some_and(|byte| *byte != b'/') => {
                    resume = Some((after_star, end + 1));
                    (token, at) = (after_star, end + 1);
                }
                _ => return false,
            }
        }
    }
}

impl Token {
    /// How many bytes at the start it takes.
    fn takes(&self, text: &[u8]) -> Option<usize> {
        match self {
            Self::Star => None,
            Self::Byte(byte) => (text.first() == Some(byte)).then_some(1),
            Self::One => first_char(text).filter(|(rune, _)| *rune != '/').map(|(_, width)| width),
            Self::Class { negated, ranges } => {
                let (rune, width) = first_char(text)?;
                let inside = ranges.iter().any(|(from, to)| (*from..=*to).contains(&rune));
                (inside != *negated).then_some(width)
            }
        }
    }
}

/// What follows an opening bracket.
fn class(rest: &mut &[u8]) -> Result<Token, BadPattern> {
    let negated = rest.first() == Some(&b'^');
    if negated {
        *rest = rest.get(1..).unwrap_or_default();
    }
    let mut ranges = Vec::new();
    loop {
        if rest.first() == Some(&b']') && !ranges.is_empty() {
            *rest = rest.get(1..).unwrap_or_default();
            return Ok(Token::Class { negated, ranges });
        }
        let from = class_char(rest)?;
        let mut to = from;
        if rest.first() == Some(&b'-') {
            *rest = rest.get(1..).unwrap_or_default();
            to = class_char(rest)?;
        }
        ranges.push((from, to));
    }
}

/// One character of a class; something has to follow it.
fn class_char(rest: &mut &[u8]) -> Result<char, BadPattern> {
    match rest.first() {
        None | Some(b'-' | b']') => return Err(BadPattern),
        Some(b'\\') => *rest = rest.get(1..).unwrap_or_default(),
        Some(_) => {}
    }
    let (rune, width) = first_char(rest).ok_or(BadPattern)?;
    if rune == char::REPLACEMENT_CHARACTER && width == 1 {
        return Err(BadPattern);
    }
    *rest = rest.get(width..).unwrap_or_default();
    if rest.is_empty() { Err(BadPattern) } else { Ok(rune) }
}

/// The first character; a byte that is no UTF-8 counts as one.
fn first_char(text: &[u8]) -> Option<(char, usize)> {
    let window = text.get(..text.len().min(4))?;
    let chunk = window.utf8_chunks().next()?;
    Some(
        chunk.valid().chars().next().map_or((char::REPLACEMENT_CHARACTER, 1), |rune| (rune, rune.len_utf8())),
    )
}
