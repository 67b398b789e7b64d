//! How the requests of one service are shared among its targets.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use convoy_health::{HttpCheck, Rules, StatusSet};
use convoy_keys::InstanceName;
use http::HeaderName;

use crate::shared::Ordinary;

/// Who gets the next request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Balance {
    /// The one with the least to do, slow ones counted heavier.
    #[default]
    LeastRequest,
    /// One after the other.
    RoundRobin,
    /// The same one for the same value, as long as it is there.
    Hash(HashSource),
}

/// What decides who gets a request, under [`Balance::Hash`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashSource {
    /// The client's address.
    Client,
    /// The path, without its query.
    Path,
    /// A field of the request.
    Header(HeaderName),
    /// A cookie of the request.
    Cookie(Box<str>),
}

/// A cookie that keeps a client at its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sticky {
    /// The cookie's name.
    pub cookie: Box<str>,
    /// How long the client keeps it; none for the end of its session.
    pub max_age: Option<Duration>,
    /// Only for TLS.
    pub secure: bool,
}

/// What a target is asked now and then, besides the requests that it gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveCheck {
    /// The request; none for a connection only.
    pub http: Option<HttpCheck>,
    /// The `Host` field.
    pub host: Option<Box<str>>,
    /// Good answers.
    pub statuses: StatusSet,
    /// How often, and how many results make a state.
    pub rules: Rules,
}

/// How often a request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Times that a request, which may have arrived already, is sent again.
    pub repeats: u32,
    /// Repeats for a hundred requests, over time.
    pub budget: u32,
}

impl Default for Retries {
    fn default() -> Self {
        Self { repeats: 3, budget: 20 }
    }
}

/// How many requests a service works on at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concurrency {
    /// So many.
    pub limit: usize,
    /// So many more may wait.
    pub queue: usize,
    /// For so long.
    pub wait: Duration,
}

/// What targets speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// HTTP/1.1; gRPC, which has no other way, HTTP/2 without TLS.
    #[default]
    Automatic,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 without TLS and without asking first.
    Http2,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Who gets the next request.
    pub balance: Balance,
    /// Keeps clients where they are.
    pub sticky: Option<Sticky>,
    /// Asks targets how they are.
    pub check: Option<ActiveCheck>,
    /// How long a new target gets less than its share.
    pub slow_start: Duration,
    /// How long requests wait for a target after the last one left.
    pub hold: Duration,
    /// Sending again.
    pub retries: Retries,
    /// Requests at a time.
    pub concurrency: Option<Concurrency>,
    /// What targets speak.
    pub protocol: Protocol,
    /// Shares of single instances; 100 is ordinary.
    pub weights: BTreeMap<InstanceName, u16>,
}

/// A container that is restarted is back within this time, more often than not.
const HOLD: Duration = Duration::from_secs(2);

impl Default for Policy {
    fn default() -> Self {
        Self {
            balance: Balance::default(),
            sticky: None,
            check: None,
            slow_start: Duration::ZERO,
            hold: HOLD,
            retries: Retries::default(),
            concurrency: None,
            protocol: Protocol::default(),
            weights: BTreeMap::new(),
        }
    }
}

impl Ordinary for Policy {
    fn ordinary() -> Arc<Self> {
        static DEFAULT: LazyLock<Arc<Policy>> = LazyLock::new(Arc::default);
        Arc::clone(&DEFAULT)
    }
}
