//! What a value has to be before a template sees it.

use std::fmt;
use std::net::IpAddr;

use convoy_go_template::Text;
use convoy_keys::Endpoint;
use thiserror::Error;

use crate::glob::Pattern;
use crate::json::Json;

/// The longest host name (RFC 1035).
const HOST_MAX: usize = 253;
/// The longest name.
const NAME_MAX: usize = 128;

/// What a value may be. Whatever it is not never reaches a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// `ip:port` that requests can be sent to.
    Address,
    /// A host name or an address, with a port.
    HostPort,
    /// A host name or an address.
    Host,
    /// A port, 1 to 65535.
    Port,
    /// A whole number.
    Integer,
    /// Letters, digits, `.`, `_` and `-`.
    Name,
    /// One line of text without control characters.
    Line,
    /// A JSON text.
    Json,
}

/// Why a value is left out.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unfit {
    /// It is not of the type that was asked for.
    #[error("{value:?} is no {wanted}: {reason}")]
    Type {
        /// The beginning of the value.
        value: String,
        /// What it should be.
        wanted: ValueType,
        /// What is wrong.
        reason: String,
    },
    /// It is no text.
    #[error("the value is not UTF-8 text, which a {wanted} has to be")]
    Encoding {
        /// What it should be.
        wanted: ValueType,
    },
}

const TYPES: [(&str, ValueType); 8] = [
    ("address", ValueType::Address),
    ("host:port", ValueType::HostPort),
    ("host", ValueType::Host),
    ("port", ValueType::Port),
    ("integer", ValueType::Integer),
    ("name", ValueType::Name),
    ("line", ValueType::Line),
    ("json", ValueType::Json),
];

impl ValueType {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let found = TYPES.into_iter().find(|(name, _)| *name == text);
        found.map(|(_, kind)| kind).ok_or_else(|| {
            let names: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
            format!("{text:?} is no type of values; write one of {}", names.join(", "))
        })
    }

    /// The value as a template may see it: white space around it, which shells of old sidekicks left there, is
    /// taken away.
    pub fn admit(self, value: &Text) -> Result<Text, Unfit> {
        let text = std::str::from_utf8(value.as_bytes()).map_err(|_| Unfit::Encoding { wanted: self })?;
        let trimmed = text.trim();
        match self.refuse(trimmed) {
            None if trimmed.len() == text.len() => Ok(value.clone()),
            None => Ok(Text::from(trimmed)),
            Some(reason) => {
                Err(Unfit::Type { value: trimmed.chars().take(80).collect(), wanted: self, reason })
            }
        }
    }

    fn refuse(self, text: &str) -> Option<String> {
        match self {
            Self::Address => Endpoint::parse(text).err().map(|error| error.to_string()),
            Self::HostPort => match text.rsplit_once(':') {
                Some((host, port)) => {
                    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
                    let host = match bracketed {
                        Some(host) if host.parse::<IpAddr>().is_err() => {
                            Some("there is no IPv6 address in the brackets".to_owned())
                        }
                        Some(_) => None,
                        None if host.contains(':') => Some("an IPv6 address needs brackets".to_owned()),
                        None => refuse_host(host),
                    };
                    host.or_else(|| refuse_port(port))
                }
                None => Some("there is no port".to_owned()),
            },
            Self::Host => refuse_host(text),
            Self::Port => refuse_port(text),
            Self::Integer => {
                let digits = text.strip_prefix('-').unwrap_or(text);
                let good = (1..=18).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
                (!good).then(|| "digits are expected, at most 18".to_owned())
            }
            Self::Name => {
                let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
                let good = (1..=NAME_MAX).contains(&text.len()) && text.bytes().all(plain);
                (!good).then(|| "letters, digits and . _ - are expected".to_owned())
            }
            Self::Line => text
                .chars()
                .any(char::is_control)
                .then(|| "there is a control character or a line break in it".to_owned()),
            Self::Json => Json::parse(text.as_bytes()).err().map(|error| error.to_string()),
        }
    }
}

