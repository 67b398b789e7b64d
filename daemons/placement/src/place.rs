//! The placement function.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Machine, Unit, catalog::Catalog, outcome, pass::Pass};

/// One reason, as a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(pub String);

/// Where everything goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placement {
    /// The machine of every unit that is placed and not global.
    pub assigned: BTreeMap<String, String>,
    /// The machines of every global unit.
    pub globals: BTreeMap<String, BTreeSet<String>>,
    /// Wanted units that are nowhere, with the reasons.
    pub pending: BTreeMap<String, Vec<Reason>>,
}

/// Places units on machines.
pub fn place(machines: &[Machine], units: &[Unit]) -> Placement {
    let mut catalog = Catalog::default();
    catalog.set_machines(machines.to_vec());
    for (order, unit) in (0..).zip(units) {
        if catalog.find(&unit.name).is_none() {
            catalog.upsert(order, unit.clone());
        }
    }
    let mut pass = Pass::new(&catalog, 20_000_000);
    pass.run();
    outcome::of(&pass)
}
