//! The identifiers of catalogued messages: `journalctl -x` explains them, other tools can wait for them.
//!
//! The texts are in `packaging/usr/lib/systemd/catalog/convoy.catalog`; a test holds the two lists against each
//! other. An identifier never changes its meaning; retired ones are not used again.

/// An instance is announced in the store.
pub const REGISTERED: &str = "b82408f6a9c45246a494451b3c064ed9";
/// An instance's announcement is withdrawn.
pub const WITHDRAWN: &str = "0790536f46e9548d823b9f119941d7a1";
/// An instance passes or fails its checks.
pub const HEALTH_CHANGED: &str = "53c1f8e89a7e5891894a86ad4793eb47";
/// Another owner took over a key of ours.
pub const REGISTRATION_REPLACED: &str = "45203f668a0850848746766f39be0ca7";
/// No address could be chosen for an instance.
pub const ADDRESS_REFUSED: &str = "f905436f7c4d5c4abed155c0344fdb27";
/// A new load balancer configuration is served.
pub const CONFIG_APPLIED: &str = "2d9d33fe87845a1388e66dd74562a64f";
/// A load balancer configuration was refused.
pub const CONFIG_REJECTED: &str = "cfb341c1a4c3556b869d72ef09e64805";
/// The load balancer was not reloaded.
pub const RELOAD_FAILED: &str = "40e1ef186dd750aca2ace310ac9af2b5";
/// Upstreams that vanished at once are served for a while.
pub const REMOVAL_HELD: &str = "84bc15357b964505a002868a7e3bb496";
/// A value in the store is unusable and was skipped.
pub const VALUE_SKIPPED: &str = "14559d557f98560186ec336204cf39b0";
/// The store can't be reached.
pub const STORE_UNREACHABLE: &str = "052f802d546e5a969fb6e6ce864a5875";
/// The store answers again.
pub const STORE_BACK: &str = "a2c5fc6b7e4f52a2a32db3d109c9da9f";
/// The routing table changed.
pub const ROUTES_CHANGED: &str = "d665842bdfcb59958a0f7823dd445ac7";
/// The container of an instance died.
pub const CONTAINER_DIED: &str = "4ffb1fd8318f57768ee75204d1d1230f";
/// A sidekick was bound to its app unit.
pub const BOUND: &str = "f485f35afbf450f89d99cc512c4b3566";
/// A scheduler begins to lead, or stops.
pub const LEADER_CHANGED: &str = "2f75d032dc78e0219657185a79b51d3a";
/// A machine's record vanished.
pub const MACHINE_LOST: &str = "2279256d7d86811fb2730c448b30de84";
/// A machine's record came back.
pub const MACHINE_BACK: &str = "b3f0113554f3ce92a37fe409d24dd0c9";
/// Many machines vanished at once, and moves are frozen.
pub const FREEZE_BEGINS: &str = "cebffd0fc756ab1745734ea499f42b27";
/// Moves go on after a freeze.
pub const FREEZE_ENDS: &str = "b8a4303e7a55add6d665c781522a3f95";
/// A unit got a machine.
pub const UNIT_PLACED: &str = "85ad8998c58d8af08ba8c2babee5afe7";
/// A unit goes from one machine to another.
pub const UNIT_MOVED: &str = "5f389ed5c6dcd88c84f745c9fc961d61";
/// A unit is on no machine.
pub const UNIT_PENDING: &str = "2b97eb5af97beb688b919cc687413bb8";
/// A unit's file can't be used.
pub const UNIT_REJECTED: &str = "6ad47360a3f101dd9740186239877c2a";
/// A unit was started or restarted because the schedule says so.
pub const UNIT_STARTED: &str = "02bb5c963b15400f9dbec805efbca499";
/// A unit was stopped because the schedule says so.
pub const UNIT_STOPPED: &str = "baa11fedb8c7428aac469217155f95a7";
/// A unit of the schedule failed.
pub const UNIT_FAILED: &str = "f35a0db518c943fdb2bb77afaed35b4a";
/// A machine is no longer announced.
pub const LEASE_LOST: &str = "4ba30672100d434e9377c2453411cd23";
/// Units that live by the machine's lease may run.
pub const LEASE_HELD: &str = "a21e7c8cbebc43c4967154dc4def26b9";
/// A unit is stopped because its machine was cut off.
pub const FENCED: &str = "ee55ff5c2e9644438a5f97b0733974a1";
/// A unit runs on though the store has lost its schedule.
pub const UNCLAIMED: &str = "47c7d26e34d545d0ac9dbf5960f54f88";
/// A unit that runs already is the one that is wanted.
pub const ADOPTED: &str = "23f7b417e8ac4b1383f84df5a0d52649";
/// There is a certificate for a name.
pub const CERTIFICATE_ISSUED: &str = "a4e6a693cdb44c5997875f38bf26d3e5";
/// A certificate could not be had.
pub const CERTIFICATE_FAILED: &str = "10a034c205d944cb92524abe33c39c53";

