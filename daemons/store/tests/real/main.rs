//! The store against real etcd: one or three members on loopback that are killed, frozen, wiped and restarted.

// What the tests share fails tests as they do themselves.
#![allow(clippy::unwrap_used, clippy::panic)]

mod calls;
mod election;
mod failover;
mod feeds;
mod outages;
mod ownership;
mod security;
mod support;
