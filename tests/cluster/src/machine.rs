//! One machine of a cluster: run commands on it, break it, bring it back.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use crate::addressing::machine_address;
use crate::command::{self, Output, SHORT};
use crate::error::ClusterError;
use crate::layout::{ClusterDir, MachineDir};
use crate::nspawn::{self, Boot};
use crate::record::{MachineRecord, Record};
use crate::up::read_only_folders;
use crate::wait::wait_until;
use crate::{network, up};

/// A handle on one machine; cheap, and valid whether the machine is on or off.
#[derive(Debug, Clone)]
pub struct Machine {
    pub(crate) cluster: ClusterDir,
    pub(crate) record: Record,
    pub(crate) own: MachineRecord,
}

impl Machine {
    /// Its number, from 1.
    pub fn index(&self) -> u8 {
        self.own.index
    }

    /// Its host name, `m1` for the first.
    pub fn name(&self) -> String {
        format!("m{}", self.own.index)
    }

    /// Its address in the cluster's network.
    pub fn address(&self) -> Ipv4Addr {
        machine_address(self.own.index)
    }

    /// The content of its /etc/machine-id.
    pub fn machine_id(&self) -> &str {
        &self.own.machine_id
    }

    /// Whether it has a host nginx.
    pub fn has_nginx(&self) -> bool {
        self.own.nginx
    }

    /// Whether its first process runs.
    pub fn is_on(&self) -> bool {
        nspawn::first_process(&self.dir()).is_some()
    }

    /// Runs a program on the machine, for at most a minute, and returns what it wrote, whatever its exit status.
    pub fn exec(&self, arguments: &[&str]) -> Result<Output, ClusterError> {
        self.exec_with(arguments, None, SHORT)
    }

    /// As [`Machine::exec`], and an exit status other than 0 is an error that has the output.
    pub fn exec_ok(&self, arguments: &[&str]) -> Result<Output, ClusterError> {
        self.exec(arguments)?.ok(&self.describe(arguments))
    }

    /// Runs a script with `sh -euc` on the machine; a failure is an error.
    pub fn shell_ok(&self, script: &str) -> Result<Output, ClusterError> {
        self.exec_ok(&["sh", "-euc", script])
    }

    /// Runs a program with this input and this deadline.
    pub fn exec_with(
        &self,
        arguments: &[&str],
        input: Option<&[u8]>,
        within: Duration,
    ) -> Result<Output, ClusterError> {
        command::run(&self.describe(arguments), self.command(arguments)?, input, within)
    }

    /// The program as a command to be run by the caller, for example with its own standard input, or for long.
    pub fn command(&self, arguments: &[&str]) -> Result<Command, ClusterError> {
        let (program, rest) = arguments.split_first().unwrap_or((&"true", &[]));
        let first = nspawn::first_process(&self.dir())
            .ok_or_else(|| ClusterError::Unknown(format!("{} is off", self.name())))?;
        let mut command = nspawn::inside(first, program);
        command.args(rest);
        Ok(command)
    }

    /// Writes a file at once and in full, with its folders; mode as in "0644".
    pub fn write_file(&self, path: &str, content: &[u8], mode: &str) -> Result<(), ClusterError> {
        let script =
            "mkdir -p \"$(dirname \"$1\")\"; cat > \"$1.new\"; chmod \"$2\" \"$1.new\"; mv \"$1.new\" \"$1\"";
        let arguments = ["sh", "-euc", script, "sh", path, mode];
        self.exec_with(&arguments, Some(content), SHORT)?
            .ok(&format!("write {path} on {}", self.name()))
            .map(drop)
    }

    /// Reads a text file.
    pub fn read_file(&self, path: &str) -> Result<String, ClusterError> {
        Ok(self.exec_ok(&["cat", path])?.stdout)
    }

    /// The journal with these arguments to journalctl, oldest line first.
    pub fn journal(&self, arguments: &[&str]) -> Result<String, ClusterError> {
        let all: Vec<&str> =
            ["journalctl", "--no-pager", "--quiet"].iter().chain(arguments).copied().collect();
        Ok(self.exec_ok(&all)?.stdout)
    }

    /// `systemctl` with these arguments; a failure is an error that has the unit's status.
    pub fn systemctl(&self, arguments: &[&str]) -> Result<Output, ClusterError> {
        let all: Vec<&str> = ["systemctl"].iter().chain(arguments).copied().collect();
        self.exec_with(&all, None, Duration::from_secs(120))?.ok(&self.describe(&all))
    }

