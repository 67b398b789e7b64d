//! The time, as Go's `time.Time` in templates.

use std::sync::Arc;

use convoy_go_template::{Function, Record, Type, Value};

use crate::world::Moment;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const SECONDS_PER_DAY: i64 = 86_400;

/// `time.Time`. Month and weekday are strings here, which print as they do in Go.
#[derive(Debug)]
pub(super) struct Time(Moment);

impl Time {
    pub(super) fn value(moment: Moment) -> Value {
        Value::Record(Arc::new(Self(moment)))
    }
}

/// A moment as the people around see it.
#[derive(Debug, Clone, Copy)]
struct Civil {
    year: i64,
    month: usize,
    day: i64,
    year_day: i64,
    weekday: usize,
    hour: i64,
    minute: i64,
    second: i64,
}

impl Civil {
    fn of(moment: &Moment) -> Self {
        let local = moment.seconds.saturating_add(i64::from(moment.offset));
        let (days, seconds) = (local.div_euclid(SECONDS_PER_DAY), local.rem_euclid(SECONDS_PER_DAY));
        // Years that begin in March have their leap day last: Howard Hinnant's days_from_civil, the other way.
        let shifted = days.saturating_add(719_468);
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        let year_day = if month > 2 { day_of_year + 60 + i64::from(leap) } else { day_of_year - 305 };
        Self {
            year,
            month: usize::try_from(month).unwrap_or(1),
            day: day_of_year - (153 * march_month + 2) / 5 + 1,
            year_day,
            weekday: usize::try_from((days + 4).rem_euclid(7)).unwrap_or(0),
            hour: seconds / 3600,
            minute: seconds / 60 % 60,
            second: seconds % 60,
        }
    }

    fn month_name(self) -> &'static str {
        MONTHS.get(self.month - 1).copied().unwrap_or_default()
    }

    fn day_name(self) -> &'static str {
        DAYS.get(self.weekday).copied().unwrap_or_default()
    }
}

impl Record for Time {
    fn type_name(&self) -> &'static str {
        "time.Time"
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        Vec::new()
    }

    fn method(&self, name: &str) -> Option<Function> {
        let moment = self.0.clone();
        let civil = Civil::of(&moment);
        let nanoseconds = i64::from(moment.nanoseconds);
        let scaled = |per_second: i64| {
            moment
                .seconds
                .saturating_mul(per_second)
                .saturating_add(nanoseconds / (1_000_000_000 / per_second))
        };
        let number = match name {
            "Format" => {
                return Some(Function::new([Type::String], Type::String, move |call| {
                    let layout = call.text(0)?;
                    call.budget.fits(layout.len().saturating_mul(8))?;
                    Ok(Value::from(format(&moment, &layout.to_str())))
                }));
            }
            "UTC" => {
                let utc = Moment { offset: 0, zone: "UTC".to_owned(), ..moment };
                return Some(Function::new([], Type::Record("time.Time"), move |_| {
                    Ok(Self::value(utc.clone()))
                }));
            }
            "String" => {
                let text = self.text().unwrap_or_default();
                return Some(Function::new([], Type::String, move |_| Ok(Value::from(text.as_str()))));
            }
            "Month" => return Some(constant(civil.month_name())),
            "Weekday" => return Some(constant(civil.day_name())),
            "Unix" => moment.seconds,
            "UnixMilli" => scaled(1000),
            "UnixMicro" => scaled(1_000_000),
            "UnixNano" => scaled(1_000_000_000),
            "Year" => civil.year,
            "Day" => civil.day,
            "YearDay" => civil.year_day,
            "Hour" => civil.hour,
            "Minute" => civil.minute,
            "Second" => civil.second,
            "Nanosecond" => nanoseconds,
            _ => return None,
        };
        Some(Function::new([], Type::Int, move |_| Ok(Value::Int(number))))
    }

    fn text(&self) -> Option<String> {
        Some(format(&self.0, "2006-01-02 15:04:05.999999999 -0700 MST"))
    }
}

fn constant(text: &'static str) -> Function {
    Function::new([], Type::String, move |_| Ok(Value::from(text)))
}

