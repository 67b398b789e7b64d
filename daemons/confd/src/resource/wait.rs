//! How long changes are gathered.

use std::time::Duration;

use super::duration;

/// The first change after calm goes at once; those behind it wait for quiet, but not for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// As long as nothing may have come.
    pub quiet: Duration,
    /// No change waits longer.
    pub longest: Duration,
    /// From the end of one reload to the beginning of the next.
    pub pause: Duration,
}

impl Default for Wait {
    fn default() -> Self {
        Self { quiet: Duration::from_millis(100), longest: Duration::from_secs(2), pause: Duration::ZERO }
    }
}

impl Wait {
    /// Parses `100ms:2s`, quiet time and longest wait; the longest wait is four times the quiet time if it is left
    /// out, as in consul-template.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (quiet, longest) = if let Some((quiet, longest)) = text.split_once(':') {
            (duration::parse(quiet)?, duration::parse(longest)?)
        } else {
            let quiet = duration::parse(text)?;
            (quiet, quiet * 4)
        };
        if longest < quiet {
            return Err(format!("{text:?}: the longest wait is shorter than the quiet time before it"));
        }
        Ok(Self { quiet, longest, ..Self::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_quiet_time_and_longest_wait() {
        let millis = |quiet, longest| Wait {
            quiet: Duration::from_millis(quiet),
            longest: Duration::from_millis(longest),
            pause: Duration::ZERO,
        };
        assert_eq!(Wait::parse("100ms:2s"), Ok(millis(100, 2000)));
        assert_eq!(Wait::parse("1s"), Ok(millis(1000, 4000)));
        assert_eq!(Wait::parse("0s:0s"), Ok(millis(0, 0)));
        for text in ["", ":", "1s:", "2s:1s", "soon"] {
            assert!(Wait::parse(text).is_err(), "{text}");
        }
    }
}
