//! Which HTTP status codes count as good.

use std::fmt;

use thiserror::Error;

/// Why a text is no set of status codes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no set of HTTP status codes, such as 200-399 or 200,204,301-308 (each between 100 and 599)"
)]
pub struct StatusSetError(String);

/// A set of HTTP status codes: `200-399`, `200,204`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusSet(Vec<(u16, u16)>);

impl Default for StatusSet {
    /// 200 to 399, as Kubernetes' probes and HAProxy have it.
    fn default() -> Self {
        Self(vec![(200, 399)])
    }
}

impl StatusSet {
    /// Parses codes and ranges separated by commas.
    pub fn parse(text: &str) -> Result<Self, StatusSetError> {
        let refuse = || StatusSetError(text.chars().take(80).collect());
        let code = |part: &str| match part.trim().parse() {
            Ok(code @ 100..=599) => Ok(code),
            _ => Err(refuse()),
        };
        let ranges = text.split(',').map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (code(first)?, code(last)?);
            if first <= last { Ok((first, last)) } else { Err(refuse()) }
        });
        Ok(Self(ranges.collect::<Result<_, _>>()?))
    }

    /// Whether the code counts as good.
    pub fn contains(&self, code: u16) -> bool {
        self.0.iter().any(|&(first, last)| (first..=last).contains(&code))
    }
}

impl fmt::Display for StatusSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (first, last)) in self.0.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            write!(formatter, "{comma}{first}")?;
            if first != last {
                write!(formatter, "-{last}")?;
            }
        }
        Ok(())
    }
}

impl std::str::FromStr for StatusSet {
    type Err = StatusSetError;

    fn from_str(text: &str) -> Result<Self, StatusSetError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_ranges_make_a_set() {
        for (text, printed, inside, outside) in [
            ("200", "200", &[200][..], &[199, 201][..]),
            ("200-399", "200-399", &[200, 302, 399], &[199, 400]),
            ("200, 204,301-308", "200,204,301-308", &[200, 204, 305], &[201, 300, 309]),
        ] {
            let set = StatusSet::parse(text).unwrap();
            assert_eq!(set.to_string(), printed);
            assert!(inside.iter().all(|&code| set.contains(code)), "{text}");
            assert!(!outside.iter().any(|&code| set.contains(code)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", ",", "99", "600", "ok", "399-200", "200-", "-1", "200;rm", "2xx", "200-300-400"] {
            assert!(StatusSet::parse(text).is_err(), "{text:?}");
        }
    }
}
