//! A whole small Convoy on loopback: etcd, sample apps with their registrars, load balancers, an edge router.
//!
//! Everything is a child process in a folder of its own that goes away with the value; every port is a free one.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use convoy_test_etcd::Etcd;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::process::{Process, program, tail, wait_until};
use crate::traffic::{Client, Target};

/// The app of the road.
pub const APP: &str = "someapp";
/// The domain of the edge router.
pub const DOMAIN: &str = "mywebsite.com";
/// Longest wait for a process to do its first work.
const START: Duration = Duration::from_secs(20);
/// Longest wait for a process to end in order.
const STOP: Duration = Duration::from_secs(15);

/// A running road; dropping it ends all of its processes.
#[derive(Debug)]
pub struct Loopback {
    // Fields are dropped in this order: the edge first, the store and the folder last.
    edge: Option<Process>,
    balancers: BTreeMap<u8, Balancer>,
    instances: BTreeMap<u8, Instance>,
    edge_address: SocketAddr,
    etcd: Etcd,
    // etcd's processes were started inside it.
    _runtime: Runtime,
    folder: TempDir,
}

/// One instance of the app and its sidekick.
#[derive(Debug)]
pub struct Instance {
    /// The registrar, ended first.
    pub registrar: Process,
    /// The app.
    pub app: Process,
    /// Where it listens.
    pub address: SocketAddr,
}

