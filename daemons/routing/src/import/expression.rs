//! Rules of the form ``Host(`a`) && (PathPrefix(`/x`) || Path(`/y`))``.

use std::iter::Peekable;
use std::str::Chars;

/// Rules that come apart into more than this are no rules that somebody wrote.
const PLACES_MAX: usize = 256;
/// Brackets within brackets.
const DEPTH_MAX: usize = 32;

/// A host and the paths there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) path: Option<String>,
    pub(super) exact: bool,
}

/// What is known so far of one alternative.
#[derive(Debug, Clone, Default)]
struct Partial {
    host: Option<String>,
    path: Option<(String, bool)>,
}

type Alternatives = Vec<Partial>;

/// The places that a rule is for.
pub(super) fn places(rule: &str) -> Result<Vec<Place>, String> {
    let mut parser = Parser { chars: rule.chars().peekable(), depth: 0 };
    let alternatives = parser.any()?;
    parser.skip_space();
    if let Some(rest) = parser.chars.next() {
        return Err(format!("{rest:?} where the rule should be over"));
    }
    Ok(alternatives
        .into_iter()
        .map(|partial| {
            let (path, exact) = partial.path.map_or((None, false), |(path, exact)| (Some(path), exact));
            Place { host: partial.host.unwrap_or_else(|| "*".to_owned()), path, exact }
        })
        .collect())
}

struct Parser<'a> {
    chars: Peekable<Chars<'a>>,
    depth: usize,
}

impl Parser<'_> {
    fn any(&mut self) -> Result<Alternatives, String> {
        let mut alternatives = self.all()?;
        while self.operator('|')? {
            alternatives.extend(self.all()?);
        }
        bounded(alternatives)
    }

    fn all(&mut self) -> Result<Alternatives, String> {
        let mut alternatives = self.one()?;
        while self.operator('&')? {
            let others = self.one()?;
            let mut both = Vec::new();
            for left in &alternatives {
                for right in &others {
                    both.push(join(left, right)?);
                    if both.len() > PLACES_MAX {
                        return bounded(both);
                    }
                }
            }
            alternatives = both;
        }
        Ok(alternatives)
    }

    fn one(&mut self) -> Result<Alternatives, String> {
        self.skip_space();
        match self.chars.peek() {
            Some('(') => {
                self.chars.next();
                self.depth += 1;
                if self.depth > DEPTH_MAX {
                    return Err("too many brackets".to_owned());
                }
                let inner = self.any()?;
                self.expect(')')?;
                self.depth -= 1;
                Ok(inner)
            }
            Some('!') => Err("what a rule is not for can't be followed".to_owned()),
            _ => self.matcher(),
        }
    }

    fn matcher(&mut self) -> Result<Alternatives, String> {
        let mut name = String::new();
        while let Some(letter) = self.chars.next_if(char::is_ascii_alphabetic) {
            name.push(letter);
        }
        if name.is_empty() {
            return Err("a matcher such as Host(`a.example`) is missing".to_owned());
        }
        self.expect('(')?;
        let mut values = vec![self.string()?];
        loop {
            self.skip_space();
            match self.chars.next() {
                Some(',') => values.push(self.string()?),
                Some(')') => break,
                other => return Err(format!("{other:?} in the values of {name}")),
            }
        }
        let one = |value: String| -> Result<Partial, String> {
            Ok(match name.as_str() {
                "Host" => Partial { host: Some(host(&value)?), path: None },
                "HostRegexp" => Partial { host: Some(host_regexp(&value)?), path: None },
                "PathPrefix" => Partial { host: None, path: Some((value, false)) },
                "Path" => Partial { host: None, path: Some((value, true)) },
                "PathRegexp" => Partial { host: None, path: Some((path_regexp(&value)?, false)) },
                _ => return Err(format!("{name} can't be followed")),
            })
        };
        values.into_iter().map(one).collect()
    }

    fn string(&mut self) -> Result<String, String> {
        self.skip_space();
        let quote = self.chars.next_if(|c| matches!(c, '`' | '"' | '\''));
        let quote = quote.ok_or("a value has to stand in quotes")?;
        let mut text = String::new();
        loop {
            match self.chars.next() {
                Some(c) if c == quote => return Ok(text),
                Some(c) => text.push(c),
                None => return Err("a value does not end".to_owned()),
            }
        }
    }

    /// `&&` or `||`.
    fn operator(&mut self, sign: char) -> Result<bool, String> {
        self.skip_space();
        if self.chars.next_if_eq(&sign).is_none() {
            return Ok(false);
        }
        self.chars.next_if_eq(&sign).map(|_| true).ok_or_else(|| format!("{sign} has to stand twice"))
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        self.skip_space();
        match self.chars.next() {
            Some(found) if found == wanted => Ok(()),
            other => Err(format!("{other:?} instead of {wanted:?}")),
        }
    }

    fn skip_space(&mut self) {
        while self.chars.next_if(|c| c.is_whitespace()).is_some() {}
    }
}

fn bounded(alternatives: Alternatives) -> Result<Alternatives, String> {
    if alternatives.len() > PLACES_MAX {
        return Err(format!("the rule has more than {PLACES_MAX} alternatives"));
    }
    Ok(alternatives)
}

