//! Certificates against a real authority (pebble), a real store (etcd) and real handshakes: three edges that share both.

// What the tests share fails tests as they do themselves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

mod edge;
mod failures;
mod files;
mod front;
mod one_order;
mod renewal;
mod stage;
mod suggestions;
mod takeover;
mod ways;
