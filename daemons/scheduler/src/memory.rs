//! What a leader remembers beyond what the store says. All of it may be lost: a new leader comes to the same decisions a
//! little later, never to unsafe ones.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use convoy_keys::{MachineId, MachineRecord};
use convoy_store::Revision;
use convoy_unit_files::UnitName;

use crate::event::Cause;
use crate::plan::Plan;

/// A machine that was seen, or that has a schedule.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// What it said of itself last.
    pub(crate) record: Option<MachineRecord>,
    /// Since when it has been away.
    pub(crate) vanished: Option<Duration>,
    /// When it came back last.
    pub(crate) returned: Option<Duration>,
    /// Since when it has certainly been away without a break.
    pub(crate) away: Duration,
    /// It had something to run when it vanished.
    pub(crate) was_used: bool,
    /// The boot that an announced reboot is to end.
    pub(crate) boot_before: Option<String>,
}

/// Moves off absent machines are held back.
#[derive(Debug, Clone)]
pub(crate) struct Freeze {
    pub(crate) since_unix: u64,
    pub(crate) until: Duration,
    pub(crate) until_unix: u64,
    pub(crate) absent: BTreeSet<MachineId>,
    /// Too few are absent by now; the last of the others came back then.
    pub(crate) eases: Option<Duration>,
}

/// Where a unit is going that is on no machine meanwhile.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Intent {
    pub(crate) to: MachineId,
    /// Where it comes from, and why it leaves.
    pub(crate) from: Option<(MachineId, Cause)>,
}

/// Where a unit failed too often.
#[derive(Debug, Clone, Default)]
pub(crate) struct Avoided {
    /// Machines, each with the end of its time.
    pub(crate) machines: BTreeMap<MachineId, Duration>,
    /// How often that happened.
    pub(crate) bounces: u32,
}

/// What a leader remembers.
#[derive(Debug, Default)]
pub struct Memory {
    /// A name for the store, should it need one.
    pub(crate) cluster_id: String,
    /// When the first look was taken.
    pub(crate) began: Option<Duration>,
    /// This leader gave the store its name: nobody had ever led here.
    pub(crate) fresh: bool,
    /// Until when machines may still announce themselves.
    pub(crate) settles: Duration,
    pub(crate) machines: BTreeMap<MachineId, Known>,
    pub(crate) freeze: Option<Freeze>,
    /// A machine vanished and others may follow: until then it is waited whether they do.
    pub(crate) suspense: Option<Duration>,
    /// Machines that a freeze ended without.
    pub(crate) written_off: BTreeSet<MachineId>,
    /// Where units are going that are on no machine meanwhile.
    pub(crate) intents: BTreeMap<UnitName, Intent>,
    /// For units that may run at most once: machines where they may be running.
    pub(crate) suspects: BTreeMap<UnitName, BTreeSet<MachineId>>,
    pub(crate) avoid: BTreeMap<UnitName, Avoided>,
    /// Units that a drain set in motion, and when.
    pub(crate) drained: BTreeMap<UnitName, Duration>,
    /// The machine that a rollout works on, with the run that is to end there.
    pub(crate) rollouts: BTreeMap<UnitName, (MachineId, String)>,
    /// Rollouts that were said to have stopped, with the hash.
    pub(crate) stopped: BTreeMap<UnitName, String>,
    pub(crate) told_pending: BTreeMap<UnitName, String>,
    pub(crate) told_rejected: BTreeMap<UnitName, Revision>,
    pub(crate) told_unusable: BTreeMap<String, String>,
    pub(crate) plan: Plan,
}

impl Memory {
    /// Nothing but a random name for a store that has none.
    pub fn new(cluster_id: String) -> Self {
        Self { cluster_id, ..Self::default() }
    }

    /// Whether it depends on the leases of the other machines what becomes of one that vanished.
    pub(crate) fn is_in_suspense(&self) -> bool {
        self.suspense.is_some()
    }
}
