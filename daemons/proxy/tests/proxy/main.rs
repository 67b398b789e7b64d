//! The proxy over real sockets on loopback, with targets and clients that misbehave.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test ends where its assumptions do; clippy sees that only inside test functions"
)]

mod balancing;
mod bodies;
mod drain;
mod failures;
mod forwarding;
mod frames;
mod hostile;
mod http2;
mod http2_support;
mod http2_targets;
mod interim;
mod limits;
mod proxy_protocol;
mod rolling;
mod rules;
mod support;
mod upgrades;
