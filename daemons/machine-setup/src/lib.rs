//! What a machine has to know about itself before anything else of Convoy starts: its own addresses, and its part
//! in the etcd cluster.
//!
//! No file that people write has an address of the machine in it, so the same cloud-config boots every machine.
//! At boot this crate finds the addresses, in the order: explicit configuration, `/etc/environment`, what Flatcar
//! or Afterburn left about the provider, the interfaces. It then writes `/run/convoy/machine.env` for all units
//! and, by the list of seeds, either `/run/convoy/etcd.env` for a member or `/run/convoy/etcd-gateway.env` for a
//! machine that only forwards to the members.
//!
//! [`choose`], [`Role::of`] and the renderers are pure; [`Roots`] reads and writes files.

mod address;
mod choose;
mod cluster;
mod environment;
mod error;
mod gather;
mod install;
mod machine;
mod render;
mod role;
mod wait;

pub use address::{Interface, is_private};
pub use choose::{Addresses, Origin, Sources, choose};
pub use cluster::{ClusterFragment, ClusterSettings};
pub use environment::{Variable, parse_environment};
pub use error::SetupError;
pub use gather::{Gathered, Roots};
pub use install::install;
pub use machine::{HostName, Machine, MachineFragment, MachineId};
pub use render::{etcd_environment, gateway_environment, machine_environment};
pub use role::Role;
pub use wait::gather_when_addressed;
