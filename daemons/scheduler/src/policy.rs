//! What the operator may set about the rules.

use std::time::Duration;

use convoy_unit_files::LONGEST_STOP;

/// How the rules are to be applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The time to live of the agents' leases: how long a machine that is cut off believes that it is not.
    pub agent_ttl: Duration,
    /// The share of machines that has to vanish at once for a freeze, from 0 to 1.
    pub freeze_share: f64,
    /// How long a freeze lasts at most.
    pub freeze_for: Duration,
    /// How many instances of one template a drain moves at the same time.
    pub drain_at_once: usize,
    /// How many units, or groups of them, a drain moves at the same time altogether.
    pub drain_in_all: usize,
    /// After how many failures in a row on one machine a unit goes to another, where its file doesn't say; 0 is never.
    pub move_after_failures: u32,
    /// How long a unit keeps off a machine where it failed, at first; each further move doubles it.
    pub avoid_for: Duration,
    /// How long machines have to announce themselves to a store that lost its leases, before their absence counts.
    pub settle: Duration,
    /// How long an announced reboot may take where the announcement doesn't say.
    pub reboot_for: Duration,
}

/// What is added to the time that fencing takes: clocks, scheduling, the way to systemd.
const FENCE_MARGIN: Duration = Duration::from_secs(2);

impl Default for Policy {
    fn default() -> Self {
        Self {
            agent_ttl: Duration::from_secs(5),
            freeze_share: 0.5,
            freeze_for: Duration::from_secs(600),
            drain_at_once: 1,
            drain_in_all: 4,
            move_after_failures: 3,
            avoid_for: Duration::from_secs(600),
            settle: Duration::from_secs(5),
            reboot_for: Duration::from_secs(600),
        }
    }
}

impl Policy {
    /// How long after a machine vanished a unit that may run at most once is certainly stopped there: the machine
    /// notices at the latest when its lease has run out, and then systemd has this much time to stop the unit.
    pub fn fence_wait(&self, stop_within: Duration) -> Duration {
        self.agent_ttl + stop_within + FENCE_MARGIN
    }

    /// The same for a unit of which nothing is known any more.
    pub fn longest_fence(&self) -> Duration {
        self.fence_wait(LONGEST_STOP)
    }

    /// Machines that vanish within this time vanish at once: leases that are cut off together end within one time to
    /// live of each other.
    pub fn freeze_window(&self) -> Duration {
        self.agent_ttl * 2
    }
}
