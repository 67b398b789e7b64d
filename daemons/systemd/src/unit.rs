//! What systemd says of a unit, whole or as a change.

use std::collections::HashMap;

use zbus::wire::{OwnedVariant, Variant};

use crate::ActiveState;

/// A unit as systemd sees it at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnitStatus {
    /// LoadState: `loaded`, `not-found`, `masked` …
    pub load: String,
    /// ActiveState: `active`, `failed` …
    pub active: String,
    /// SubState: `running`, `auto-restart` …
    pub sub: String,
    /// InvocationID of the present or last run, in hexadecimal digits; empty if it never ran since it was loaded.
    pub invocation_id: String,
    /// When the active state was entered, in seconds since the epoch; 0 is never.
    pub since: u64,
    /// The file that it was loaded from; empty if there is none.
    pub fragment: String,
    /// A job for it is queued or runs.
    pub has_job: bool,
}

impl UnitStatus {
    /// The active state as a type.
    pub fn state(&self) -> ActiveState {
        ActiveState::parse(&self.active)
    }

    /// Takes in a change.
    pub fn apply(&mut self, change: &UnitChange) {
        let text = |field: &mut String, news: &Option<String>| {
            if let Some(news) = news {
                field.clone_from(news);
            }
        };
        text(&mut self.active, &change.active);
        text(&mut self.sub, &change.sub);
        text(&mut self.invocation_id, &change.invocation_id);
        self.since = change.since.unwrap_or(self.since);
        self.has_job = change.has_job.unwrap_or(self.has_job);
    }
}

/// What changed of a unit; what did not is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnitChange {
    /// The unit.
    pub unit: String,
    /// See [`UnitStatus::active`].
    pub active: Option<String>,
    /// See [`UnitStatus::sub`].
    pub sub: Option<String>,
    /// See [`UnitStatus::invocation_id`].
    pub invocation_id: Option<String>,
    /// See [`UnitStatus::since`].
    pub since: Option<u64>,
    /// See [`UnitStatus::has_job`].
    pub has_job: Option<bool>,
}

/// How the last run of a service ended, and what its unit says about ends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceEnd {
    /// `Result`: `success`, `exit-code`, `watchdog` …
    pub result: String,
    /// `Restart=`: `no`, `always` …
    pub restart: String,
}

impl ServiceEnd {
    /// Whether the unit wants to be started again when it failed.
    pub fn wants_restart(&self) -> bool {
        !self.restart.is_empty() && self.restart != "no"
    }

    /// Whether the run ended well.
    pub fn succeeded(&self) -> bool {
        self.result == "success"
    }
}

pub(crate) type Properties = HashMap<String, OwnedVariant>;

pub(crate) fn status(properties: &Properties) -> UnitStatus {
    UnitStatus {
        load: text(properties, "LoadState").unwrap_or_default(),
        active: text(properties, "ActiveState").unwrap_or_default(),
        sub: text(properties, "SubState").unwrap_or_default(),
        invocation_id: invocation(properties).unwrap_or_default(),
        since: since(properties).unwrap_or_default(),
        fragment: text(properties, "FragmentPath").unwrap_or_default(),
        has_job: has_job(properties).unwrap_or_default(),
    }
}

pub(crate) fn change(unit: String, properties: &Properties) -> UnitChange {
    UnitChange {
        unit,
        active: text(properties, "ActiveState"),
        sub: text(properties, "SubState"),
        invocation_id: invocation(properties),
        since: since(properties),
        has_job: has_job(properties),
    }
}

pub(crate) fn text(properties: &Properties, name: &str) -> Option<String> {
    properties.get(name).and_then(|value| <&str>::try_from(value).ok()).map(str::to_owned)
}

pub(crate) fn number(properties: &Properties, name: &str) -> Option<u32> {
    properties.get(name).and_then(|value| u32::try_from(value).ok())
}

fn since(properties: &Properties) -> Option<u64> {
    properties
        .get("StateChangeTimestamp")
        .and_then(|value| u64::try_from(value).ok())
        .map(|micros| micros / 1_000_000)
}

fn has_job(properties: &Properties) -> Option<bool> {
    let Variant::Structure(job) = Variant::try_from(properties.get("Job")?).ok()? else { return None };
    match job.fields().first() {
        Some(Variant::U32(id)) => Some(*id != 0),
        _ => None,
    }
}

fn invocation(properties: &Properties) -> Option<String> {
    let Variant::Array(bytes) = Variant::try_from(properties.get("InvocationID")?).ok()? else { return None };
    let digits = bytes.iter().filter_map(|byte| match byte {
        Variant::U8(byte) => Some(format!("{byte:02x}")),
        _ => None,
    });
    Some(digits.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(pairs: Vec<(&str, Variant<'_>)>) -> Properties {
        pairs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), OwnedVariant::try_from(value).unwrap()))
            .collect()
    }

    #[test]
    fn what_a_signal_leaves_out_stays() {
        let mut seen = status(&properties(vec![
            ("LoadState", "loaded".into()),
            ("ActiveState", "activating".into()),
            ("SubState", "start".into()),
            ("InvocationID", vec![0xab_u8, 1].into()),
            ("StateChangeTimestamp", 5_000_001_u64.into()),
        ]));
        assert_eq!((seen.invocation_id.as_str(), seen.since, seen.has_job), ("ab01", 5, false));
        let news = change(
            "a.service".into(),
            &properties(vec![("ActiveState", "active".into()), ("SubState", 7_u32.into())]),
        );
        seen.apply(&news);
        assert_eq!(seen.state(), ActiveState::Active);
        assert_eq!((seen.sub.as_str(), seen.load.as_str()), ("start", "loaded"), "another type is no text");
    }
}