fn join(left: &Partial, right: &Partial) -> Result<Partial, String> {
    if left.host.is_some() && right.host.is_some() || left.path.is_some() && right.path.is_some() {
        return Err("two hosts or two paths at once can't be followed".to_owned());
    }
    Ok(Partial {
        host: left.host.clone().or_else(|| right.host.clone()),
        path: left.path.clone().or_else(|| right.path.clone()),
    })
}

/// vulcand's `<name>` is one label.
fn host(value: &str) -> Result<String, String> {
    if !value.contains(['<', '{']) {
        return Ok(value.to_owned());
    }
    let rest = value.strip_prefix('<').and_then(|rest| rest.split_once(">.")).map(|(_, rest)| rest);
    let rest = rest.filter(|rest| !rest.contains(['<', '{']));
    rest.map(|rest| format!("*.{rest}")).ok_or_else(|| format!("the host {value:?} can't be followed"))
}

/// The common forms: `^[^.]+\.a\.example$` for one label more, `^.+\.a\.example$` for any number of them,
/// `{name:.+}.a.example` as older rules have it.
fn host_regexp(value: &str) -> Result<String, String> {
    let refuse = || format!("the expression {value:?} can't be followed");
    if let Some(rest) = value.strip_prefix('{') {
        let (pattern, rest) = rest.split_once("}.").ok_or_else(refuse)?;
        let stars = if pattern.ends_with(":.+") || pattern.ends_with(":.*") { "**" } else { "*" };
        return if rest.contains('{') { Err(refuse()) } else { Ok(format!("{stars}.{rest}")) };
    }
    let inner = value.strip_prefix('^').unwrap_or(value);
    let inner = inner.strip_suffix('$').unwrap_or(inner);
    let (stars, rest) =
        if let Some(rest) = inner.strip_prefix("[^.]+\\.").or_else(|| inner.strip_prefix("[a-z0-9-]+\\.")) {
            ("*.", rest)
        } else if let Some(rest) = inner.strip_prefix(".+\\.").or_else(|| inner.strip_prefix(".*\\.")) {
            ("**.", rest)
        } else {
            ("", inner)
        };
    let plain = rest.replace("\\.", ".");
    let is_plain = plain.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    if is_plain { Ok(format!("{stars}{plain}")) } else { Err(refuse()) }
}

/// `/api.*` and the like: a prefix.
fn path_regexp(value: &str) -> Result<String, String> {
    let inner = value.strip_prefix('^').unwrap_or(value);
    let prefix = inner.strip_suffix(".*").or_else(|| inner.strip_suffix("/.+")).unwrap_or("");
    let is_plain = prefix.starts_with('/')
        && prefix.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_'));
    if is_plain { Ok(prefix.to_owned()) } else { Err(format!("the expression {value:?} can't be followed")) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(rule: &str) -> Vec<String> {
        let places = places(rule).unwrap();
        places.into_iter().map(|place| format!("{}{}", place.host, place.path.unwrap_or_default())).collect()
    }

    #[test]
    fn rules_come_apart_into_places() {
        for (rule, expected) in [
            ("Host(`a`)", vec!["a"]),
            ("Host(`a`,`b`) && PathPrefix(\"/x\")", vec!["a/x", "b/x"]),
            ("Host(`a`) || Host(`b`) && Path(`/y`)", vec!["a", "b/y"]),
            (
                "(Host(`a`) || Host(`b`)) && (PathPrefix(`/x`) || PathPrefix(`/y`))",
                vec!["a/x", "a/y", "b/x", "b/y"],
            ),
            ("PathPrefix(`/x`)", vec!["*/x"]),
            ("Host(`<n>.a`)", vec!["*.a"]),
            ("HostRegexp(`^.+\\.a\\.b$`)", vec!["**.a.b"]),
            ("HostRegexp(`{sub:[a-z]+}.a`)", vec!["*.a"]),
            ("PathRegexp(`^/api.*`)", vec!["*/api"]),
        ] {
            assert_eq!(shown(rule), expected, "{rule}");
        }
    }

    #[test]
    fn what_can_not_be_followed_says_why() {
        for (rule, why) in [
            ("", "a matcher"),
            ("Host(`a`", "in the values"),
            ("Host(a)", "in quotes"),
            ("Host(`a`) & Host(`b`)", "has to stand twice"),
            ("Host(`a`) && Host(`b`)", "two hosts"),
            ("!Host(`a`)", "is not for"),
            ("Host(`a`) && Header(`x`, `y`)", "Header can't be followed"),
            ("HostRegexp(`a|b`)", "can't be followed"),
            ("Host(`a`) x", "should be over"),
        ] {
            let error = places(rule).unwrap_err();
            assert!(error.contains(why), "{rule}: {error}");
        }
        assert!(places(&"(".repeat(100)).is_err());
        let many = format!("({})", vec!["Host(`a`)"; 20].join("||"));
        let paths = many.replace("Host(`a`)", "Path(`/a`)");
        assert!(places(&format!("{many} && {paths}")).unwrap_err().contains("alternatives"));
    }

    proptest! {
        #[test]
        fn no_rule_panics(rule in "[A-Za-z(`/)&| !,\"<>.]{0,60}|(Host|Path)\\(`\\PC{0,10}`\\)") {
            let _ = places(&rule);
        }
    }
}
