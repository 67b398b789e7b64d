//! convoyctl against real etcd, with a task that plays scheduler and agents.

mod lives;
mod machines;
mod rollouts;
mod trouble;
mod world;
