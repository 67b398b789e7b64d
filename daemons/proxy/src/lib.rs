//! The data path of the edge router: HTTP/1.1 in, HTTP/1.1 out, by a [`convoy_routing::Table`].
//!
//! One acceptor hands connections to workers, one per processor, each with its own event loop. A worker shares nothing
//! with the others but the table, which is read without a lock, and keeps its own idle connections to targets. hyper
//! reads and writes the messages; what it leaves to its user is done here: which requests are taken ([`Reason`] tells
//! which are not), what fields may pass, who gets a request and who gets it next, limits in time for every phase, and
//! how to end without losing one.
//!
//! Nothing here knows of etcd or systemd.

mod acceptor;
mod answer;
mod body;
mod client_io;
mod connection;
mod control;
mod exchange;
mod forward;
mod headers;
mod metrics;
mod proxy;
mod reason;
mod record;
mod request;
mod route;
mod settings;
mod shared;
mod tunnel;
mod upstream;
mod worker;

pub use metrics::{LATENCY_BOUNDS_MS, Metrics, RouteTotals, Totals};
pub use proxy::{DrainLimits, Drained, Proxy};
pub use reason::Reason;
pub use record::{NoLog, Record, RequestLog};
pub use settings::{Settings, Timeouts};
