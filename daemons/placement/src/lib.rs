//! Which unit runs where: machines, units and the present assignment in, the new assignment and its reasons out.
//!
//! Pure and deterministic. Fleet's hard rules, soft rules beyond them, and as few moves as possible.

mod bits;
mod catalog;
mod chains;
mod component;
mod csp;
mod exclusion;
mod explain;
mod fill;
mod globals;
mod loads;
mod model;
mod outcome;
mod pass;
mod patterns;
mod pick;
mod place;
mod planner;
mod presence;
mod requests;
mod room;
mod search;
mod seat;
mod sites;
mod state;
mod table;
mod tabu;
mod teams;
mod why;

pub use exclusion::Exclusion;
pub use explain::{Explanation, Remedy, Standing, explain};
pub use model::{Accepts, Capacity, Machine, Unit};
pub use place::{Placement, Reason, place};
pub use planner::Planner;
pub use why::{Cause, Choice, Why};
