//! The cluster of real machines that tests, benchmarks and the demo share.
//!
//! Each machine is a Debian tree with a real systemd as its first process, D-Bus, journald, Docker, an address of
//! its own and an overlay of its own, booted by `systemd-nspawn`; the first three form an etcd cluster. They boot
//! from the repository's `cloud-config.yaml`, applied by cloud-init. The bridge between them lives in a network
//! namespace of the cluster, which has no way out to the network of the host.
//!
//! Everything is kept in one folder (`CONVOY_CLUSTER_DIR`, by default `/var/tmp/convoy-cluster`): the base tree and
//! the container images, made once and used again, and a folder per cluster, which [`Cluster::down`] removes.
//!
//! ```no_run
//! use convoy_cluster::{Cluster, UpOptions};
//!
//! # fn main() -> Result<(), convoy_cluster::ClusterError> {
//! let cluster = Cluster::up(UpOptions::default())?;
//! let output = cluster.machine(1).exec_ok(&["systemctl", "is-active", "convoy.target"])?;
//! assert_eq!(output.stdout.trim(), "active");
//! # Ok(())
//! # }
//! ```

mod addressing;
mod cache;
mod cleanup;
mod cloud_config;
mod cluster;
mod command;
mod error;
mod images;
mod layout;
mod machine;
mod network;
mod nspawn;
mod options;
mod possible;
mod progress;
mod prune;
mod record;
mod up;
mod wait;

pub use addressing::{BRIDGE_ADDRESS, container_subnet, machine_address, seed_count};
pub use cloud_config::{Values, fill_in};
pub use cluster::Cluster;
pub use command::Output;
pub use error::ClusterError;
pub use layout::StateDir;
pub use machine::Machine;
pub use options::UpOptions;
pub use possible::Reason;
pub use progress::{Lines, Progress, Reporter, Silent};
pub use wait::wait_until;
