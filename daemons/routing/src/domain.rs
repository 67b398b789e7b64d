//! A domain whose subdomains are apps.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::host::has_host_syntax;

/// Longest domain that leaves room for an app's label.
const LONGEST: usize = 251;

/// Why a text is no domain.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no domain; write it as in DNS, without scheme and port, such as mywebsite.com")]
pub struct DomainError(String);

/// `mywebsite.com`: a request for `someapp.mywebsite.com` is one for the app `someapp`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(Box<str>);

impl Domain {
    /// Parses a domain; a leading `*.`, a final dot and capitals are forgiven.
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        let name = text.trim();
        let name = name.strip_prefix("*.").unwrap_or(name);
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.len() > LONGEST || !has_host_syntax(name) {
            return Err(DomainError(text.to_owned()));
        }
        Ok(Self(name.to_ascii_lowercase().into()))
    }

    /// The domain in lower case, without a final dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for Domain {
    type Err = DomainError;

    fn from_str(text: &str) -> Result<Self, DomainError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_taken_as_people_write_them() {
        for text in ["mywebsite.com", "MyWebsite.com.", "*.mywebsite.com", " mywebsite.com "] {
            assert_eq!(Domain::parse(text).unwrap().as_str(), "mywebsite.com");
        }
        assert_eq!(Domain::parse("localhost").unwrap().as_str(), "localhost");
    }

    #[test]
    fn what_is_no_domain_is_refused() {
        for text in ["", ".", "http://a.example", "a.example:80", "a..b", "a b", "*"] {
            assert!(Domain::parse(text).is_err(), "{text:?}");
        }
    }
}
