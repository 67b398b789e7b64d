//! Truth values, sizes, shares and time spans, as systemd writes them.

use std::time::Duration;

use crate::syntax::is_blank;

/// The longest time span that is taken: a year.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// Digits after the point that count; more say nothing at any unit.
const DECIMALS: usize = 9;

/// systemd's truth values (its parse_boolean), in any case.
pub(crate) fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
        _ => None,
    }
}

/// An upper limit: a number, or none at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit<T> {
    /// It says that there is no limit, or one that no number can say.
    None,
    /// At most so much.
    AtMost(T),
}

/// `MemoryMax=` in bytes (systemd.resource-control(5)): K, M, G, T, P and E to the base 1024, decimals, several parts
/// that become smaller (`1G 500M`). `infinity` and shares of the machine's memory are no number.
pub(crate) fn memory(text: &str) -> Option<Limit<u64>> {
    const UNITS: [(&str, u32); 8] =
        [("E", 60), ("P", 50), ("T", 40), ("G", 30), ("M", 20), ("K", 10), ("B", 0), ("", 0)];
    if text == "infinity" {
        return Some(Limit::None);
    }
    if text.ends_with(['%', '‰', '‱']) {
        return decimal(text.trim_end_matches(['%', '‰', '‱']))?.1.is_empty().then_some(Limit::None);
    }
    let mut sum: u128 = 0;
    let mut left = UNITS.as_slice();
    let mut rest = text.trim_matches(is_blank);
    loop {
        let (number, after) = decimal(rest)?;
        let after = after.trim_start_matches(is_blank);
        let found = left.iter().position(|(unit, _)| after.starts_with(unit))?;
        let (unit, shift) = left.get(found)?;
        sum = sum.checked_add(number.times(1_u128 << shift)?)?;
        left = left.get(found + 1..)?;
        rest = after.strip_prefix(unit)?.trim_start_matches(is_blank);
        if rest.is_empty() {
            break;
        }
    }
    let sum = u64::try_from(sum).ok()?;
    (sum > 0 && sum < u64::MAX).then_some(Limit::AtMost(sum))
}

/// `CPUQuota=` in thousandths of a processor: `150%` is 1500. What is less than one thousandth is one.
pub(crate) fn processors(text: &str) -> Option<u32> {
    let (number, unit) = decimal(text)?;
    // In hundred-thousandths, so that systemd's smallest share is still a whole number.
    let share = number.times(match unit {
        "%" => 1000,
        "‰" => 100,
        "‱" => 10,
        _ => return None,
    })?;
    u32::try_from(share.div_ceil(100)).ok().filter(|millis| *millis > 0)
}

/// A time span as in `TimeoutStopSec=` (systemd.time(7)): `90`, `5min 20s`, `1.5h`. At most a year; `infinity` is none.
pub(crate) fn time_span(text: &str) -> Option<Duration> {
    const SECOND: u128 = 1_000_000;
    // Longest first: "min" isn't "m".
    const UNITS: [(&str, u128); 28] = [
        ("seconds", SECOND),
        ("minutes", 60 * SECOND),
        ("second", SECOND),
        ("minute", 60 * SECOND),
        ("months", 2_629_800 * SECOND),
        ("month", 2_629_800 * SECOND),
        ("hours", 3600 * SECOND),
        ("weeks", 7 * 86_400 * SECOND),
        ("years", 31_557_600 * SECOND),
        ("hour", 3600 * SECOND),
        ("days", 86_400 * SECOND),
        ("week", 7 * 86_400 * SECOND),
        ("year", 31_557_600 * SECOND),
        ("usec", 1),
        ("msec", 1000),
        ("sec", SECOND),
        ("min", 60 * SECOND),
        ("day", 86_400 * SECOND),
        ("us", 1),
        ("µs", 1),
        ("μs", 1),
        ("ms", 1000),
        ("hr", 3600 * SECOND),
        ("s", SECOND),
        ("m", 60 * SECOND),
        ("h", 3600 * SECOND),
        ("d", 86_400 * SECOND),
        ("w", 7 * 86_400 * SECOND),
    ];
    let mut sum: u128 = 0;
    let mut rest = text.trim_matches(is_blank);
    loop {
        let (number, after) = decimal(rest)?;
        let after = after.trim_start_matches(is_blank);
        let (unit, length) = UNITS
            .iter()
            .find(|(unit, _)| after.starts_with(unit))
            .copied()
            .or_else(|| after.strip_prefix('M').map(|_| ("M", 2_629_800 * SECOND)))
            .or_else(|| after.strip_prefix('y').map(|_| ("y", 31_557_600 * SECOND)))
            .unwrap_or(("", SECOND));
        sum = sum.checked_add(number.times(length)?)?;
        rest = after.strip_prefix(unit)?.trim_start_matches(is_blank);
        if rest.is_empty() {
            break;
        }
    }
    let span = Duration::from_micros(u64::try_from(sum).ok()?);
    (span <= LONGEST).then_some(span)
}

/// A number with decimals: digits, and the decimals as billionths.
#[derive(Debug, Clone, Copy)]
struct Decimal {
    whole: u64,
    billionths: u64,
}

impl Decimal {
    /// So many units, rounded down.
    fn times(self, unit: u128) -> Option<u128> {
        let part = u128::from(self.billionths).checked_mul(unit)? / 1_000_000_000;
        u128::from(self.whole).checked_mul(unit)?.checked_add(part)
    }
}

/// The number that a text begins with, and what follows it.
fn decimal(text: &str) -> Option<(Decimal, &str)> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = text.split_at_checked(digits(text))?;
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(after) => after.split_at_checked(digits(after))?,
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let billionths = fraction.bytes().chain(std::iter::repeat(b'0')).take(DECIMALS);
    let billionths = billionths.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    let whole = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    Some((Decimal { whole, billionths }, rest))
}
