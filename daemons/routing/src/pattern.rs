//! Which hosts and paths a rule is for.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::Host;
use crate::host::has_host_syntax;

/// Longest path that a rule can have.
const PATH_MAX: usize = 1024;

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatternError {
    /// Neither a host name nor one of the forms with a star.
    #[error(
        "{0:?} is no host; write a name without scheme and port (a.example), *.a.example for one more label, \
         **.a.example for any number of them, or * for all"
    )]
    Host(String),
    /// A path that no request can have.
    #[error(
        "{0:?} is no path; it begins with a slash and has no query, no fragment, no .. and no white space"
    )]
    Path(String),
}

/// The hosts of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// This one.
    Exact(Box<str>),
    /// `*.suffix`: one label more, as in certificates.
    OneLabel(Box<str>),
    /// `**.suffix`: one label more or many.
    Labels(Box<str>),
    /// `*`: every host that no other rule has.
    Any,
}

impl HostPattern {
    /// Parses `a.example`, `*.a.example`, `**.a.example` and `*`; capitals and a final dot are forgiven.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let wrong = || PatternError::Host(text.chars().take(80).collect());
        let suffix = |name: &str| {
            let name = name.strip_suffix('.').unwrap_or(name);
            (name.len() <= 251 && has_host_syntax(name)).then(|| name.to_ascii_lowercase().into())
        };
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Some(name) = text.strip_prefix("**.") {
            return suffix(name).map(Self::Labels).ok_or_else(wrong);
        }
        if let Some(name) = text.strip_prefix("*.") {
            return suffix(name).map(Self::OneLabel).ok_or_else(wrong);
        }
        match Host::parse(text) {
            Ok(host) if has_no_port(text) => Ok(Self::Exact(host.as_str().into())),
            _ => Err(wrong()),
        }
    }

    /// Whether a host, in the form that [`Host`] gives, is meant.
    pub fn matches(&self, host: &str) -> bool {
        let labels = |suffix: &str| {
            let label = host.strip_suffix(suffix)?.strip_suffix('.')?;
            (!label.is_empty()).then_some(label)
        };
        match self {
            Self::Exact(name) => **name == *host,
            Self::OneLabel(suffix) => labels(suffix).is_some_and(|label| !label.contains('.')),
            Self::Labels(suffix) => labels(suffix).is_some(),
            Self::Any => true,
        }
    }
}

/// A port would never match: a host is compared without it.
fn has_no_port(text: &str) -> bool {
    text.starts_with('[') && text.ends_with(']') || !text.contains(':')
}

impl fmt::Display for HostPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => formatter.write_str(name),
            Self::OneLabel(suffix) => write!(formatter, "*.{suffix}"),
            Self::Labels(suffix) => write!(formatter, "**.{suffix}"),
            Self::Any => formatter.write_str("*"),
        }
    }
}

impl FromStr for HostPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        Self::parse(text)
    }
}

/// The paths of a rule: one of them, or all that begin with these segments.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathPattern {
    /// Without the final slash; empty for `/`.
    prefix: Box<str>,
    exact: bool,
}

impl PathPattern {
    /// Every path.
    pub fn all() -> Self {
        Self { prefix: "".into(), exact: false }
    }

    /// Parses a path. `/api` is for `/api`, `/api/` and `/api/x`, not for `/apis`; with `exact` it is for `/api` alone.
    pub fn parse(text: &str, exact: bool) -> Result<Self, PatternError> {
        let wrong = || PatternError::Path(text.chars().take(80).collect());
        let is_fine = text.starts_with('/')
            && text.len() <= PATH_MAX
            && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'\\'))
            && !text.split('/').any(|segment| matches!(segment, "." | ".."));
        if !is_fine {
            return Err(wrong());
        }
        let prefix = if exact { text } else { text.strip_suffix('/').unwrap_or(text) };
        Ok(Self { prefix: prefix.into(), exact })
    }

    /// Whether all paths are meant.
    pub fn is_all(&self) -> bool {
        self.prefix.is_empty() && !self.exact
    }

    /// What paths begin with; empty for all.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether nothing may follow.
    pub fn is_exact(&self) -> bool {
        self.exact
    }

    /// What follows the prefix, when the path is meant.
    pub fn rest<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(&*self.prefix)?;
        let fits = if self.exact { rest.is_empty() } else { rest.is_empty() || rest.starts_with('/') };
        fits.then_some(rest)
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = if self.prefix.is_empty() { "/" } else { &self.prefix };
        formatter.write_str(if self.exact { "= " } else { "" })?;
        formatter.write_str(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_hosts_match_what_they_say() {
        for (pattern, host, matches) in [
            ("a.example", "a.example", true),
            ("A.Example.", "a.example", true),
            ("a.example", "b.a.example", false),
            ("*.a.example", "b.a.example", true),
            ("*.a.example", "a.example", false),
            ("*.a.example", "c.b.a.example", false),
            ("*.a.example", "xa.example", false),
            ("**.a.example", "c.b.a.example", true),
            ("**.a.example", "b.a.example", true),
            ("**.a.example", "a.example", false),
            ("*", "anything", true),
            ("[::1]", "[::1]", true),
            ("127.0.0.1", "127.0.0.1", true),
        ] {
            assert_eq!(HostPattern::parse(pattern).unwrap().matches(host), matches, "{pattern} {host}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused_with_what_to_write() {
        for text in ["", "a.example:80", "http://a", "*.", "*a.example", "a.*.example", "***", "a b", "*.*.a"]
        {
            let error = HostPattern::parse(text).unwrap_err().to_string();
            assert!(error.contains("*.a.example"), "{error}");
        }
    }

    #[test]
    fn paths_match_by_whole_segments() {
        for (pattern, exact, path, rest) in [
            ("/", false, "/x", Some("/x")),
            ("/api", false, "/api", Some("")),
            ("/api/", false, "/api", Some("")),
            ("/api", false, "/api/x", Some("/x")),
            ("/api", false, "/apis", None),
            ("/api", true, "/api", Some("")),
            ("/api", true, "/api/", None),
            ("/", true, "/", Some("")),
            ("/", true, "/x", None),
        ] {
            assert_eq!(PathPattern::parse(pattern, exact).unwrap().rest(path), rest, "{pattern} {path}");
        }
        for text in ["", "api", "/a b", "/a?b", "/a#b", "/../a", "/a/./b", "/\u{e4}", "/a\\b"] {
            assert!(PathPattern::parse(text, false).is_err(), "{text:?}");
        }
    }
}