/// All of them, with their names.
pub const ALL: &[(&str, &str)] = &[
    ("REGISTERED", REGISTERED),
    ("WITHDRAWN", WITHDRAWN),
    ("HEALTH_CHANGED", HEALTH_CHANGED),
    ("REGISTRATION_REPLACED", REGISTRATION_REPLACED),
    ("ADDRESS_REFUSED", ADDRESS_REFUSED),
    ("CONFIG_APPLIED", CONFIG_APPLIED),
    ("CONFIG_REJECTED", CONFIG_REJECTED),
    ("RELOAD_FAILED", RELOAD_FAILED),
    ("REMOVAL_HELD", REMOVAL_HELD),
    ("VALUE_SKIPPED", VALUE_SKIPPED),
    ("STORE_UNREACHABLE", STORE_UNREACHABLE),
    ("STORE_BACK", STORE_BACK),
    ("ROUTES_CHANGED", ROUTES_CHANGED),
    ("CONTAINER_DIED", CONTAINER_DIED),
    ("BOUND", BOUND),
    ("LEADER_CHANGED", LEADER_CHANGED),
    ("MACHINE_LOST", MACHINE_LOST),
    ("MACHINE_BACK", MACHINE_BACK),
    ("FREEZE_BEGINS", FREEZE_BEGINS),
    ("FREEZE_ENDS", FREEZE_ENDS),
    ("UNIT_PLACED", UNIT_PLACED),
    ("UNIT_MOVED", UNIT_MOVED),
    ("UNIT_PENDING", UNIT_PENDING),
    ("UNIT_REJECTED", UNIT_REJECTED),
    ("UNIT_STARTED", UNIT_STARTED),
    ("UNIT_STOPPED", UNIT_STOPPED),
    ("UNIT_FAILED", UNIT_FAILED),
    ("LEASE_LOST", LEASE_LOST),
    ("LEASE_HELD", LEASE_HELD),
    ("FENCED", FENCED),
    ("UNCLAIMED", UNCLAIMED),
    ("ADOPTED", ADOPTED),
    ("CERTIFICATE_ISSUED", CERTIFICATE_ISSUED),
    ("CERTIFICATE_FAILED", CERTIFICATE_FAILED),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::ALL;

    #[test]
    fn the_catalog_explains_every_message_and_nothing_else() {
        let catalog = include_str!("../../../packaging/usr/lib/systemd/catalog/convoy.catalog");
        let explained: BTreeSet<_> = catalog.lines().filter_map(|line| line.strip_prefix("-- ")).collect();
        let known: BTreeSet<_> = ALL.iter().map(|&(_, id)| id).collect();
        assert_eq!(explained, known);
        assert_eq!(known.len(), ALL.len(), "two messages share an identifier");
        for (name, id) in ALL {
            assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{name}");
        }
    }
}
