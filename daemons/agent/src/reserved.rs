//! Names that no schedule may use: what Convoy, the system and its boot consist of. Pure.

use convoy_unit_files::UnitName;

/// Units that this agent needs to live, or that the machine does.
const UNITS: [&str; 12] = [
    "agent",
    "scheduler",
    "edge-router",
    "etcd",
    "etcd-member",
    "docker",
    "containerd",
    "podman",
    "ssh",
    "sshd",
    "cloud-init",
    "polkit",
];
const BEGINNINGS: [&str; 5] = ["convoy-", "systemd-", "dbus", "user@", "getty@"];

/// Why the name is not for schedules; none if it is.
pub fn reason(unit: &UnitName) -> Option<String> {
    let name = unit.as_str();
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let reserved = UNITS.contains(&stem)
        || stem == "convoy"
        || BEGINNINGS.iter().any(|beginning| stem.starts_with(beginning));
    reserved.then(|| format!("{name} is a name of the system's own; submit the unit under another one"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_own_units_are_not_for_schedules() {
        for (name, reserved) in [
            ("agent.service", true),
            ("etcd.service", true),
            ("convoy-lease@60.service", true),
            ("convoy.target", true),
            ("systemd-journald.socket", true),
            ("dbus.service", true),
            ("agent@1.service", false),
            ("etcd-backup.timer", false),
            ("someapp@1.service", false),
        ] {
            assert_eq!(reason(&UnitName::parse(name).unwrap()).is_some(), reserved, "{name}");
        }
    }
}
