//! The watcher as a process, with real etcd and real nginx or HAProxy on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a helper that fails is a test that fails

mod balancer;
mod load;
mod upstream;

mod failures;
mod following;
mod haproxy_failures;
mod haproxy_following;
mod haproxy_promises;
mod latency;
mod promises;
