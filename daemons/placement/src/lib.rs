//! Which unit runs where: machines, units and the present assignment in, the new assignment and its reasons out.
//!
//! Pure and deterministic. Fleet's hard rules, soft rules beyond them, and as few moves as possible.

mod model;
mod place;

pub use model::{Accepts, Capacity, Machine, Unit};
pub use place::{Placement, Reason, place};
