//! What a unit asks of the machine that it runs on, with all specifiers expanded.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::Glob;

/// The placement rules of one unit: the `[X-Fleet]` section, and what `[X-Convoy]` adds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// `MachineID=`: only this machine.
    pub machine_id: Option<String>,
    /// `MachineOf=`: the machine of each of these units. Names as they were written: one that no unit has never holds.
    pub machine_of: Vec<String>,
    /// `MachineMetadata=`: for each key, the values of which the machine must have one.
    pub metadata: BTreeMap<String, BTreeSet<String>>,
    /// `Conflicts=`: no unit that matches on the same machine, in either direction.
    pub conflicts: Vec<Glob>,
    /// `Global=`: on every machine that the other rules allow.
    pub global: bool,
    /// `Replaces=`: units that match move away, and this one takes their place.
    pub replaces: Vec<Glob>,
    /// `BindsTo=` and `Requires=` of the unit itself: names of units which, if they are placed too, share the machine.
    pub ties: Vec<String>,
    /// `[X-Convoy] Spread=`: metadata keys over whose values the instances of one template are spread. Soft.
    pub spread: Vec<String>,
    /// `[X-Convoy] Prefer=`: machines with this metadata are better. Soft.
    pub prefer: Vec<Preference>,
    /// `[X-Convoy] Weight=`: how much the unit counts towards a machine's load; an ordinary unit has 1.
    pub weight: Option<u32>,
    /// What the unit may use at most.
    pub resources: Resources,
    /// `[X-Convoy] RequireCapacity=`: rather wait than go to a machine without room. Otherwise room is a soft rule.
    pub require_capacity: bool,
}

/// Metadata that makes a machine better.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preference {
    /// The metadata's key.
    pub key: String,
    /// Its value.
    pub value: String,
    /// How many units' worth of load it outweighs; negative keeps away.
    pub weight: i32,
}

/// What a unit may use at most, from its own limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resources {
    /// `MemoryMax=` in bytes, if it is a number.
    pub memory: Option<u64>,
    /// `CPUQuota=` in thousandths of a processor: 50 % is 500.
    pub cpu_millis: Option<u32>,
}

/// `[X-Convoy] WhenCutOff=`: what becomes of a running unit when its machine can't reach the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CutOff {
    /// It runs on; a second one is started elsewhere. The default.
    #[default]
    Keep,
    /// It never runs twice: stopped on its machine before it may start elsewhere.
    AtMostOne,
    /// It runs on for this long and is then stopped; elsewhere it is started at once.
    StopAfter(Duration),
}
