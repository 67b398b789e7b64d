//! convoyctl against real etcd, with a task that plays scheduler and agents.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a helper that fails should fail the test

mod lives;
mod machines;
mod remote;
mod rollouts;
mod trouble;
mod world;
