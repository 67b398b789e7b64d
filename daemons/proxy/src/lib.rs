//! The data path of the edge router: HTTP/1.1 and HTTP/2 in, HTTP/1.1 and HTTP/2 out, by a [`convoy_routing::Table`].
//!
//! One acceptor hands connections to workers, one per processor, each with its own event loop. A worker shares nothing
//! with the others but the table, which is read without a lock, and keeps its own idle connections to targets. Messages
//! of HTTP/1.1 are read and written here with [`convoy_http1`], those of HTTP/2 by the crate h2; [`convoy_hygiene`] decides
//! which are taken and what of them passes; the rest is done here: who gets a request and who gets it next, limits in time
//! for every phase, and how to end without losing one.
//! [`Reason`] says why a request was not answered by a target.
//!
//! Nothing here knows of etcd or systemd.

mod acceptor;
mod answer;
mod asker;
mod attempts;
mod buffer;
mod checker;
mod client_io;
mod connection;
mod connection_http2;
mod control;
mod exchange;
mod fields;
mod forward;
mod frames;
mod front;
mod gate;
mod head_http1;
mod head_http2;
mod inlet;
mod keep_alive;
mod link;
mod listener;
mod metrics;
mod outlet;
mod over_http2;
mod over_link;
mod pass_on;
mod pool;
mod proxy;
mod reason;
mod record;
mod sender;
mod serve_http1;
mod serve_http2;
mod settings;
mod shared;
mod source;
mod transfer;
mod tunnel;
mod turn;
mod turn_http2;
mod upstream;
mod wire;
mod words;
mod worker;

pub use listener::{Covers, Listener, Proofs, Socket, Tls};
pub use metrics::{LATENCY_BOUNDS_MS, Metrics, RouteTotals, Totals};
pub use proxy::{DrainLimits, Drained, Proxy, TableReader};
pub use reason::Reason;
pub use record::{NoLog, Record, RequestLog};
pub use settings::{Settings, Timeouts};