/// As `time.Time.Format`: the layout is the reference time, Mon Jan 2 15:04:05 MST 2006, as it should look.
fn format(moment: &Moment, layout: &str) -> String {
    let civil = Civil::of(moment);
    let mut out = String::new();
    let mut rest = layout;
    while let Some(first) = rest.chars().next() {
        if let Some((fraction, after)) = fraction(moment, rest) {
            out.push_str(&fraction);
            rest = after;
            continue;
        }
        if let Some((element, length)) = element(&civil, moment, rest) {
            out.push_str(&element);
            rest = rest.get(length..).unwrap_or_default();
        } else {
            out.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
    }
    out
}

/// `.000` and `.999`, which leaves out zeros at the end.
fn fraction<'l>(moment: &Moment, layout: &'l str) -> Option<(String, &'l str)> {
    let separator = layout.chars().next().filter(|first| matches!(first, '.' | ','))?;
    let digits = layout.get(1..)?;
    let digit = digits.chars().next().filter(|digit| matches!(digit, '0' | '9'))?;
    let after = digits.trim_start_matches(digit);
    if after.starts_with(|next: char| next.is_ascii_digit()) {
        return None;
    }
    let length = digits.len() - after.len();
    let nanoseconds = format!("{:09}", moment.nanoseconds);
    let shown = nanoseconds.get(..length.min(9)).unwrap_or_default();
    let shown = if digit == '9' { shown.trim_end_matches('0') } else { shown };
    let text = if shown.is_empty() { String::new() } else { format!("{separator}{shown}") };
    Some((text, after))
}

/// An element of the layout at its start, and how long it is there.
fn element(civil: &Civil, moment: &Moment, layout: &str) -> Option<(String, usize)> {
    let lower_follows = |length: usize| {
        layout.get(length..).is_some_and(|rest| rest.starts_with(|next: char| next.is_ascii_lowercase()))
    };
    let starts = |prefix: &str| layout.starts_with(prefix);
    let hour = (civil.hour + 11) % 12 + 1;
    let short = |name: &str| name.get(..3).unwrap_or(name).to_owned();
    let (text, length) = if starts("January") {
        (civil.month_name().to_owned(), 7)
    } else if starts("Jan") && !lower_follows(3) {
        (short(civil.month_name()), 3)
    } else if starts("Monday") {
        (civil.day_name().to_owned(), 6)
    } else if starts("Mon") && !lower_follows(3) {
        (short(civil.day_name()), 3)
    } else if starts("MST") {
        (moment.zone.clone(), 3)
    } else if starts("2006") {
        (format!("{:04}", civil.year), 4)
    } else if starts("_2006") {
        (format!("_{:04}", civil.year), 5)
    } else if starts("__2") {
        (format!("{:>3}", civil.year_day), 3)
    } else if starts("_2") {
        (format!("{:>2}", civil.day), 2)
    } else if starts("002") {
        (format!("{:03}", civil.year_day), 3)
    } else if starts("01") {
        (format!("{:02}", civil.month), 2)
    } else if starts("02") {
        (format!("{:02}", civil.day), 2)
    } else if starts("03") {
        (format!("{hour:02}"), 2)
    } else if starts("04") {
        (format!("{:02}", civil.minute), 2)
    } else if starts("05") {
        (format!("{:02}", civil.second), 2)
    } else if starts("06") {
        (format!("{:02}", civil.year.rem_euclid(100)), 2)
    } else if starts("15") {
        (format!("{:02}", civil.hour), 2)
    } else if starts("1") {
        (civil.month.to_string(), 1)
    } else if starts("2") {
        (civil.day.to_string(), 1)
    } else if starts("3") {
        (hour.to_string(), 1)
    } else if starts("4") {
        (civil.minute.to_string(), 1)
    } else if starts("5") {
        (civil.second.to_string(), 1)
    } else if starts("PM") {
        (if civil.hour < 12 { "AM" } else { "PM" }.to_owned(), 2)
    } else if starts("pm") {
        (if civil.hour < 12 { "am" } else { "pm" }.to_owned(), 2)
    } else {
        return zone(moment, layout);
    };
    Some((text, length))
}

/// `-07:00` and its relatives; those with a Z write just that in Greenwich.
fn zone(moment: &Moment, layout: &str) -> Option<(String, usize)> {
    const FORMS: [&str; 5] = ["07:00:00", "070000", "07:00", "0700", "07"];
    let sign = layout.chars().next().filter(|first| matches!(first, '-' | 'Z'))?;
    let form = FORMS.iter().find(|form| layout.get(1..).is_some_and(|rest| rest.starts_with(**form)))?;
    let length = form.len() + 1;
    if sign == 'Z' && moment.offset == 0 {
        return Some(("Z".to_owned(), length));
    }
    let east = if moment.offset < 0 { '-' } else { '+' };
    let offset = moment.offset.unsigned_abs();
    let colon = if form.contains(':') { ":" } else { "" };
    let mut text = format!("{east}{:02}", offset / 3600);
    if form.len() > 2 {
        let minutes = format!("{:02}", offset / 60 % 60);
        text = [&text, colon, &minutes].concat();
    }
    if form.len() > 5 {
        let seconds = format!("{:02}", offset % 60);
        text = [&text, colon, &seconds].concat();
    }
    Some((text, length))
}
