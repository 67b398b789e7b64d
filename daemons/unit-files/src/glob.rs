//! Patterns for unit names, as Go's path.Match takes them: `*`, `?`, `[abc]`, `[a-z]`, `[^a]`, backslash escapes.
//!
//! `*` and `?` don't match a slash, a class may. There are no braces.

use std::{fmt, iter::Peekable, str::Chars};

use thiserror::Error;

use crate::quote::shown;

/// Why a pattern is broken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{pattern:?} is not a pattern: {reason}")]
pub struct GlobError {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// A pattern for unit names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Glob {
    pattern: Box<str>,
    shape: Shape,
}

/// The pattern, ready for matching. Almost all patterns are of the first two kinds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Shape {
    /// One name.
    Literal(Box<str>),
    /// Literal text around one star.
    Affix { prefix: Box<str>, suffix: Box<str> },
    /// Anything else: a literal beginning, and the rest.
    General { prefix: Box<str>, rest: Box<[Token]> },
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Token {
    Literal(char),
    Any,
    Star,
    Class { negated: bool, ranges: Box<[(char, char)]> },
}

impl Token {
    /// Whether one character matches.
    fn accepts(&self, character: char) -> bool {
        match self {
            Self::Literal(literal) => *literal == character,
            Self::Any => character != '/',
            Self::Star => false,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&character)) != *negated
            }
        }
    }
}

impl Glob {
    /// Checks a pattern. The whole pattern is looked at, while Go stops where a name stops matching.
    pub fn parse(pattern: &str) -> Result<Self, GlobError> {
        let tokens = tokens(pattern).map_err(|reason| GlobError { pattern: shown(pattern), reason })?;
        let mut rest = tokens.into_iter().peekable();
        let prefix = literals(&mut rest);
        let rest: Vec<Token> = rest.collect();
        let shape = match rest.split_first() {
            None => Shape::Literal(prefix),
            Some((Token::Star, tail)) if tail.iter().all(|token| matches!(token, Token::Literal(_))) => {
                Shape::Affix { prefix, suffix: literals(&mut tail.iter().cloned().peekable()) }
            }
            Some(_) => Shape::General { prefix, rest: rest.into() },
        };
        Ok(Self { pattern: pattern.into(), shape })
    }

    /// The pattern that matches exactly this text.
    pub fn escape(text: &str) -> String {
        let mut pattern = String::with_capacity(text.len());
        for character in text.chars() {
            if matches!(character, '*' | '?' | '[' | '\\') {
                pattern.push('\\');
            }
            pattern.push(character);
        }
        pattern
    }

    /// The pattern.
    pub fn as_str(&self) -> &str {
        &self.pattern
    }

    /// The only name that matches, if the pattern has no wildcard.
    pub fn literal(&self) -> Option<&str> {
        match &self.shape {
            Shape::Literal(name) => Some(name),
            Shape::Affix { .. } | Shape::General { .. } => None,
        }
    }

    /// What every name that matches begins with.
    pub fn literal_prefix(&self) -> &str {
        match &self.shape {
            Shape::Literal(prefix) | Shape::Affix { prefix, .. } | Shape::General { prefix, .. } => prefix,
        }
    }

    /// What comes before and after the star, if the pattern is literal text around one star.
    pub fn affixes(&self) -> Option<(&str, &str)> {
        match &self.shape {
            Shape::Affix { prefix, suffix } => Some((prefix, suffix)),
            Shape::Literal(_) | Shape::General { .. } => None,
        }
    }

    /// Whether the whole name matches. Takes at most (length of pattern) × (length of name) steps.
    pub fn matches(&self, name: &str) -> bool {
        match &self.shape {
            Shape::Literal(literal) => **literal == *name,
            Shape::Affix { prefix, suffix } => name
                .strip_prefix(&**prefix)
                .and_then(|rest| rest.strip_suffix(&**suffix))
                .is_some_and(|middle| !middle.contains('/')),
            Shape::General { prefix, rest } => {
                name.strip_prefix(&**prefix).is_some_and(|name| matches_tokens(rest, name))
            }
        }
    }
}

/// Takes the leading literals.
fn literals(tokens: &mut Peekable<impl Iterator<Item = Token>>) -> Box<str> {
    let mut text = String::new();
    while let Some(Token::Literal(character)) = tokens.next_if(|token| matches!(token, Token::Literal(_))) {
        text.push(character);
    }
    text.into()
}

fn tokens(pattern: &str) -> Result<Vec<Token>, &'static str> {
    let mut tokens = Vec::new();
    let mut rest = pattern.chars().peekable();
    while let Some(character) = rest.next() {
        tokens.push(match character {
            // Several stars in a row say the same as one.
            '*' if tokens.last() == Some(&Token::Star) => continue,
            '*' => Token::Star,
            '?' => Token::Any,
            '[' => class(&mut rest)?,
            '\\' => Token::Literal(rest.next().ok_or("a backslash at the end escapes nothing")?),
            literal => Token::Literal(literal),
        });
    }
    Ok(tokens)
}

/// What follows an opening bracket, with the closing one.
fn class(rest: &mut Peekable<Chars<'_>>) -> Result<Token, &'static str> {
    let negated = rest.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && rest.next_if_eq(&']').is_some() {
            return Ok(Token::Class { negated, ranges: ranges.into() });
        }
        let low = class_character(rest)?;
        let high = if rest.next_if_eq(&'-').is_some() { class_character(rest)? } else { low };
        ranges.push((low, high));
    }
}

/// One end of a range; closing brackets and dashes have to be escaped.
fn class_character(rest: &mut Peekable<Chars<'_>>) -> Result<char, &'static str> {
    match rest.next() {
        None => Err("the bracket [ isn't closed"),
        Some('-') => Err("a dash in brackets stands between two characters, or has a backslash before it"),
        Some(']') => Err("brackets need a character between them, and a range two"),
        Some('\\') => rest.next().ok_or("the bracket [ isn't closed"),
        Some(character) => Ok(character),
    }
}

/// Matching with one place to go back to: a star can take what an earlier one would have to give.
fn matches_tokens(tokens: &[Token], name: &str) -> bool {
    let mut tokens = tokens.iter();
    let mut name = name.chars();
    // The tokens after the last star, and the name from which they are tried next.
    let mut retry: Option<(std::slice::Iter<'_, Token>, Chars<'_>)> = None;
    loop {
        match tokens.next() {
            Some(Token::Star) => {
                retry = Some((tokens.clone(), name.clone()));
                continue;
            }
            Some(token) => {
                let mut ahead = name.clone();
                if ahead.next().is_some_and(|character| token.accepts(character)) {
                    name = ahead;
                    continue;
                }
            }
            None if name.as_str().is_empty() => return true,
            None => {}
        }
        // The star takes one more character, which may not be a slash.
        let Some((after, mut from)) = retry else { return false };
        match from.next() {
            None | Some('/') => return false,
            Some(_) => {}
        }
        tokens = after.clone();
        name = from.clone();
        retry = Some((after, from));
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pattern)
    }
}
