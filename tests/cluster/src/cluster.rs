//! A cluster as a whole.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::cache;
use crate::cleanup;
use crate::command::{self, Output};
use crate::error::ClusterError;
use crate::layout::StateDir;
use crate::machine::Machine;
use crate::options::{UpOptions, check_name};
use crate::possible::{self, Reason};
use crate::record::Record;
use crate::{network, up, wait};

/// A cluster that runs. Dropping the value that [`Cluster::up`] returned takes the cluster down.
#[derive(Debug)]
pub struct Cluster {
    state: StateDir,
    record: Record,
    down_on_drop: bool,
}

impl Cluster {
    /// Whether machines can be booted on this computer, or one line about why not.
    pub fn possible() -> Result<(), Reason> {
        possible::check(&StateDir::from_environment())
    }

    /// Boots a cluster and waits until all of its machines are ready.
    #[expect(clippy::needless_pass_by_value, reason = "options are made for one call")]
    pub fn up(options: UpOptions) -> Result<Cluster, ClusterError> {
        let mut cluster = up::up(&options)?;
        cluster.down_on_drop = true;
        Ok(cluster)
    }

    /// A cluster that another process brought up; dropping this value leaves it as it is.
    pub fn open(state: StateDir, name: &str) -> Result<Cluster, ClusterError> {
        check_name(name)?;
        let dir = state.cluster(name);
        if !dir.record().is_file() {
            return Err(ClusterError::Unknown(format!("there is no cluster {name:?}; cluster up makes one")));
        }
        Ok(Cluster::new(state, Record::load(&dir)?))
    }

    /// The names of all clusters below this folder.
    pub fn list(state: &StateDir) -> Vec<String> {
        let entries = std::fs::read_dir(state.clusters()).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// Lets the cluster run on when this value is dropped.
    #[must_use]
    pub fn leave_running(mut self) -> Cluster {
        self.down_on_drop = false;
        self
    }

    /// Ends all machines and removes all that belongs to the cluster.
    pub fn down(mut self) -> Result<(), ClusterError> {
        self.down_on_drop = false;
        Cluster::remove(&self.state, &self.record.name)
    }

    /// Removes the cluster of this name, also one that came up only in part.
    pub fn remove(state: &StateDir, name: &str) -> Result<(), ClusterError> {
        check_name(name)?;
        let _lock = cache::lock(state, name)?;
        cleanup::remove(state, name)
    }

    /// Removes all clusters, the base trees and the images.
    pub fn purge(state: &StateDir) -> Result<(), ClusterError> {
        for name in Cluster::list(state) {
            Cluster::remove(state, &name)?;
        }
        let lock = cache::lock(state, "cache")?;
        cleanup::remove_tree(&state.cache())?;
        drop(lock);
        cleanup::remove_tree(state.path())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// Machine `index`, from 1.
    ///
    /// # Panics
    ///
    /// When the cluster has no such machine, which is a mistake in the caller's text.
    #[expect(clippy::panic, reason = "an index out of bounds, as for a slice")]
    pub fn machine(&self, index: u8) -> Machine {
        self.machines()
            .find(|machine| machine.index() == index)
            .unwrap_or_else(|| panic!("cluster {:?} has no machine {index}", self.name()))
    }

    /// All machines, the first first.
    pub fn machines(&self) -> impl Iterator<Item = Machine> + '_ {
        self.record.machines.iter().map(|machine| Machine {
            cluster: self.state.cluster(&self.record.name),
            record: self.record.clone(),
            own: machine.clone(),
        })
    }

    /// The program as a command that runs on the host's file system and in the cluster's network, where the
    /// machines' addresses can be reached. Add arguments and run it.
    pub fn in_network(&self, program: &str) -> Command {
        network::inside(&self.network(), program)
    }

    /// Runs a program in the cluster's network to its end; a failure is an error.
    pub fn exec_in_network(&self, arguments: &[&str], within: Duration) -> Result<Output, ClusterError> {
        let (program, rest) = arguments.split_first().unwrap_or((&"true", &[]));
        let mut command = self.in_network(program);
        command.args(rest);
        let what = format!("{} in the cluster's network", arguments.join(" "));
        command::run(&what, command, None, within)?.ok(&what)
    }

    /// Runs `work` on a thread in the cluster's network: sockets that it opens reach the machines. A runtime that
    /// it starts inherits the network when its threads are started inside.
    pub fn with_network<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, ClusterError> {
        network::run_inside(&self.network(), work)
    }

    /// The file that is the cluster's network namespace, for `nsenter --net=`.
    pub fn network(&self) -> std::path::PathBuf {
        self.state.cluster(&self.record.name).network()
    }

    /// The cluster's folder on the host.
    pub fn folder(&self) -> std::path::PathBuf {
        let dir = self.state.cluster(&self.record.name);
        Path::new(dir.path()).to_owned()
    }

    /// Asks `probe` until it has a value; see [`crate::wait_until`].
    pub fn wait_until<T>(
        &self,
        what: &str,
        within: Duration,
        probe: impl FnMut() -> Result<T, String>,
    ) -> Result<T, ClusterError> {
        wait::wait_until(what, within, probe)
    }

    pub(crate) fn new(state: StateDir, record: Record) -> Cluster {
        Cluster { state, record, down_on_drop: false }
    }

    pub(crate) fn record(&self) -> &Record {
        &self.record
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.down_on_drop {
            // Nobody is there to be told; what is left is removed by the next cluster of this name.
            let _ = Cluster::remove(&self.state, &self.record.name);
        }
    }
}
