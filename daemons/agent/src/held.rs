//! What this machine holds: written down before anything is done, so that the agent may die at any moment.

use std::collections::BTreeMap;
use std::time::Duration;

use convoy_unit_files::{Definition, UnitName};
use serde::{Deserialize, Serialize};

use crate::dropin::stop_commands;
use crate::fence::Fence;

/// What the agent needs to know of a unit's text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Traits {
    /// What it is bound to.
    pub fence: Option<Fence>,
    /// The longest time that its stop may take when it is fenced.
    pub stop_within: Duration,
    /// Number of `ExecStop=` commands.
    pub stop_commands: u32,
    /// It has an `[Install]` section.
    pub installs: bool,
    /// Units that are started before it, if both are.
    pub starts_after: Vec<String>,
}

impl Traits {
    /// Takes them out of a unit's text.
    pub fn of(definition: &Definition, text: &str) -> Self {
        let dependencies = &definition.dependencies;
        let lists =
            [&dependencies.binds_to, &dependencies.requires, &dependencies.wants, &dependencies.after];
        Self {
            fence: Fence::of(definition.cut_off),
            stop_within: definition.stop_within,
            stop_commands: stop_commands(text),
            installs: definition.installs,
            starts_after: lists.into_iter().flatten().cloned().collect(),
        }
    }
}

/// A run that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Run {
    /// SHA-256 of the text that it runs by.
    pub hash: String,
    /// The number of restarts asked for so far.
    pub restarts: u64,
}

/// A start or restart that is under way: whether it happened is told by systemd's InvocationID.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pending {
    /// The run.
    pub run: Run,
    /// The InvocationID before it.
    pub before: String,
}

/// A unit that this machine holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Held {
    /// SHA-256 of its file; empty if there is none yet.
    pub hash: String,
    /// systemd has read the file.
    pub loaded: bool,
    /// What the text says.
    pub traits: Traits,
    /// The last run that was carried out; none if it is only loaded.
    pub run: Option<Run>,
    /// A run that is being carried out.
    pub pending: Option<Pending>,
    /// How often in a row it failed.
    pub failures: u32,
    /// It runs, and the store has lost its schedule.
    pub unclaimed: bool,
    /// systemd stopped it because the machine was cut off; it is to run again when it isn't.
    pub fenced: bool,
}

/// Everything that the agent has to know after it was killed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Manifest {
    /// The store's own name.
    pub cluster: Option<String>,
    /// The latest revision of it that was seen.
    pub revision: i64,
    /// The units.
    pub units: BTreeMap<UnitName, Held>,
}
