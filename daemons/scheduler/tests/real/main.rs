//! Schedulers against real etcd, with agents that only pretend to run what they are told.

// What the tests share fails tests as they do themselves.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod agent;
mod fleet;
mod leaders;
mod outages;
mod placing;
