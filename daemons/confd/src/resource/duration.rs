//! Spans of time as Go writes them.

use std::time::Duration;

/// Longer than any limit that makes sense.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// Parses Go's form (`time.ParseDuration`) of a span from 0 to 7 days: `1m30s`, `1.5s`, `250ms`.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time of at most 7 days; write it as 250ms, 1.5s or 1m30s");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() || sum.is_zero() && rest == text {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, after) = rest.split_at(number_end);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())?;
        sum = sum.checked_add(part).filter(|sum| *sum <= LONGEST).ok_or_else(wrong)?;
        rest = after;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_gos() {
        for (text, expected) in [
            ("0", 0),
            ("0s", 0),
            ("250ms", 250),
            ("1.5s", 1500),
            (".5s", 500),
            ("1m30s", 90_000),
            ("1h", 3_600_000),
            ("1h0m0.25s", 3_600_250),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(expected)), "{text}");
        }
        for text in
            ["", "5", "s", "-1s", "1 s", "1d", "1..5s", "200h", "1s1", "9999999999999999999999h", "NaNs"]
        {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
