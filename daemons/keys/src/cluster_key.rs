//! The keys of placement: machines, units, schedules, states.

use convoy_unit_files::UnitName;

use crate::MachineId;

/// The leading scheduler, value [`crate::LeaderRecord`].
pub const LEADER: &str = "/convoy/leader";
/// The store's own name, value [`crate::ClusterRecord`].
pub const CLUSTER: &str = "/convoy/cluster";
/// Present while moves are frozen, value [`crate::FreezeRecord`].
pub const FREEZE: &str = "/convoy/freeze";
/// An operator's word that the absent machines are lost and moves may go on; the leader removes it.
pub const RESUME: &str = "/convoy/resume";

/// `/convoy/machines/`, values [`crate::MachineRecord`].
pub const MACHINES: &str = "/convoy/machines/";
/// `/convoy/maintenance/`, values [`crate::MaintenanceRecord`].
pub const MAINTENANCE: &str = "/convoy/maintenance/";
/// `/convoy/units/`, values [`crate::UnitRecord`].
pub const UNITS: &str = "/convoy/units/";
/// `/convoy/moves/`, values [`crate::MoveRecord`].
pub const MOVES: &str = "/convoy/moves/";
/// `/convoy/schedule/`, values [`crate::ScheduleRecord`].
pub const SCHEDULE: &str = "/convoy/schedule/";
/// `/convoy/states/`, values [`crate::StateRecord`].
pub const STATES: &str = "/convoy/states/";

/// `/convoy/machines/<machine>`
pub fn machine_key(machine: &MachineId) -> String {
    format!("{MACHINES}{machine}")
}

/// `/convoy/maintenance/<machine>`
pub fn maintenance_key(machine: &MachineId) -> String {
    format!("{MAINTENANCE}{machine}")
}

/// `/convoy/units/<unit>`
pub fn unit_key(unit: &UnitName) -> String {
    format!("{UNITS}{unit}")
}

/// `/convoy/moves/<unit>`
pub fn move_key(unit: &UnitName) -> String {
    format!("{MOVES}{unit}")
}

/// `/convoy/schedule/<machine>/`: all that an agent watches, besides [`CLUSTER`].
pub fn schedule_prefix(machine: &MachineId) -> String {
    format!("{SCHEDULE}{machine}/")
}

/// `/convoy/schedule/<machine>/<unit>`
pub fn schedule_key(machine: &MachineId, unit: &UnitName) -> String {
    format!("{SCHEDULE}{machine}/{unit}")
}

/// `/convoy/states/<machine>/`
pub fn states_prefix(machine: &MachineId) -> String {
    format!("{STATES}{machine}/")
}

/// `/convoy/states/<machine>/<unit>`
pub fn state_key(machine: &MachineId, unit: &UnitName) -> String {
    format!("{STATES}{machine}/{unit}")
}

/// A key of placement, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClusterKey {
    /// `/convoy/machines/<machine>`
    Machine(MachineId),
    /// `/convoy/maintenance/<machine>`
    Maintenance(MachineId),
    /// `/convoy/units/<unit>`
    Unit(UnitName),
    /// `/convoy/moves/<unit>`
    Move(UnitName),
    /// `/convoy/schedule/<machine>/<unit>`
    Schedule(MachineId, UnitName),
    /// `/convoy/states/<machine>/<unit>`
    State(MachineId, UnitName),
    /// [`LEADER`]
    Leader,
    /// [`CLUSTER`]
    Cluster,
    /// [`FREEZE`]
    Freeze,
    /// [`RESUME`]
    Resume,
}

impl ClusterKey {
    /// Takes a key apart; names are parsed. `None` is a key that belongs to something else, or whose names are no names.
    pub fn parse(key: &str) -> Option<Self> {
        let machine = |text: &str| MachineId::parse(text).ok();
        let unit = |text: &str| UnitName::parse(text).ok();
        let pair = |text: &str| {
            let (left, right) = text.split_once('/')?;
            Some((machine(left)?, unit(right)?))
        };
        match key {
            LEADER => return Some(Self::Leader),
            CLUSTER => return Some(Self::Cluster),
            FREEZE => return Some(Self::Freeze),
            RESUME => return Some(Self::Resume),
            _ => {}
        }
        if let Some(rest) = key.strip_prefix(MACHINES) {
            machine(rest).map(Self::Machine)
        } else if let Some(rest) = key.strip_prefix(MAINTENANCE) {
            machine(rest).map(Self::Maintenance)
        } else if let Some(rest) = key.strip_prefix(UNITS) {
            unit(rest).map(Self::Unit)
        } else if let Some(rest) = key.strip_prefix(MOVES) {
            unit(rest).map(Self::Move)
        } else if let Some(rest) = key.strip_prefix(SCHEDULE) {
            pair(rest).map(|(machine, unit)| Self::Schedule(machine, unit))
        } else if let Some(rest) = key.strip_prefix(STATES) {
            pair(rest).map(|(machine, unit)| Self::State(machine, unit))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_built_and_taken_apart_alike() {
        let machine = MachineId::parse("m1").unwrap();
        let unit = UnitName::parse("someapp@1.service").unwrap();
        for (key, parsed) in [
            (machine_key(&machine), ClusterKey::Machine(machine.clone())),
            (maintenance_key(&machine), ClusterKey::Maintenance(machine.clone())),
            (unit_key(&unit), ClusterKey::Unit(unit.clone())),
            (move_key(&unit), ClusterKey::Move(unit.clone())),
            (schedule_key(&machine, &unit), ClusterKey::Schedule(machine.clone(), unit.clone())),
            (state_key(&machine, &unit), ClusterKey::State(machine.clone(), unit.clone())),
            (LEADER.to_owned(), ClusterKey::Leader),
        ] {
            assert_eq!(ClusterKey::parse(&key), Some(parsed), "{key}");
        }
        assert!(schedule_key(&machine, &unit).starts_with(&schedule_prefix(&machine)));
        assert!(state_key(&machine, &unit).starts_with(&states_prefix(&machine)));
    }

    #[test]
    fn other_keys_are_not_ours() {
        for key in [
            "",
            "/convoy/",
            "/convoy/machines/",
            "/convoy/machines/a/b",
            "/convoy/schedule/m1",
            "/services/a",
        ] {
            assert_eq!(ClusterKey::parse(key), None, "{key:?}");
        }
    }
}
