//! What the registrar needs to know of a container: the engine's answer, trimmed and parsed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bollard::models::{
    ContainerInspectResponse, EndpointSettings, HealthStatusEnum, PortBinding as EngineBinding,
};

/// Labels that are ours begin so.
pub const LABEL_PREFIX: &str = "convoy.";

/// A container as far as its registration is concerned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Container {
    /// The engine's id.
    pub id: String,
    /// Name without the engine's leading slash.
    pub name: String,
    /// Whether its process runs.
    pub running: bool,
    /// When it started, in the engine's words: tells one run of a container from the next.
    pub started_at: String,
    /// How it is connected.
    pub network_mode: NetworkMode,
    /// Its addresses, by name of the network.
    pub networks: BTreeMap<String, Attachment>,
    /// TCP ports of the container that the host forwards, and from where.
    pub published: BTreeMap<u16, Vec<Binding>>,
    /// TCP ports that the image or the command line declares.
    pub exposed: BTreeSet<u16>,
    /// Labels with our prefix, without it.
    pub labels: BTreeMap<String, String>,
    /// What the engine's own health check says, where the image has one.
    pub health: Option<EngineHealth>,
}

/// How a container is connected.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum NetworkMode {
    /// On networks of its own; the name is the one it was started with.
    Own(String),
    /// In the host's network namespace.
    Host,
    /// In another container's network namespace.
    Shared(String),
    /// Not at all.
    #[default]
    Isolated,
}

/// Addresses on one network.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attachment {
    /// IPv4 address, where it has one.
    pub ipv4: Option<Ipv4Addr>,
    /// Global IPv6 address, where it has one.
    pub ipv6: Option<Ipv6Addr>,
    /// The highest wins the default route (engine API 1.48 and newer).
    pub gateway_priority: i64,
}

/// One forwarding of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// Address that the host listens on; wildcards included.
    pub ip: IpAddr,
    /// Port that the host listens on.
    pub port: u16,
}

/// What the engine's own health check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineHealth {
    /// No verdict yet.
    Starting,
    /// Good.
    Healthy,
    /// Bad.
    Unhealthy,
}

impl From<ContainerInspectResponse> for Container {
    fn from(answer: ContainerInspectResponse) -> Self {
        let state = answer.state.unwrap_or_default();
        let settings = answer.network_settings.unwrap_or_default();
        let config = answer.config.unwrap_or_default();
        let mode = answer.host_config.and_then(|host| host.network_mode).unwrap_or_default();
        let labels = config.labels.unwrap_or_default();
        Self {
            id: answer.id.unwrap_or_default(),
            name: answer.name.unwrap_or_default().trim_start_matches('/').to_owned(),
            // Paused processes answer nobody, but their connections stay: that is for the checks to say.
            running: state.running.unwrap_or_default(),
            started_at: state.started_at.unwrap_or_default(),
            network_mode: network_mode(&mode),
            networks: settings
                .networks
                .unwrap_or_default()
                .into_iter()
                .map(|(name, endpoint)| (name, attachment(&endpoint)))
                .collect(),
            published: settings
                .ports
                .unwrap_or_default()
                .into_iter()
                .filter_map(|(port, bindings)| {
                    let bindings: Vec<_> = bindings?.iter().filter_map(binding).collect();
                    Some((tcp_port(&port)?, bindings)).filter(|(_, bindings)| !bindings.is_empty())
                })
                .collect(),
            exposed: config
                .exposed_ports
                .unwrap_or_default()
                .iter()
                .filter_map(|port| tcp_port(port))
                .collect(),
            labels: labels
                .into_iter()
                .filter_map(|(name, value)| Some((name.strip_prefix(LABEL_PREFIX)?.to_owned(), value)))
                .collect(),
            health: state.health.and_then(|health| match health.status? {
                HealthStatusEnum::STARTING => Some(EngineHealth::Starting),
                HealthStatusEnum::HEALTHY => Some(EngineHealth::Healthy),
                HealthStatusEnum::UNHEALTHY => Some(EngineHealth::Unhealthy),
                HealthStatusEnum::EMPTY | HealthStatusEnum::NONE => None,
            }),
        }
    }
}

fn network_mode(mode: &str) -> NetworkMode {
    match mode.split_once(':') {
        Some(("container" | "ns", other)) => NetworkMode::Shared(other.to_owned()),
        _ => match mode {
            "host" => NetworkMode::Host,
            "none" => NetworkMode::Isolated,
            // Podman leaves it empty in older versions; Docker says "default" for its default bridge.
            "" | "default" => NetworkMode::Own("bridge".to_owned()),
            name => NetworkMode::Own(name.to_owned()),
        },
    }
}

/// `80/tcp` or `80`; other protocols can't carry HTTP or a TCP check.
fn tcp_port(text: &str) -> Option<u16> {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    port.parse().ok().filter(|&port| port != 0 && protocol == "tcp")
}

fn attachment(endpoint: &EndpointSettings) -> Attachment {
    let parse = |text: &Option<String>| text.as_deref().unwrap_or_default().parse().ok();
    Attachment {
        ipv4: parse(&endpoint.ip_address).filter(|ip: &Ipv4Addr| !ip.is_unspecified()),
        ipv6: endpoint
            .global_ipv6_address
            .as_deref()
            .and_then(|text| text.parse().ok())
            .filter(|ip: &Ipv6Addr| !ip.is_unspecified()),
        gateway_priority: endpoint.gw_priority.unwrap_or_default(),
    }
}

fn binding(binding: &EngineBinding) -> Option<Binding> {
    let ip = match binding.host_ip.as_deref().unwrap_or_default() {
        // Podman writes an empty address for every address.
        "" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        text => text.parse().ok()?,
    };
    let port = binding.host_port.as_deref()?.parse().ok().filter(|&port| port != 0)?;
    Some(Binding { ip, port })
}
