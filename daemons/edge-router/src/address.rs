//! An address as people type it.

use thiserror::Error;

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no address; write http://someapp.mywebsite.com/path, or without the scheme")]
pub(crate) struct TargetError(String);

/// A host, with a port where there is one, and a path without its query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// As in the `Host` field.
    pub(crate) host: String,
    /// Begins with a slash.
    pub(crate) path: String,
}

impl Target {
    /// Parses `https://a.example/x`, `a.example/x` and `a.example`.
    pub(crate) fn parse(text: &str) -> Result<Self, TargetError> {
        let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).unwrap_or(text);
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (host, path) = rest.split_at(end);
        let path = path.split(['?', '#']).next().unwrap_or_default();
        if host.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(TargetError(text.chars().take(200).collect()));
        }
        Ok(Self { host: host.to_owned(), path: if path.is_empty() { "/" } else { path }.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_as_people_type_them() {
        for (text, host, path) in [
            ("https://a.example:8443/x/y?z#w", "a.example:8443", "/x/y"),
            ("a.example", "a.example", "/"),
            ("a.example?x", "a.example", "/"),
            ("http://a.example", "a.example", "/"),
        ] {
            let target = Target::parse(text).unwrap();
            assert_eq!((target.host.as_str(), target.path.as_str()), (host, path), "{text}");
        }
        for text in ["", "http:///x", "a b", "/x"] {
            assert!(Target::parse(text).is_err(), "{text:?}");
        }
    }
}
