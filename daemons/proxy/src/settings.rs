//! What can be set.

use convoy_keys::Network;
use std::net::IpAddr;
use std::time::Duration;

use convoy_routing::{EjectionPolicy, RuleTimeouts};

/// Limits in time. The proxy looks at its connections every quarter of a second, so nothing is more exact than that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the first byte of a request's head (or the accept) to its end.
    pub header: Duration,
    /// An idle client connection between requests.
    pub keep_alive: Duration,
    /// A request body that doesn't come any further.
    pub request_body: Duration,
    /// One connection to a target.
    pub connect: Duration,
    /// All connection attempts of one request together.
    pub connect_total: Duration,
    /// From the request to the head of its answer.
    pub first_byte: Duration,
    /// An answer that moves neither at the target nor at the client.
    pub stall: Duration,
    /// A tunnel without traffic.
    pub tunnel_idle: Duration,
    /// An idle connection to a target; shorter than what servers allow (nginx: 60 s and more), so that we close first.
    pub upstream_idle: Duration,
    /// During a drain: an idle client connection.
    pub drain_idle: Duration,
    /// During a drain: what a tunnel has left.
    pub drain_tunnel: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            header: Duration::from_secs(15),
            keep_alive: Duration::from_secs(75),
            request_body: Duration::from_secs(30),
            connect: Duration::from_secs(2),
            connect_total: Duration::from_secs(6),
            first_byte: Duration::from_secs(60),
            stall: Duration::from_secs(60),
            tunnel_idle: Duration::from_secs(3600),
            upstream_idle: Duration::from_secs(50),
            drain_idle: Duration::from_secs(1),
            drain_tunnel: Duration::from_secs(5),
        }
    }
}

impl Timeouts {
    /// Those of a rule, where it has its own.
    pub(crate) fn with(&self, own: &RuleTimeouts) -> Self {
        Self {
            first_byte: own.response.unwrap_or(self.first_byte),
            stall: own.stall.unwrap_or(self.stall),
            request_body: own.request_body.unwrap_or(self.request_body),
            tunnel_idle: own.tunnel.unwrap_or(self.tunnel_idle),
            ..*self
        }
    }
}

/// Everything that the data path can be told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Worker threads, each with its own event loop and its own connections.
    pub threads: usize,
    /// Client connections at a time; further ones are answered with 503, and far beyond it closed.
    pub max_connections: usize,
    /// Peers whose `X-Forwarded-*` fields are believed.
    pub trusted: Vec<Network>,
    /// Idle connections kept per target and thread.
    pub idle_per_target: usize,
    /// Limits in time.
    pub timeouts: Timeouts,
    /// Requests at a time on one HTTP/2 connection.
    pub max_streams: u32,
    /// Largest request body, in bytes, where a rule says nothing.
    pub body_max: Option<u64>,
    /// Where HTTP is sent to for TLS, when that is not 443.
    pub https_port: Option<u16>,
    /// How long targets that refuse connections are left out.
    pub ejection: EjectionPolicy,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            max_connections: 20_000,
            trusted: Vec::new(),
            idle_per_target: 1024,
            max_streams: 200,
            body_max: None,
            https_port: None,
            timeouts: Timeouts::default(),
            ejection: EjectionPolicy::default(),
        }
    }
}

impl Settings {
    pub(crate) fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(peer))
    }
}
