//! What the others are told of the units.

use std::collections::BTreeMap;

use convoy_keys::StateRecord;
use convoy_unit_files::UnitName;

use super::unit::Unit;
use super::{Fetch, Roster};

/// How many units stand how, for `systemctl status` and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Units in the schedule or held.
    pub units: usize,
    /// Those that are up.
    pub active: usize,
    /// Those that failed.
    pub failed: usize,
    /// Those without a schedule.
    pub unclaimed: usize,
    /// Those stopped because this machine was cut off.
    pub fenced: usize,
    /// Those that can't be had.
    pub refused: usize,
}

impl Roster {
    /// The state of every unit that this machine has, or should have and can't.
    pub fn states(&self) -> BTreeMap<UnitName, StateRecord> {
        self.units.iter().filter_map(|(name, unit)| Some((name.clone(), state(unit)?))).collect()
    }

    /// How many units stand how.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary { units: self.units.len(), ..Summary::default() };
        for unit in self.units.values() {
            let active = unit.status.as_ref().is_some_and(|status| status.active == "active");
            let held = |test: fn(&crate::held::Held) -> bool| unit.held.as_ref().is_some_and(test);
            summary.active += usize::from(active);
            summary.failed += usize::from(unit.has_failed());
            summary.unclaimed += usize::from(held(|held| held.unclaimed));
            summary.fenced += usize::from(held(|held| held.fenced));
            summary.refused += usize::from(unit.refused.is_some());
        }
        summary
    }
}

fn state(unit: &Unit) -> Option<StateRecord> {
    let error = unit.refused.as_ref().or(unit.error.as_ref()).cloned();
    let Some(held) = &unit.held else {
        let trouble = matches!(unit.fetch, Fetch::Failed { .. }) || unit.refused.is_some();
        return trouble.then(|| StateRecord {
            load: "not-found".to_owned(),
            active: "inactive".to_owned(),
            sub: "dead".to_owned(),
            error,
            ..StateRecord::default()
        });
    };
    let status = unit.status.clone().unwrap_or_default();
    let or = |text: String, other: &str| if text.is_empty() { other.to_owned() } else { text };
    let run = held.run.as_ref();
    Some(StateRecord {
        load: or(status.load, "not-found"),
        active: or(status.active, "inactive"),
        sub: or(status.sub, "dead"),
        // While it still runs by the old text, the new one is nobody's business.
        hash: run.map_or_else(|| held.hash.clone(), |run| run.hash.clone()),
        restarts: run.map_or(0, |run| run.restarts),
        failures: held.failures,
        invocation_id: status.invocation_id,
        since: status.since,
        unclaimed: held.unclaimed,
        error,
    })
}
