//! What placement is told.

use std::collections::{BTreeMap, BTreeSet};

use convoy_unit_files::{Definition, Rules};

/// What a machine takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Accepts {
    /// Everything.
    #[default]
    All,
    /// What runs there stays, nothing new comes (cordoned; or absent for an announced reboot).
    Present,
    /// What runs there has to leave (drained).
    Nothing,
}

/// What a machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capacity {
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// Thousandths of a processor.
    pub cpu_millis: Option<u32>,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Machine {
    /// `/etc/machine-id`.
    pub id: String,
    /// Its metadata.
    pub metadata: BTreeMap<String, String>,
    /// What it has.
    pub capacity: Capacity,
    /// What it takes.
    pub accepts: Accepts,
}

/// A unit to be placed. The order of units in the input is the order in which they were submitted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unit {
    /// Its name.
    pub name: String,
    /// What it asks for.
    pub rules: Rules,
    /// It is to be on a machine (loaded or launched). One that is not wanted is nowhere and blocks nothing.
    pub wanted: bool,
    /// The machine where it is now.
    pub current: Option<String>,
    /// The machine that an operator asked for (move). Soft, but stronger than staying.
    pub wish: Option<String>,
    /// Machines where it failed too often. Soft: better there than nowhere.
    pub avoid: BTreeSet<String>,
}

impl Unit {
    /// The unit of a unit file that was read.
    pub fn from_definition(definition: &Definition, wanted: bool, current: Option<String>) -> Self {
        Self {
            name: definition.name.as_str().to_owned(),
            rules: definition.rules.clone(),
            wanted,
            current,
            ..Self::default()
        }
    }
}
