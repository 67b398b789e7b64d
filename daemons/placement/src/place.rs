//! The placement function, and what it answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::Serialize;

use crate::{Choice, Machine, Unit, Why, catalog::Catalog, outcome, pass::Pass};

/// Elementary steps of searching in one pass: one or two tenths of a second.
pub(crate) const BUDGET: u64 = 8_000_000;

/// One reason, as a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Reason(pub String);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where everything goes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Placement {
    /// The machine of every unit that is placed and not global.
    pub assigned: BTreeMap<String, String>,
    /// The machines of every global unit.
    pub globals: BTreeMap<String, BTreeSet<String>>,
    /// Wanted units that are nowhere, with the reasons: option by option, and what was found on the machines.
    pub pending: BTreeMap<String, Vec<Reason>>,
    /// Why units that are placed are there. Who stays where it was is left out.
    pub why: BTreeMap<String, Why>,
    /// Global units that fit no machine, with the reasons.
    pub warnings: BTreeMap<String, Vec<Reason>>,
}

impl Placement {
    /// Why the unit is where it is, or nowhere; empty for units that are not wanted.
    pub fn reasons(&self, name: &str) -> Vec<Reason> {
        if let Some(why) = self.why.get(name) {
            return why.reasons();
        }
        if let Some(reasons) = self.pending.get(name).or_else(|| self.warnings.get(name)) {
            return reasons.clone();
        }
        if self.assigned.contains_key(name) {
            return vec![Reason(Choice::Stays.to_string())];
        }
        let count = self.globals.get(name).map(BTreeSet::len);
        let global = |count| Reason(format!("global: on each of the {count} machines that suit it"));
        count.map(global).into_iter().collect()
    }

    /// Units that are on another machine than before, with the former one.
    pub fn moved(&self) -> impl Iterator<Item = (&str, &str)> {
        self.why.iter().filter_map(|(name, why)| Some((name.as_str(), why.left.as_ref()?.0.as_str())))
    }
}

/// Places units on machines. The order of machines does not matter; that of units is the order of submission.
/// Names of units and ids of machines are unique: of two with the same name the first counts.
pub fn place(machines: &[Machine], units: &[Unit]) -> Placement {
    let mut catalog = Catalog::default();
    catalog.take(machines, units);
    let mut pass = Pass::new(&catalog, BUDGET);
    pass.run();
    outcome::of(&pass)
}
