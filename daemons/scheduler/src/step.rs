//! What one look at the world leads to.

use std::time::Duration;

use convoy_keys::MachineId;
use convoy_store::Revision;
use convoy_unit_files::UnitName;

use crate::event::Event;

/// What has to be true of a key before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// It does not exist.
    Absent,
    /// It was written last at this revision.
    At(Revision),
    /// It does not matter.
    Any,
}

/// A write of the leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The key.
    pub key: String,
    /// What is known of it.
    pub expected: Expected,
    /// What it is to hold; nothing to remove it.
    pub value: Option<Vec<u8>>,
}

impl Write {
    /// Writes a key.
    pub(crate) fn put(key: String, expected: Expected, value: Vec<u8>) -> Self {
        Self { key, expected, value: Some(value) }
    }

    /// Removes a key.
    pub(crate) fn delete(key: String, expected: Expected) -> Self {
        Self { key, expected, value: None }
    }
}

/// Writes that are made together or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// The writes, to different keys.
    pub writes: Vec<Write>,
    /// Keys that have to exist.
    pub present: Vec<String>,
    /// Keys that must not exist.
    pub absent: Vec<String>,
    /// What to tell when they were made.
    pub events: Vec<Event>,
}

/// How things stand, for people and metrics.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// Units that should be on a machine.
    pub units: usize,
    /// Those that are on none, with the reason.
    pub pending: Vec<(UnitName, String)>,
    /// Units under way from one machine to another.
    pub moving: usize,
    /// Machines that are there.
    pub machines: usize,
    /// Machines that are away while moves are frozen.
    pub frozen: Vec<MachineId>,
    /// What else an operator has to know, in sentences.
    pub remarks: Vec<String>,
    /// Keys that can't be used.
    pub unusable: usize,
}

/// What one look at the world leads to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Step {
    /// To be committed one after another.
    pub batches: Vec<Batch>,
    /// What was found, whatever becomes of the writes.
    pub events: Vec<Event>,
    /// When the rules may come out differently without news, by the monotonic clock.
    pub again: Option<Duration>,
    /// How things stand.
    pub summary: Summary,
}
