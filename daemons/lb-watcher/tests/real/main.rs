//! The watcher as a process, with real etcd and real nginx on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a helper that fails is a test that fails

mod balancer;
mod upstream;

mod failures;
mod following;
mod promises;