    /// Cuts the machine off: nothing passes its bridge port in either direction, and nobody is told.
    pub fn cut(&self) -> Result<(), ClusterError> {
        network::set_passing(&self.cluster.network(), self.index(), false)
    }

    /// Ends a cut.
    pub fn heal(&self) -> Result<(), ClusterError> {
        network::set_passing(&self.cluster.network(), self.index(), true)
    }

    /// The plug is pulled: no process runs on, no connection is closed, the network just goes silent.
    pub fn crash(&self) -> Result<(), ClusterError> {
        self.cut()?;
        nspawn::kill(&self.cgroup()?)
    }

    /// Shuts down in order, as the power button does, for at most two minutes.
    pub fn power_off(&self) -> Result<(), ClusterError> {
        let first = nspawn::first_process(&self.dir())
            .ok_or_else(|| ClusterError::Unknown(format!("{} is off already", self.name())))?;
        nspawn::ask_power_off(first)?;
        let cgroup = self.cgroup()?;
        wait_until(&format!("{} to power off", self.name()), Duration::from_secs(120), || {
            if nspawn::is_empty(&cgroup) { Ok(()) } else { Err(up::tail(&self.dir().console())) }
        })
    }

    /// Boots the machine again from the same file system, and waits until it is ready. To bring back several etcd
    /// members that need each other, [`Machine::boot`] all of them and then [`Machine::wait_ready`].
    pub fn start(&self) -> Result<(), ClusterError> {
        self.boot()?;
        self.wait_ready(Duration::from_secs(120))
    }

    /// Boots the machine and returns at once.
    pub fn boot(&self) -> Result<(), ClusterError> {
        if self.is_on() {
            return Err(ClusterError::Unknown(format!("{} is on already", self.name())));
        }
        let dir = self.dir();
        let cgroup = self.cgroup()?;
        nspawn::remove_cgroup(&cgroup);
        let network = self.cluster.network();
        // A new namespace: of the last boot's addresses and packet rules nothing may be left.
        network::unplug(&network, &dir.network(), self.index())?;
        network::plug_in(&network, &dir.network(), self.index())?;
        nspawn::boot(&Boot {
            dir: &dir,
            name: &self.name(),
            cluster_network: &network,
            cgroup: &cgroup,
            read_only: &read_only_folders(&self.cluster, &self.record),
        })
    }

    /// Waits until the machine has booted with Docker, and in a cluster with Convoy until its target is reached and
    /// etcd answers; that takes a majority of the etcd members.
    pub fn wait_ready(&self, within: Duration) -> Result<(), ClusterError> {
        let target = if self.record.convoy { "convoy.target" } else { "multi-user.target" };
        let mut script = format!("systemctl is-active {target} docker.service");
        if self.record.convoy {
            script.push_str(" && etcdctl --command-timeout=2s endpoint health");
        }
        wait_until(&format!("{} to be ready ({script})", self.name()), within, || {
            match self.exec(&["sh", "-c", &script]) {
                Ok(output) if output.success() => Ok(()),
                Ok(output) => Err(format!("{}\n{}", output.text(), self.what_goes_on())),
                Err(error) => Err(error.to_string()),
            }
        })
    }

    /// Stops every process of the machine where it is, as a virtual machine that is paused.
    pub fn freeze(&self) -> Result<(), ClusterError> {
        nspawn::set_frozen(&self.cgroup()?, true)
    }

    /// Lets a frozen machine go on.
    pub fn thaw(&self) -> Result<(), ClusterError> {
        nspawn::set_frozen(&self.cgroup()?, false)
    }

    fn what_goes_on(&self) -> String {
        let script = "systemctl --no-pager --no-legend list-units --failed; systemctl --no-pager list-jobs; \
                      journalctl --no-pager -q -b -p warning -n 15";
        self.exec(&["sh", "-c", script]).map(|output| output.text()).unwrap_or_default()
    }

    fn describe(&self, arguments: &[&str]) -> String {
        format!("{} on {}", arguments.join(" "), self.name())
    }

    fn cgroup(&self) -> Result<std::path::PathBuf, ClusterError> {
        nspawn::cgroup(&self.record.name, &self.name())
    }

    pub(crate) fn dir(&self) -> MachineDir {
        self.cluster.machine(&self.name())
    }
}