/// One load balancer and its sidekick.
#[derive(Debug)]
pub struct Balancer {
    /// The lb-watcher, ended first.
    pub watcher: Process,
    /// nginx or HAProxy.
    pub program: Process,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Loopback {
    /// An empty road: only the store.
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("convoy-road-").tempdir()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let etcd = runtime.block_on(Etcd::start(1))?;
        let edge_address = free_address()?;
        let (balancers, instances) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { edge: None, balancers, instances, edge_address, etcd, _runtime: runtime, folder })
    }

    /// The store.
    pub fn etcd(&self) -> &Etcd {
        &self.etcd
    }

    /// Where everything is kept, the logs of all processes included.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where requests for the app go in.
    pub fn target(&self) -> Target {
        Target { address: self.edge_address, host: format!("{APP}.{DOMAIN}"), path: "/".to_owned() }
    }

    /// Where a load balancer takes requests.
    pub fn balancer_target(&self, number: u8) -> Result<Target> {
        let balancer = self.balancers.get(&number).with_context(|| format!("no load balancer {number}"))?;
        Ok(Target { address: balancer.address, host: APP.to_owned(), path: "/".to_owned() })
    }

    /// The instances that run.
    pub fn instances(&self) -> &BTreeMap<u8, Instance> {
        &self.instances
    }

    /// Starts an instance and its registrar, and waits until it is announced.
    pub fn start_instance(&mut self, number: u8) -> Result<()> {
        let name = format!("{APP}-{number}");
        let address = free_address()?;
        let mut app = Command::new(program("sample-app")?);
        app.args(["--listen", &address.to_string(), "--name", &name]);
        let app = Process::start(&name, self.folder(), &app)?;
        let mut registrar = self.daemon("registrar")?;
        registrar.args(["--instance", &name, "--address", &address.to_string()]);
        registrar.args(["--check", "http:/", "--interval", "1s", "--ttl", "10s"]);
        let registrar = Process::start(&format!("registrar-{number}"), self.folder(), &registrar)?;
        self.instances.insert(number, Instance { registrar, app, address });
        let key = format!("/services/{APP}/upstream/{number}");
        self.wait_for_key(&key, &address.to_string())
    }

    /// Kills an instance without a word to anybody.
    pub fn kill_instance(&mut self, number: u8) -> Result<()> {
        self.instances.get(&number).with_context(|| format!("no instance {number}"))?.app.signal(Signal::KILL)
    }

    /// Stops the registrar and then the instance, as systemd does.
    pub fn stop_instance(&mut self, number: u8) -> Result<()> {
        let instance = self.instances.remove(&number).with_context(|| format!("no instance {number}"))?;
        instance.registrar.stop(STOP)?;
        instance.app.stop(STOP)?;
        Ok(())
    }

    /// Starts an nginx and its lb-watcher, and waits until it is announced.
    pub fn start_balancer(&mut self, number: u8) -> Result<()> {
        self.start_program(number, "host", |state| {
            let configuration = state.join("nginx.conf");
            let mut nginx = Command::new("nginx");
            nginx.arg("-c").arg(&configuration);
            (nginx, format!("nginx -c {} -s reload", configuration.display()))
        })
    }

    /// Starts a HAProxy and its lb-watcher, and waits until it is announced.
    pub fn start_haproxy(&mut self, number: u8) -> Result<()> {
        self.start_program(number, "haproxy", |state| {
            let mut haproxy = Command::new("haproxy");
            haproxy.args(["-W", "-f"]).arg(state.join("haproxy.cfg"));
            let pid = state.join("haproxy/haproxy.pid");
            (haproxy, format!("kill -USR2 \"$(cat {})\"", pid.display()))
        })
    }

    /// `program` tells, for a state directory, how the program is started and how it is reloaded.
    fn start_program(
        &mut self,
        number: u8,
        kind: &str,
        program: impl FnOnce(&Path) -> (Command, String),
    ) -> Result<()> {
        let address = free_address()?;
        let state = self.folder().join(format!("lb-{number}"));
        std::fs::create_dir_all(&state)?;
        let instance = format!("{APP}-{number}");
        let mut bootstrap = self.daemon("lb-watcher")?;
        bootstrap.args(["bootstrap", "--kind", kind]).args(balancer_arguments(&instance, &state, address));
        let mut bootstrap = Process::start(&format!("bootstrap-{number}"), self.folder(), &bootstrap)?;
        anyhow::ensure!(
            bootstrap.wait(START)?.success(),
            "lb-watcher bootstrap failed:\n{}",
            bootstrap.output()
        );

        let (program, reload) = program(&state);
        let program = Process::start(&format!("{kind}-{number}"), self.folder(), &program)?;
        let mut watcher = self.daemon("lb-watcher")?;
        watcher.args(["run", "--kind", kind]).args(balancer_arguments(&instance, &state, address));
        watcher.args(["--reload-command", &reload]);
        let watcher = Process::start(&format!("lb-watcher-{number}"), self.folder(), &watcher)?;
        self.balancers.insert(number, Balancer { watcher, program, address });
        let key = format!("/services/{APP}/lb/{number}");
        self.wait_for_key(&key, &address.to_string())
    }

    /// Starts the edge router and waits until it answers.
    pub fn start_edge(&mut self) -> Result<()> {
        let mut edge = self.daemon("edge-router")?;
        edge.args(["--listen", &format!("http={}", self.edge_address)]).env("EDGE_ROUTER_DOMAINS", DOMAIN);
        self.edge = Some(Process::start("edge-router", self.folder(), &edge)?);
        let target = self.target();
        wait_until("an answer through the edge router", START, || {
            Ok(Client::default().get(&target)?.status == 200)
        })
        .with_context(|| self.edge.as_ref().map(Process::output).unwrap_or_default())?;
        Ok(())
    }

    fn wait_for_key(&self, key: &str, value: &str) -> Result<()> {
        wait_until(&format!("{key} = {value}"), START, || Ok(self.get(key)?.as_deref() == Some(value)))
            .with_context(|| format!("logs are in {}", self.folder().display()))?;
        Ok(())
    }

    /// The last lines of everything that runs, for whoever has to find out what went wrong.
    pub fn logs(&self) -> String {
        let instances = self.instances.values().map(|instance| &instance.registrar);
        let balancers = self.balancers.values().flat_map(|balancer| [&balancer.watcher, &balancer.program]);
        let all = instances.chain(balancers).chain(&self.edge);
        let parts: Vec<_> =
            all.map(|process| format!("--- {}\n{}", process.name(), tail(&process.output()))).collect();
        parts.join("\n")
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Result<Option<String>> {
        let value = self.etcdctl(&["get", "--print-value-only", key])?;
        Ok(Some(value.trim().to_owned()).filter(|value| !value.is_empty()))
    }

    /// Runs etcdctl on the road's store.
    pub fn etcdctl(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .arg("--endpoints")
            .arg(self.endpoints())
            .args(arguments)
            .output()
            .context("etcdctl can't be run")?;
        anyhow::ensure!(output.status.success(), "etcdctl: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The store's endpoints, separated by commas.
    pub fn endpoints(&self) -> String {
        self.etcd.endpoints().join(",")
    }

    fn daemon(&self, name: &str) -> Result<Command> {
        let mut command = Command::new(program(name)?);
        // Nothing of this computer's own configuration, and nothing of systemd's protocol.
        command.env("CONVOY_CONFIG_PATH", self.folder().join("config.d"));
        command.env("CONVOY_ETCD_ENDPOINTS", self.endpoints());
        command.env_remove("NOTIFY_SOCKET").env_remove("LISTEN_FDS");
        Ok(command)
    }
}

fn balancer_arguments(instance: &str, state: &Path, address: SocketAddr) -> Vec<std::ffi::OsString> {
    let texts = ["--instance".into(), instance.into(), "--announce".into(), address.to_string().into()];
    let mut all: Vec<std::ffi::OsString> = texts.into();
    all.push("--state-dir".into());
    all.push(PathBuf::from(state).into_os_string());
    all
}

/// An address on loopback that nobody listens on.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
