//! The placement function.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Machine, Unit};

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
    let _ = (machines, units);
    Placement::default()
}
