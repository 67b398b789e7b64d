//! Units over machines: what was submitted, what a machine has to run, what it runs.

use serde::{Deserialize, Serialize};

use crate::{MachineId, Record};

/// What the operator wants of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Desired {
    /// Known, on no machine.
    Inactive,
    /// On a machine, not started.
    Loaded,
    /// On a machine, started.
    #[default]
    Launched,
}

impl Desired {
    /// The word in JSON and in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Loaded => "loaded",
            Self::Launched => "launched",
        }
    }
}

/// Value of `/convoy/units/<unit>`, without a lease. Units count as submitted in the order of the keys' create
/// revisions. A template (`someapp@.service`) is kept like a unit and never placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitRecord {
    /// The unit file.
    pub text: String,
    /// What is wanted.
    pub desired: Desired,
    /// It was submitted with what fleet let through.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub compatible: bool,
    /// How often a restart was asked for: the machine restarts the unit when this number grows.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restarts: u64,
}

impl Record for UnitRecord {
    const WHAT: &'static str = "a unit record";
    /// A unit file is text that a person wrote; etcd takes 1.5 MiB in one request.
    const LONGEST: usize = 512 * 1024;
}

/// Value of `/convoy/schedule/<machine id>/<unit>`, without a lease, written by the leading scheduler alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleRecord {
    /// SHA-256 of the text to run. The text is in the unit's record; one with another hash is not run.
    pub hash: String,
    /// Loaded or launched. Inactive is said of a unit that the machine keeps though nobody knows it any more.
    pub desired: Desired,
    /// See [`UnitRecord::restarts`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restarts: u64,
}

impl Record for ScheduleRecord {
    const WHAT: &'static str = "a schedule record";
}

/// Value of `/convoy/states/<machine id>/<unit>`, under the agent's lease. It is there as long as the machine has the
/// unit's file, or the unit has anything left that runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StateRecord {
    /// systemd's LoadState.
    pub load: String,
    /// systemd's ActiveState.
    pub active: String,
    /// systemd's SubState.
    pub sub: String,
    /// SHA-256 of the text that the machine has.
    pub hash: String,
    /// The number of restarts that was carried out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restarts: u64,
    /// How often in a row it failed here; 0 again when it stayed up.
    #[serde(default, skip_serializing_if = "is_zero_u32")]
    pub failures: u32,
    /// systemd's InvocationID of the present run.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub invocation_id: String,
    /// Seconds since the epoch at which the active state was entered.
    #[serde(default)]
    pub since: u64,
    /// It runs, and the store has lost its schedule: kept until somebody decides.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unclaimed: bool,
    /// What stands in its way, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Record for StateRecord {
    const WHAT: &'static str = "a state record";
}

/// Value of `/convoy/moves/<unit>`: an operator wants the unit on that machine. The leading scheduler removes it in the
/// transaction that obeys it, or when it can't be obeyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveRecord {
    /// Where to.
    pub machine: MachineId,
}

impl Record for MoveRecord {
    const WHAT: &'static str = "a move record";
}

/// Value of `/convoy/leader`, under the leading scheduler's lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderRecord {
    /// Its machine.
    pub machine: MachineId,
    /// The machine's host name.
    #[serde(default)]
    pub name: String,
    /// Version of the scheduler.
    #[serde(default)]
    pub version: String,
    /// Seconds since the epoch at which it began to lead.
    pub since: u64,
}

impl Record for LeaderRecord {
    const WHAT: &'static str = "a leader record";
}

/// Value of `/convoy/freeze`: machines vanished at once, and nothing is moved off them. It is under no lease, so that it
/// outlives the leader that wrote it: the next one goes on with it, and whoever leads when it ends removes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeRecord {
    /// Seconds since the epoch at which it began.
    pub since: u64,
    /// The machines that are away.
    pub absent: Vec<MachineId>,
    /// Seconds since the epoch at which it ends by itself.
    pub until: u64,
}

impl Record for FreezeRecord {
    const WHAT: &'static str = "a freeze record";
}

/// Value of `/convoy/cluster`, written once by the first scheduler: a store without it, or with another one, is not the
/// store that the machines know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterRecord {
    /// Random.
    pub id: String,
}

impl Record for ClusterRecord {
    const WHAT: &'static str = "a cluster record";
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero_u32(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_written_short_and_read_back() {
        let unit = UnitRecord {
            text: "[Service]\n".into(),
            desired: Desired::Launched,
            compatible: false,
            restarts: 0,
        };
        let json = unit.to_json().unwrap();
        assert_eq!(json, br#"{"text":"[Service]\n","desired":"launched"}"#);
        assert_eq!(UnitRecord::parse(&json).unwrap(), unit);
    }

    #[test]
    fn an_unknown_desired_state_is_refused() {
        assert!(UnitRecord::parse(br#"{"text":"","desired":"flying"}"#).is_err());
    }

    #[test]
    fn a_state_needs_its_four_words() {
        let state =
            StateRecord::parse(br#"{"load":"loaded","active":"active","sub":"running","hash":"a"}"#).unwrap();
        assert!(!state.unclaimed);
        assert!(StateRecord::parse(br#"{"load":"loaded"}"#).is_err());
    }
}