fn refuse_host(text: &str) -> Option<String> {
    if text.parse::<IpAddr>().is_ok() {
        return None;
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    let good = name.len() <= HOST_MAX && name.split('.').all(label);
    (!good).then(|| "a host name has letters, digits, - and dots".to_owned())
}

fn refuse_port(text: &str) -> Option<String> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let good = digits && text.parse::<u16>().is_ok_and(|port| port > 0);
    (!good).then(|| "a port is a number from 1 to 65535".to_owned())
}

impl fmt::Display for ValueType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = TYPES.iter().find(|(_, kind)| kind == self).map_or("value", |(name, _)| name);
        out.write_str(name)
    }
}

/// Which values have to be of which type.
#[derive(Debug, Clone)]
pub struct ValueRule {
    /// The keys it is for, as the template sees them; all when there is none.
    pub(crate) pattern: Option<Pattern>,
    pub(crate) kind: ValueType,
}

impl ValueRule {
    /// Whether it is for this key, as the template sees it.
    pub fn is_for(&self, key: &[u8]) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| pattern.matches(key))
    }

    /// What the values have to be.
    pub fn kind(&self) -> ValueType {
        self.kind
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_type_lets_in_what_it_is_and_nothing_else() {
        for (kind, good, bad) in [
            (
                "address",
                vec!["10.0.0.1:80", "[fd00::1]:80"],
                vec!["10.0.0.1", "a:80", "0.0.0.0:80", "10.0.0.1:80;}"],
            ),
            (
                "host:port",
                vec!["a.b:80", "10.0.0.1:1", "[::1]:80"],
                vec!["a", "a:0", "::1:80", "[a]:80", "a b:80"],
            ),
            ("host", vec!["a", "a-b.example.", "10.0.0.1", "::1"], vec!["", "-a", "a..b", "a;b", "a b"]),
            ("port", vec!["1", "65535"], vec!["0", "65536", "+1", "x", ""]),
            ("integer", vec!["0", "-5", "123"], vec!["", "-", "1.0", "1e3", "9999999999999999999"]),
            ("name", vec!["a", "a.b_c-1"], vec!["", "a/b", "a b", "a;"]),
            ("line", vec!["", "any text; {}", "ä"], vec!["a\nb", "a\u{1b}[0m"]),
            ("json", vec!["{}", "[1]", "\"a\""], vec!["", "{", "a"]),
        ] {
            let kind = ValueType::parse(kind).unwrap();
            for text in good {
                assert_eq!(kind.admit(&Text::from(text)).unwrap().to_str(), text, "{kind}");
            }
            for text in bad {
                assert!(kind.admit(&Text::from(text)).is_err(), "{kind}: {text:?}");
            }
        }
        assert!(ValueType::parse("adress").unwrap_err().contains("address"));
    }

    #[test]
    fn white_space_around_a_value_is_taken_away_and_bytes_that_are_no_text_are_refused() {
        assert_eq!(ValueType::Address.admit(&Text::from(" 10.0.0.1:80\n")).unwrap().to_str(), "10.0.0.1:80");
        assert!(matches!(
            ValueType::Line.admit(&Text::from(vec![0xff])),
            Err(Unfit::Encoding { wanted: ValueType::Line })
        ));
    }

    proptest! {
        #[test]
        fn no_value_of_a_narrow_type_can_end_a_directive(text in "[ -~\\n\\t;{}$'\"`\\\\:.0-9a-c\\[\\]]{0,24}") {
            for kind in [ValueType::Address, ValueType::HostPort, ValueType::Host, ValueType::Port, ValueType::Integer,
                ValueType::Name] {
                if let Ok(admitted) = kind.admit(&Text::from(text.as_str())) {
                    let special = |b: &u8| b";{}$'\"`\\# \n\t<>|&()".contains(b);
                    prop_assert!(!admitted.as_bytes().iter().any(special), "{kind}: {text:?}");
                }
            }
        }
    }
}
