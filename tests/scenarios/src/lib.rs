//! Scenarios on the cluster of real machines, named after the promise they prove.
//!
//! A file in `tests/` boots one cluster and hands it to a list of scenarios, which run in order: what one has set up
//! is what the next one finds, as it is for an operator. [`run`] prints and ends as Rust's own test harness does, so
//! `cargo test --test road` and a filter (`cargo test --test road -- machine`) work as everywhere.

mod harness;
mod servers;
mod slow;
mod stage;
mod store;
mod trouble;
mod units;

pub use harness::{Scenario, run};
pub use servers::{answer, serve};
pub use slow::{SlowWay, member};
pub use stage::{DOMAIN, SOON, Stage, options};
pub use trouble::{CLOCK, pass};
pub use units::PLACED;
