//! What happens to machines and units, as the journal tells it.

use std::time::Duration;

use convoy_keys::MachineId;
use convoy_unit_files::UnitName;

/// Why a unit moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Its machine is gone.
    MachineLost,
    /// An operator asked for it.
    Asked,
    /// Its machine is being drained.
    Drain,
    /// It failed too often where it was.
    Failures,
    /// The rules of this or other units, or the machine, changed.
    Rules,
}

impl Cause {
    /// A clause: `m1 is gone`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MachineLost => "its machine is gone",
            Self::Asked => "an operator asked for it",
            Self::Drain => "its machine is being drained",
            Self::Failures => "it failed too often there",
            Self::Rules => "it can't stay there",
        }
    }
}

/// Something that happened, or was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are what they are called")]
pub enum Event {
    /// A machine's record vanished; or it has a schedule, and no record was found.
    MachineLost { machine: MachineId, units: usize },
    /// A machine's record came back.
    MachineBack { machine: MachineId, away: Duration },
    /// A machine was seen for the first time.
    MachineJoined { machine: MachineId },
    /// Moves are frozen.
    FreezeBegins { absent: Vec<MachineId>, known: usize, lasts: Duration },
    /// Moves were frozen by a former leader, and still are.
    FreezeGoesOn { absent: Vec<MachineId>, lasts: Duration },
    /// Moves go on.
    FreezeEnds { reason: &'static str },
    /// A machine came back from an announced reboot.
    RebootDone { machine: MachineId },
    /// A unit got its first machine.
    Placed { unit: UnitName, machine: MachineId },
    /// A unit was found running and left where it is.
    Adopted { unit: UnitName, machine: MachineId },
    /// A unit goes from one machine to another.
    Moved { unit: UnitName, from: MachineId, to: MachineId, cause: Cause },
    /// A unit has no machine.
    Pending { unit: UnitName, reason: String },
    /// A unit's text is no unit file that may run.
    Rejected { unit: UnitName, problem: String },
    /// A key can't be used.
    Skipped { key: String, problem: String },
    /// A move that was asked for can't be made.
    MoveRefused { unit: UnitName, machine: MachineId, reason: String },
    /// A unit failed so often that it keeps off the machine.
    FailedOften { unit: UnitName, machine: MachineId, failures: u32, avoided_for: Duration },
    /// A new version of a global unit failed on a machine; the others keep the old one.
    RolloutStopped { unit: UnitName, machine: MachineId },
}
