//! Reading what the machine says about itself.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};

use convoy_config::{ConfigError, EtcdFragment, SearchPath, load};

use crate::address::Interface;
use crate::choose::{Pair, Sources, choose};
use crate::cluster::{ClusterFragment, ClusterSettings};
use crate::environment::{Variable, named, parse_environment, provider_private, provider_public};
use crate::error::SetupError;
use crate::machine::{HostName, Machine, MachineFragment, MachineId};
use crate::role::Role;

/// Left by Flatcar's and by Fedora CoreOS's metadata service.
const METADATA: [&str; 2] = ["run/metadata/flatcar", "run/metadata/afterburn"];
/// Set aside for documentation (RFC 5737): nobody answers there, and no packet is sent to find the way to it.
const SOMEWHERE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);

/// Where files are read; `/` on a machine.
#[derive(Debug, Clone)]
pub struct Roots {
    /// Prefix of all system files.
    pub root: PathBuf,
    /// Where Convoy's configuration is.
    pub configuration: SearchPath,
}

/// Everything that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gathered {
    /// The machine.
    pub machine: Machine,
    /// Its part in the etcd cluster.
    pub role: Role,
    /// Where daemons find etcd; none when the configuration says it.
    pub endpoints: Option<Vec<String>>,
}

impl Roots {
    /// The machine's own files.
    pub fn system() -> Roots {
        Roots { root: PathBuf::from("/"), configuration: SearchPath::system() }
    }

    /// Reads the configuration, the operating system's files and the network interfaces.
    pub fn gather(&self) -> Result<Gathered, SetupError> {
        let mut sources = self.stated()?;
        sources.default_route = default_route();
        sources.interfaces = interfaces()?;
        let addresses = choose(&sources)?;
        let settings = ClusterSettings::try_from(load::<ClusterFragment>("cluster", &self.configuration)?)?;
        let etcd = load::<EtcdFragment>("etcd", &self.configuration)?;
        if etcd.ca.is_some() && etcd.endpoints.is_none() && !settings.seeds.is_empty() {
            let message = "set without endpoints, but [cluster] seeds form a cluster that speaks plain HTTP; \
                           write [etcd] endpoints too, or remove it";
            return Err(ConfigError::value("[etcd] ca", message).into());
        }
        let role = Role::of(addresses.private, settings);
        let endpoints = etcd.endpoints.is_none().then(|| role.endpoints(addresses.private));
        let machine = Machine { id: self.machine_id()?, host_name: self.host_name()?, addresses };
        Ok(Gathered { machine, role, endpoints })
    }

    /// What files say about addresses.
    fn stated(&self) -> Result<Sources, SetupError> {
        let configuration = load::<MachineFragment>("machine", &self.configuration)?.addresses()?;
        let (path, all) = self.variables("etc/environment")?;
        let environment =
            (named(&path, &all, "COREOS_PRIVATE_IPV4")?, named(&path, &all, "COREOS_PUBLIC_IPV4")?);
        let mut provider: Pair = (None, None);
        for file in METADATA {
            let (path, all) = self.variables(file)?;
            provider.0 = provider.0.or(provider_private(&path, &all)?);
            provider.1 = provider.1.or(provider_public(&path, &all)?);
        }
        Ok(Sources { configuration, environment, provider, ..Sources::default() })
    }

    fn variables(&self, file: &str) -> Result<(PathBuf, Vec<Variable>), SetupError> {
        let path = self.root.join(file);
        match fs::read(&path) {
            Ok(bytes) => Ok((path, parse_environment(&String::from_utf8_lossy(&bytes)))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok((path, Vec::new())),
            Err(source) => Err(SetupError::File { doing: "read", path, source }),
        }
    }

    fn machine_id(&self) -> Result<MachineId, SetupError> {
        let (path, text) = self.text("etc/machine-id")?;
        MachineId::parse(&text).ok_or_else(|| SetupError::Identity {
            path,
            message: "no machine id (32 hex digits); systemd-machine-id-setup makes one".into(),
        })
    }

    fn host_name(&self) -> Result<HostName, SetupError> {
        let (path, text) = self.text("proc/sys/kernel/hostname")?;
        HostName::parse(&text).ok_or_else(|| SetupError::Identity {
            path,
            message: format!("{text:?} is no host name; hostnamectl hostname sets one"),
        })
    }

    fn text(&self, file: &str) -> Result<(PathBuf, String), SetupError> {
        let path = self.root.join(file);
        match fs::read_to_string(&path) {
            Ok(text) => Ok((path, text)),
            Err(source) => Err(SetupError::File { doing: "read", path, source }),
        }
    }

    pub(crate) fn path(&self, file: impl AsRef<Path>) -> PathBuf {
        self.root.join(file)
    }
}

/// The address that the kernel would send from to somewhere outside; connecting a datagram socket sends nothing.
fn default_route() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(SOMEWHERE).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

fn interfaces() -> Result<Vec<Interface>, SetupError> {
    let all = if_addrs::get_if_addrs().map_err(SetupError::Interfaces)?;
    let ipv4 = |interface: if_addrs::Interface| match interface.ip() {
        IpAddr::V4(address) => Some(Interface { name: interface.name, address }),
        IpAddr::V6(_) => None,
    };
    Ok(all.into_iter().filter_map(ipv4).collect())
}
