//! The `[X-Convoy]` section: what goes beyond fleet.

use std::{ops::RangeInclusive, str::FromStr, time::Duration};

use crate::{
    CutOff, Preference, Rules,
    option::{Item, Options, Split},
    quantity,
    quote::shown,
    report::Report,
    specifier::Specifiers,
};

pub(crate) const SECTION: &str = "X-Convoy";

pub(crate) const OPTIONS: [&str; 7] =
    ["WhenCutOff", "StopWithin", "MoveAfterFailures", "Spread", "Prefer", "Weight", "RequireCapacity"];

/// What the section says besides the placement rules.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    pub(crate) cut_off: CutOff,
    pub(crate) stop_within: Duration,
    pub(crate) move_after_failures: Option<u32>,
}

/// `StopWithin=` if it isn't there.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// The longest `StopWithin=` that a unit may ask for: a start elsewhere has to wait for it.
pub const LONGEST_STOP: Duration = Duration::from_secs(3600);
/// Largest weight of a unit, and strongest preference.
const HEAVIEST: u32 = 10_000;
const STRONGEST: i32 = 10_000;

/// Reads the section. A value that can't be read is an error in either mode: fleet has never seen this section.
pub(crate) fn read(options: &Options<'_>, report: &mut Report<'_>, rules: &mut Rules) -> Policy {
    let single = |report: &mut Report<'_>, option: &'static str| {
        options.values(report, &[option], Split::Quoted, Specifiers::fleet).pop()
    };
    let list = |report: &mut Report<'_>, option: &'static str| {
        options.values(report, &[option], Split::Blanks, Specifiers::fleet)
    };
    let cut_off = single(report, "WhenCutOff").and_then(|item| cut_off(&item, report));
    let stop_within = single(report, "StopWithin").and_then(|item| stop_within(&item, report));
    let move_after_failures =
        single(report, "MoveAfterFailures").and_then(|item| number(&item, 0..=u32::MAX, report));
    rules.weight = single(report, "Weight").and_then(|item| number(&item, 0..=HEAVIEST, report));
    rules.require_capacity =
        single(report, "RequireCapacity").and_then(|item| truth(&item, report)).unwrap_or_default();
    for item in list(report, "Spread") {
        if item.text.contains('=') {
            report.error(
                item.line,
                item.option,
                format!("{:?} is a pair", shown(&item.text)),
                "give the key alone, such as Spread=zone",
            );
        } else if !rules.spread.contains(&item.text) {
            rules.spread.push(item.text);
        }
    }
    let preferences = options.values(report, &["Prefer"], Split::Quoted, Specifiers::fleet);
    for item in preferences.iter().flat_map(unquoted_pairs) {
        rules.prefer.extend(preference(&item, report));
    }
    Policy {
        cut_off: cut_off.unwrap_or_default(),
        stop_within: stop_within.unwrap_or(STOP_WITHIN),
        move_after_failures,
    }
}

/// Values with blanks in them need quotes: without, every word is a pair.
fn unquoted_pairs(item: &Item) -> Vec<Item> {
    let words: Vec<&str> = item.text.split_ascii_whitespace().collect();
    if words.len() > 1 && words.iter().all(|word| word.contains('=')) {
        words.into_iter().map(|word| Item { text: word.to_owned(), ..item.clone() }).collect()
    } else {
        vec![item.clone()]
    }
}

fn cut_off(item: &Item, report: &mut Report<'_>) -> Option<CutOff> {
    match item.text.as_str() {
        "keep" => return Some(CutOff::Keep),
        "at-most-one" => return Some(CutOff::AtMostOne),
        _ => {}
    }
    let after = item
        .text
        .strip_prefix("stop-after")
        .map(str::trim_start)
        .and_then(|rest| rest.strip_prefix([':', '=']));
    if let Some(span) = after.and_then(quantity::time_span).filter(|span| !span.is_zero()) {
        return Some(CutOff::StopAfter(span));
    }
    report.error(
        item.line,
        item.option,
        format!("{:?} is no policy", shown(&item.text)),
        "write keep, at-most-one, or stop-after with a time span, such as stop-after:60s",
    );
    None
}

fn stop_within(item: &Item, report: &mut Report<'_>) -> Option<Duration> {
    let span = quantity::time_span(&item.text).filter(|span| !span.is_zero() && *span <= LONGEST_STOP);
    if span.is_none() {
        report.error(
            item.line,
            item.option,
            format!("{:?} is no time span of more than nothing and at most one hour", shown(&item.text)),
            "write seconds or a time span, such as StopWithin=10s",
        );
    }
    span
}

fn number<T: FromStr + PartialOrd + std::fmt::Display>(
    item: &Item,
    range: RangeInclusive<T>,
    report: &mut Report<'_>,
) -> Option<T> {
    let number = item.text.parse().ok().filter(|number| range.contains(number));
    if number.is_none() {
        report.error(
            item.line,
            item.option,
            format!("{:?} is no whole number from {} to {}", shown(&item.text), range.start(), range.end()),
            "write a number",
        );
    }
    number
}

fn truth(item: &Item, report: &mut Report<'_>) -> Option<bool> {
    let truth = quantity::truth(&item.text);
    if truth.is_none() {
        report.error(
            item.line,
            item.option,
            format!("{:?} is no truth value", shown(&item.text)),
            "write yes or no",
        );
    }
    truth
}

/// `key=value`, `key=value:weight`
fn preference(item: &Item, report: &mut Report<'_>) -> Option<Preference> {
    let (pair, weight) = match item.text.rsplit_once(':') {
        Some((pair, weight)) if is_integer(weight) => {
            let weight = weight.parse().ok().filter(|weight| (-STRONGEST..=STRONGEST).contains(weight));
            if weight.is_none() {
                report.error(
                    item.line,
                    item.option,
                    format!("the weight of {:?} is not from -{STRONGEST} to {STRONGEST}", shown(&item.text)),
                    "write a smaller weight",
                );
            }
            (pair, weight?)
        }
        _ => (item.text.as_str(), 1),
    };
    let parts = pair
        .split_once('=')
        .filter(|(key, value)| !key.is_empty() && !value.is_empty() && !value.contains('='));
    if parts.is_none() {
        report.error(
            item.line,
            item.option,
            format!("{:?} is no pair of key and value", shown(&item.text)),
            "write Prefer=KEY=VALUE or Prefer=KEY=VALUE:WEIGHT",
        );
    }
    parts.map(|(key, value)| Preference { key: key.to_owned(), value: value.to_owned(), weight })
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}
