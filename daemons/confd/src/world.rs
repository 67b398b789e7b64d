//! What some functions ask of the machine that they run on.

use std::fmt::Debug;
use std::net::IpAddr;

/// A moment, and the time zone that people around it use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds of the second.
    pub nanoseconds: u32,
    /// Seconds that the zone is east of Greenwich.
    pub offset: i32,
    /// What the zone is called, such as CET.
    pub zone: String,
}

/// A record of the domain name system that says where a service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The machine, with the final dot.
    pub target: String,
    /// Its port.
    pub port: u16,
    /// The lowest goes first.
    pub priority: u16,
    /// Share among those of the same priority.
    pub weight: u16,
}

/// The machine around the templates. Questions that fail are answered with nothing, as confd does.
pub trait World: Debug + Send + Sync {
    /// The time.
    fn now(&self) -> Moment;
    /// A variable of the environment.
    fn variable(&self, name: &str) -> Option<String>;
    /// The name of the machine.
    fn hostname(&self) -> Result<String, String>;
    /// Whether something is at this path, or can't be looked at.
    fn file_exists(&self, path: &str) -> bool;
    /// The addresses of a host.
    fn addresses(&self, host: &str) -> Vec<IpAddr>;
    /// The addresses of a network interface.
    fn interface_addresses(&self, name: &str) -> Vec<IpAddr>;
    /// The records `_service._protocol.name`.
    fn services(&self, service: &str, protocol: &str, name: &str) -> Vec<Service>;
    /// Another file of the template's folder: its path, for messages and against circles, and its text.
    fn include(&self, name: &str) -> Result<(String, Vec<u8>), String>;
}
