//! The stage of the tutorial: four machines, and what an operator does on them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use convoy_cluster::{Cluster, Lines, Machine, UpOptions, wait_until};
use convoy_road::traffic::{Answer, Client, Report, Target, Traffic};

/// Longest wait for something that takes a moment: a unit that starts, a container that comes up.
pub const SOON: Duration = Duration::from_secs(60);
/// The domain of the tutorial.
pub const DOMAIN: &str = "mywebsite.com";

/// A cluster with the questions that scenarios ask it.
#[derive(Debug)]
pub struct Stage {
    /// The machines.
    pub cluster: Cluster,
}

/// Options for a cluster of this name that installs the release under test.
///
/// # Errors
///
/// When there is no release: `make test` builds one and names it in `CONVOY_RELEASE`.
pub fn options(name: &str, machines: u8, without_nginx: &[u8]) -> Result<UpOptions> {
    let release = std::env::var_os("CONVOY_RELEASE").map(PathBuf::from);
    let release = release.context("CONVOY_RELEASE names no tarball; run the scenarios by `make test`")?;
    Ok(UpOptions {
        name: name.to_owned(),
        machines,
        without_nginx: without_nginx.iter().copied().collect(),
        release: Some(release),
        domain: DOMAIN.to_owned(),
        reporter: std::sync::Arc::new(Lines),
        ..UpOptions::default()
    })
}

impl Stage {
    /// `etcdctl` on a machine, by default with the machine's own member or gateway.
    pub fn etcdctl(&self, on: u8, arguments: &[&str]) -> Result<String> {
        let words = ["env", "ETCDCTL_API=3", "etcdctl"].iter().chain(arguments);
        let all: Vec<&str> = words.copied().collect();
        Ok(self.cluster.machine(on).exec_ok(&all)?.stdout)
    }

    /// The keys below a prefix, as a machine sees them.
    pub fn keys(&self, on: u8, prefix: &str) -> Result<BTreeMap<String, String>> {
        let output = self.etcdctl(on, &["get", "--prefix", prefix])?;
        let mut lines = output.lines();
        let mut keys = BTreeMap::new();
        while let (Some(key), Some(value)) = (lines.next(), lines.next()) {
            keys.insert(key.to_owned(), value.to_owned());
        }
        Ok(keys)
    }

    /// Waits until exactly these keys are below a prefix.
    pub fn wait_for_keys(&self, on: u8, prefix: &str, names: &[&str], within: Duration) -> Result<()> {
        let wanted: BTreeSet<String> = names.iter().map(|name| format!("{prefix}{name}")).collect();
        wait_until(&format!("exactly {names:?} below {prefix}"), within, || {
            let keys = self.keys(on, prefix).map_err(|error| format!("{error:#}"))?;
            let found: BTreeSet<String> = keys.keys().cloned().collect();
            if found == wanted { Ok(()) } else { Err(format!("{keys:?}")) }
        })?;
        Ok(())
    }

    /// Starts a unit on a machine and waits until it is active.
    pub fn start(&self, on: u8, unit: &str) -> Result<()> {
        let machine = self.cluster.machine(on);
        if let Err(error) = machine.systemctl(&["start", unit]) {
            bail!("{error}\n{}", journal(&machine, unit));
        }
        self.wait_active(on, unit)
    }

    /// Waits until a unit is active.
    pub fn wait_active(&self, on: u8, unit: &str) -> Result<()> {
        let machine = self.cluster.machine(on);
        wait_until(&format!("{unit} on {}", machine.name()), SOON, || {
            let output =
                machine.exec(&["systemctl", "is-active", unit]).map_err(|error| error.to_string())?;
            if output.success() {
                Ok(())
            } else {
                Err(format!("{}\n{}", output.text(), journal(&machine, unit)))
            }
        })?;
        Ok(())
    }

    /// A property of a unit, as `systemctl show` prints it.
    pub fn property(&self, on: u8, unit: &str, property: &str) -> Result<String> {
        let machine = self.cluster.machine(on);
        let output = machine.exec_ok(&["systemctl", "show", "--value", "-p", property, unit])?;
        Ok(output.stdout.trim().to_owned())
    }

    /// Where requests for a host go in at a machine's port.
    pub fn target(&self, on: u8, port: u16, host: &str) -> Target {
        let address = SocketAddr::new(IpAddr::V4(self.cluster.machine(on).address()), port);
        Target { address, host: host.to_owned(), path: "/".to_owned() }
    }

    /// One request from outside.
    pub fn get(&self, target: &Target) -> Result<Answer> {
        self.cluster.with_network(|| Client::default().get(target))?
    }

    /// Waits until requests are answered by exactly these instances.
    pub fn wait_for_instances(&self, target: &Target, instances: &[&str], within: Duration) -> Result<()> {
        let wanted: BTreeSet<&str> = instances.iter().copied().collect();
        wait_until(&format!("answers of {instances:?} at {}", target.address), within, || {
            let report = self.send(target, 40).map_err(|error| format!("{error:#}"))?;
            let found: BTreeSet<&str> = report.instances.keys().map(String::as_str).collect();
            if report.failed == 0 && found == wanted { Ok(()) } else { Err(format!("{report:?}")) }
        })?;
        Ok(())
    }

    /// Sends this many requests one after the other.
    pub fn send(&self, target: &Target, requests: u64) -> Result<Report> {
        let traffic = self.traffic(target, 1, Duration::ZERO)?;
        wait_until("requests to be sent", SOON, || {
            if traffic.sent() >= requests { Ok(()) } else { Err(format!("{} sent", traffic.sent())) }
        })?;
        Ok(traffic.stop())
    }

    /// Starts clients outside of the machines that send requests until they are stopped, for five minutes at most.
    pub fn traffic(&self, target: &Target, clients: usize, pause: Duration) -> Result<Traffic> {
        let limit = Duration::from_secs(300);
        Ok(self.cluster.with_network(|| Traffic::start(target, clients, pause, limit))?)
    }

    /// Fails with the report unless every request was answered.
    pub fn expect_no_failure(report: &Report) -> Result<()> {
        ensure!(report.requests > 0, "no request was sent");
        ensure!(
            report.failed == 0,
            "{} of {} requests failed: {:?}",
            report.failed,
            report.requests,
            report.failures
        );
        Ok(())
    }
}

fn journal(machine: &Machine, unit: &str) -> String {
    machine.journal(&["-n", "20", "-o", "cat", "-u", unit]).unwrap_or_else(|error| error.to_string())
}
