//! A document as it is written in JSON. What its words mean is in [`crate::document`].

use std::collections::BTreeMap;
use std::fmt;

use convoy_config::Span;
use convoy_keys::{AppName, InstanceName};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// A rule, and on the first level the policy of the app beside it. Unknown words are refused: a misspelled limit is no
/// limit.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Written {
    pub(crate) app: Option<AppName>,
    #[serde(alias = "hosts", deserialize_with = "one_or_many")]
    pub(crate) host: Vec<String>,
    pub(crate) path: Option<String>,
    pub(crate) exact: bool,
    pub(crate) rewrite: Option<String>,
    pub(crate) strip_path: bool,
    pub(crate) host_header: Option<String>,
    pub(crate) redirect: Option<WrittenRedirect>,
    pub(crate) https: bool,
    pub(crate) hsts: Option<WrittenHsts>,
    pub(crate) maintenance: Option<WrittenMaintenance>,
    pub(crate) canary: Option<WrittenCanary>,
    pub(crate) request_headers: WrittenFields,
    pub(crate) response_headers: WrittenFields,
    pub(crate) body_max: Option<Size>,
    pub(crate) timeouts: WrittenTimeouts,

    pub(crate) targets: Vec<WrittenTarget>,
    pub(crate) balance: Option<String>,
    pub(crate) sticky: Option<WrittenSticky>,
    pub(crate) check: Option<WrittenCheck>,
    pub(crate) slow_start: Option<Span>,
    pub(crate) hold: Option<Span>,
    pub(crate) retries: Option<u32>,
    pub(crate) retry_budget: Option<u32>,
    pub(crate) concurrency: Option<WrittenConcurrency>,
    pub(crate) protocol: Option<WrittenProtocol>,
    pub(crate) weights: BTreeMap<InstanceName, u16>,

    pub(crate) routes: Vec<Self>,
}

impl Written {
    /// From a JSON value. A list would do for serde, its parts taken in the order of the words; nobody means that.
    pub(crate) fn parse(value: serde_json::Value) -> Result<Self, serde_json::Error> {
        match value {
            object @ serde_json::Value::Object(_) => serde_json::from_value(object),
            _ => Err(de::Error::custom("invalid type: it has to be an object, {...}")),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum WrittenTarget {
    Address(String),
    Weighted {
        address: String,
        #[serde(default = "ordinary")]
        weight: u16,
    },
}

fn ordinary() -> u16 {
    100
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum WrittenRedirect {
    To(String),
    Full(FullRedirect),
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FullRedirect {
    pub(crate) to: String,
    pub(crate) status: Option<u16>,
    #[serde(default = "yes")]
    pub(crate) keep_path: bool,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum WrittenHsts {
    Switch(bool),
    MaxAge(u64),
    Full {
        max_age: u64,
        #[serde(default)]
        include_subdomains: bool,
        #[serde(default)]
        preload: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum WrittenMaintenance {
    Switch(bool),
    Full(FullMaintenance),
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FullMaintenance {
    pub(crate) status: Option<u16>,
    pub(crate) retry_after: Option<u32>,
    pub(crate) page: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenCanary {
    pub(crate) app: AppName,
    pub(crate) percent: u8,
    pub(crate) header: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WrittenFields {
    pub(crate) set: BTreeMap<String, String>,
    pub(crate) add: BTreeMap<String, String>,
    pub(crate) remove: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WrittenTimeouts {
    pub(crate) connect: Option<Span>,
    pub(crate) response: Option<Span>,
    pub(crate) stall: Option<Span>,
    pub(crate) request_body: Option<Span>,
    pub(crate) tunnel: Option<Span>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum WrittenSticky {
    Switch(bool),
    Full(FullSticky),
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FullSticky {
    pub(crate) cookie: Option<String>,
    pub(crate) max_age: Option<Span>,
    pub(crate) secure: bool,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum WrittenCheck {
    Short(String),
    Full(FullCheck),
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FullCheck {
    pub(crate) ask: String,
    pub(crate) host: Option<String>,
    pub(crate) status: Option<String>,
    pub(crate) interval: Option<Span>,
    pub(crate) timeout: Option<Span>,
    pub(crate) rise: Option<u32>,
    pub(crate) fall: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum WrittenConcurrency {
    Limit(usize),
    Full(FullConcurrency),
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FullConcurrency {
    pub(crate) limit: usize,
    pub(crate) queue: Option<usize>,
    pub(crate) wait: Option<Span>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WrittenProtocol {
    Auto,
    Http1,
    #[serde(alias = "h2c", alias = "h2")]
    Http2,
}

/// Bytes, as a number or with a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl Size {
    fn parse(text: &str) -> Option<Self> {
        let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at_checked(unit_at)?;
        let factor = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kb" | "kib" => 1 << 10,
            "m" | "mb" | "mib" => 1 << 20,
            "g" | "gb" | "gib" => 1 << 30,
            _ => return None,
        };
        digits.parse::<u64>().ok()?.checked_mul(factor).map(Self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeVisitor;

        impl Visitor<'_> for SizeVisitor {
            type Value = Size;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a size such as \"10MiB\", or a number of bytes")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                Size::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size(bytes))
            }
        }

        deserializer.deserialize_any(SizeVisitor)
    }
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }

    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("10k", Some(10_240)),
            ("2 MiB", Some(2_097_152)),
            ("x", None),
            ("1.5m", None),
            ("", None),
        ] {
            assert_eq!(Size::parse(text).map(|size| size.0), bytes, "{text:?}");
        }
    }
}
