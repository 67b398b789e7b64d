//! Names that certificates are for.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest host name (RFC 1035, section 2.3.4), and longest label of one.
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;

/// Why a text is no name that a certificate could be ordered for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{name:?} can't have a certificate: {problem}")]
pub struct CertificateNameError {
    name: String,
    problem: &'static str,
}

/// A host name in lower case with at least two labels, or a wildcard: `a.example`, `*.a.example`.
///
/// It ends up in keys, in orders to a certificate authority and on the command line of a DNS hook.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CertificateName(Box<str>);

impl CertificateName {
    /// Parses a name. Nothing is made lower case or cut off: a name has one way to be written.
    pub fn parse(text: &str) -> Result<Self, CertificateNameError> {
        match problem(text.strip_prefix("*.").unwrap_or(text)) {
            None => Ok(Self(text.into())),
            Some(problem) => Err(CertificateNameError { name: text.chars().take(80).collect(), problem }),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True for `*.a.example`.
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with("*.")
    }

    /// The host that the authority asks for a proof: `a.example` for `a.example` and for `*.a.example`.
    pub fn host(&self) -> &str {
        self.0.strip_prefix("*.").unwrap_or(&self.0)
    }

    /// The wildcard that a certificate for this name could have, too: `*.example` for `a.example`. None for a wildcard, and
    /// for a name that is right below the top.
    pub fn wildcard(&self) -> Option<Self> {
        let (_, parent) = self.0.split_once('.').filter(|_| !self.is_wildcard())?;
        parent.contains('.').then(|| Self(format!("*.{parent}").into()))
    }
}

fn problem(host: &str) -> Option<&'static str> {
    if host.len() > NAME_MAX {
        return Some("it is longer than 253 characters");
    }
    if !host.contains('.') {
        return Some("it needs two labels at least, as in a.example");
    }
    for label in host.split('.') {
        if label.is_empty() || label.len() > LABEL_MAX {
            return Some("each label has 1 to 63 characters");
        }
        if !label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')) {
            return Some(
                "it may have letters in lower case, digits and dashes, and a star as the first label",
            );
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Some("no label begins or ends with a dash");
        }
    }
    let is_address = host.rsplit('.').next().is_some_and(|top| top.bytes().all(|byte| byte.is_ascii_digit()));
    is_address.then_some("it is an address")
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for CertificateName {
    type Err = CertificateNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<String> for CertificateName {
    type Error = CertificateNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<CertificateName> for String {
    fn from(name: CertificateName) -> Self {
        name.0.into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_and_wildcards_are_names() {
        for (text, host, wildcard) in [
            ("a.example", "a.example", None),
            ("x.a.example", "x.a.example", Some("*.a.example")),
            ("*.a.example", "a.example", None),
            ("xn--bcher-kva.example", "xn--bcher-kva.example", None),
            ("1.2.a", "1.2.a", Some("*.2.a")),
        ] {
            let name = CertificateName::parse(text).unwrap();
            assert_eq!((name.as_str(), name.host()), (text, host));
            assert_eq!(name.wildcard().as_ref().map(CertificateName::as_str), wildcard, "{text}");
        }
    }

    #[test]
    fn nothing_else_is() {
        let long = format!("{}.example", "a".repeat(64));
        let longer = ["a"; 128].join(".");
        for text in [
            "",
            "a",
            "*",
            "*.",
            "*.a",
            "A.example",
            "a.example.",
            ".a.example",
            "a..example",
            "a_b.example",
            "-a.example",
            "a-.example",
            "*.*.a.example",
            "x.*.example",
            "10.0.0.1",
            "[::1]",
            "a.example:443",
            "a.example/..",
            "a b.example",
            "b\u{fc}cher.example",
            "a.example\n",
            &*long,
            &*longer,
        ] {
            assert!(CertificateName::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_safe_in_keys_and_on_command_lines(text in "[a-z0-9*._/ -]{0,40}") {
            if let Ok(name) = CertificateName::parse(&text) {
                prop_assert_eq!(name.as_str(), &text);
                prop_assert!(!text.starts_with('-') && !text.contains(['/', ' ']) && !text.contains(".."));
                prop_assert_eq!(CertificateName::parse(name.as_str()), Ok(name));
            }
        }
    }
}
