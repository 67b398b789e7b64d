//! What would run where, in the form that the dry run prints.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::exit::Outcome;

/// One unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnitPlan {
    /// Its name.
    pub name: String,
    /// The machine that it is on; none for globals, templates and what is nowhere.
    pub machine: Option<String>,
    /// It was on another machine before.
    pub moved: bool,
    /// Why it is there, or nowhere.
    pub reasons: Vec<String>,
    /// The machine that it was on before.
    #[serde(skip)]
    pub before: Option<String>,
    /// It should be on a machine.
    #[serde(skip)]
    pub wanted: bool,
    /// It should be on all machines that it fits.
    #[serde(skip)]
    pub global: bool,
    /// The machines of a global.
    #[serde(skip)]
    pub on: Vec<String>,
}

impl UnitPlan {
    /// It should be on a machine and is on none.
    pub fn is_pending(&self) -> bool {
        self.wanted && !self.global && self.machine.is_none()
    }

    /// It should be on all machines that it fits.
    pub fn is_global(&self) -> bool {
        self.wanted && self.global
    }
}

/// A unit that can't be submitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rejection {
    /// Its name.
    pub name: String,
    /// What is wrong, one problem per line.
    pub error: String,
}

/// Something that was let through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// The unit.
    pub name: String,
    /// What is odd.
    pub warning: String,
}

/// The answer. Its JSON is public interface.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Answer {
    /// The units that were read, in the order in which they were submitted.
    pub units: Vec<UnitPlan>,
    /// What is on each machine, globals included, by name.
    pub machines: BTreeMap<String, Vec<String>>,
    /// The units that can't be submitted.
    pub rejected: Vec<Rejection>,
    /// What was let through.
    pub warnings: Vec<Warning>,
    /// How many units were left out because nothing changes for them.
    #[serde(skip)]
    pub unchanged: usize,
}

impl Answer {
    /// Without the units that stay as they are.
    #[must_use]
    pub fn changes(mut self) -> Self {
        self.unchanged = self.units.len();
        self.units.retain(|unit| {
            let was_there = unit.before.is_some() || unit.global;
            unit.moved || unit.is_pending() || was_there != (unit.machine.is_some() || !unit.on.is_empty())
        });
        self.unchanged -= self.units.len();
        self
    }

    /// All placed; or a unit was rejected, whatever else; or something that should run stays pending.
    pub fn outcome(&self) -> Outcome {
        if !self.rejected.is_empty() {
            Outcome::Rejected
        } else if self.units.iter().any(UnitPlan::is_pending) {
            Outcome::Pending
        } else {
            Outcome::Done
        }
    }
}
