//! The binary with real etcd, real sockets and real signals.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test ends where its assumptions do; clippy sees that only inside test functions"
)]

mod acme;
mod browser;
mod file;
mod http2;
mod life;
mod page;
mod store;
mod support;
mod tls;
