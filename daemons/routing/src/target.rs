//! Where a request can be sent.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use convoy_keys::{Endpoint, InstanceName};

use crate::Ejection;
use crate::balance::hash;

/// Which kind of key a target comes from. Load balancers come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// `/services/<app>/lb/…`
    LoadBalancer,
    /// `/services/<app>/upstream/…`
    Instance,
    /// Written into the app's document.
    Static,
}

impl Tier {
    /// All of them, in their order.
    pub const ALL: [Self; 3] = [Self::LoadBalancer, Self::Instance, Self::Static];

    /// The word for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LoadBalancer => "lb",
            Self::Instance => "direct",
            Self::Static => "static",
        }
    }
}

/// One incarnation of a target: from the moment its key appears to the moment the key leaves or changes.
///
/// What comes back under the same key and address is another target with another identity, so connections that
/// were kept open to the former one can't be mistaken for connections to it.
#[derive(Debug)]
pub struct Target {
    id: u64,
    tier: Tier,
    instance: InstanceName,
    endpoint: Endpoint,
    created: i64,
    /// None where the name is the address.
    address: Option<Box<str>>,
    stable_id: u64,
    ejection: Ejection,
    failing: AtomicBool,
}

impl Target {
    pub(crate) fn new(id: u64, tier: Tier, instance: InstanceName, endpoint: Endpoint, created: i64) -> Self {
        let address = endpoint.to_string();
        let stable_id = hash(address.as_bytes());
        let address = (address != instance.as_str()).then(|| address.into());
        Self {
            id,
            tier,
            instance,
            endpoint,
            created,
            address,
            stable_id,
            ejection: Ejection::default(),
            failing: AtomicBool::new(false),
        }
    }

    /// Unique in this process.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The same on every router and after every restart, as long as the address is the same.
    pub fn stable_id(&self) -> u64 {
        self.stable_id
    }

    /// Load balancer or instance.
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// The last segment of its key.
    pub fn instance(&self) -> &InstanceName {
        &self.instance
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.endpoint.addr()
    }

    /// The address as text, made once.
    pub fn address_text(&self) -> &str {
        self.address.as_deref().unwrap_or(self.instance.as_str())
    }

    /// Its failures.
    pub fn ejection(&self) -> &Ejection {
        &self.ejection
    }

    /// Whether active checks say that it must not get requests.
    pub fn is_failing(&self) -> bool {
        self.failing.load(Relaxed)
    }

    /// Tells what active checks say. Gives whether that is news.
    pub fn set_failing(&self, failing: bool) -> bool {
        self.failing.swap(failing, Relaxed) != failing
    }

    /// The revision at which its key was created.
    pub fn created(&self) -> i64 {
        self.created
    }

    pub(crate) fn is(&self, endpoint: Endpoint, created: i64) -> bool {
        self.endpoint == endpoint && self.created == created
    }
}
