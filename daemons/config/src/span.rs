//! A span of time as people write it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

/// Longer than any limit that makes sense.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// Why a text is no time.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no time of at most 7 days; write it as 250ms, 15s, 5min or 1h")]
pub struct SpanError(String);

/// A span of time: a number with a unit (`250ms`, `15s`, `5min`, `1h`); a bare number means seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(
    /// What it means.
    pub Duration,
);

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let wrong = || SpanError(text.to_owned());
        let text = text.trim();
        let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at_checked(unit_at).ok_or_else(wrong)?;
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        let millis = match unit.trim_start() {
            "ms" => Some(number),
            "" | "s" => number.checked_mul(1000),
            "min" | "m" => number.checked_mul(60_000),
            "h" => number.checked_mul(3_600_000),
            _ => None,
        };
        let span = Duration::from_millis(millis.ok_or_else(wrong)?);
        if span > LONGEST { Err(wrong()) } else { Ok(Self(span)) }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = Span;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a time such as \"15s\", or a number of seconds")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Span, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: serde::de::Error>(self, seconds: i64) -> Result<Span, E> {
                seconds.to_string().parse().map_err(E::custom)
            }

            fn visit_u64<E: serde::de::Error>(self, seconds: u64) -> Result<Span, E> {
                seconds.to_string().parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_have_units() {
        for (text, millis) in
            [("250ms", 250), ("15s", 15_000), ("15", 15_000), ("0", 0), ("5 min", 300_000), ("1h", 3_600_000)]
        {
            assert_eq!(text.parse(), Ok(Span(Duration::from_millis(millis))), "{text}");
        }
        for text in ["", "s", "-1s", "1.5s", "1d", "9999999999h", "169h", "ten"] {
            assert!(text.parse::<Span>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_time_panics(text in "\\PC{0,24}|[0-9]{1,25} ?[a-z]{0,3}") {
            let _ = text.parse::<Span>();
        }
    }
}
