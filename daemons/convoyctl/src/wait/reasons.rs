//! Why units wait for a machine: told once, and again when the reasons change.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{SystemTime, UNIX_EPOCH},
};

use convoy_placement::place;
use convoy_unit_files::UnitName;

use crate::{console::Console, picture::Picture, plan::Question};

/// Most lines about one unit; explain has them all.
const LINES: usize = 8;

/// What was told already.
#[derive(Debug, Default)]
pub struct Reasons {
    units: BTreeMap<UnitName, Vec<String>>,
    troubles: BTreeMap<UnitName, String>,
    leaderless: bool,
    frozen: bool,
}

/// Seconds since the epoch.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Reasons {
    /// Says why units have no machine, as far as it wasn't said. Gives the globals among them that fit no machine.
    pub fn tell(&mut self, picture: &Picture, unplaced: &[UnitName], console: &mut Console) -> Vec<UnitName> {
        if unplaced.is_empty() {
            return Vec::new();
        }
        if picture.leader.is_none() && !self.leaderless {
            self.leaderless = true;
            console
                .note("No scheduler leads, so nothing is placed: check scheduler.service on the machines.");
        }
        if let Some(freeze) = picture.freeze.as_ref().filter(|_| !self.frozen) {
            self.frozen = true;
            console.note(frozen(freeze.absent.len()));
        }
        let question = Question::of_picture(picture, now());
        let units = question.placement_units(&question.read());
        let placement = place(&question.machines, &units);
        for name in unplaced {
            let Some(reasons) = placement.pending.get(name.as_str()) else { continue };
            let reasons: Vec<String> = reasons.iter().map(|reason| reason.0.clone()).collect();
            if self.units.get(name) != Some(&reasons) {
                console.note(format_args!("Unit {name} waits for a machine:"));
                for reason in reasons.iter().take(LINES) {
                    console.note(format_args!("  {reason}"));
                }
                console.note(format_args!("  (`convoyctl explain {name}` says it for each machine)"));
                self.units.insert(name.clone(), reasons);
            }
        }
        let nowhere = |name: &&UnitName| placement.globals.get(name.as_str()).is_some_and(BTreeSet::is_empty);
        let is_global = |name: &&UnitName| picture.is_global(name);
        unplaced.iter().filter(is_global).filter(nowhere).cloned().collect()
    }

    /// Says what stands in a unit's way, as far as it wasn't said.
    pub fn trouble(&mut self, name: &UnitName, trouble: &str, console: &mut Console) {
        if self.troubles.get(name).is_none_or(|told| told != trouble) {
            console.note(trouble);
            self.troubles.insert(name.clone(), trouble.to_owned());
        }
    }
}

/// What a freeze means, for people.
pub fn frozen(absent: usize) -> String {
    format!(
        "Moves are frozen: {absent} machines vanished at once. `convoyctl resume` says that they are lost; else it ends when they return."
    )
}
