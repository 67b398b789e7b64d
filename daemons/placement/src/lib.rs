//! Which unit runs where: machines, units and the present assignment in, the new assignment and its reasons out.
//!
//! Pure and deterministic: the same input has the same outcome, in whatever order the machines are given, and a pass
//! over its own outcome changes nothing (but see globals below).
//!
//! # Hard rules
//!
//! `MachineID=`, `MachineMetadata=`, `MachineOf=`, `Conflicts=` (in both directions, never with itself), `Global=` and
//! `Replaces=` as fleet documented them, what a machine [`Accepts`], ties (`BindsTo=`, `Requires=`) between units that
//! are both placed, and `RequireCapacity=`. They hold in every placement.
//!
//! # What is best
//!
//! In this order:
//!
//! 1. the most units that run and may go on where they are, then of those that ran, then of new ones: nobody is put out
//!    for somebody new. Of two sets of the same size the one with the unit that was submitted first;
//! 2. the fewest moves of units that run on a machine that suits them. Nothing moves for balance alone;
//! 3. soft rules, for units that go somewhere: not where they failed too often (`avoid`); with room; spread over the
//!    values of `Spread=`; the least load, less what `Prefer=` outweighs; the lowest machine id.
//!
//! A wish of an operator is stronger than staying, and a unit with `Replaces=` takes the place of one that it replaces;
//! neither makes a third unit move or leaves a unit without a machine. Groups are placed as one: a follower that can't
//! be with its target waits alone, unless another machine takes all of them.
//!
//! Components of up to 400 groups are searched exactly, within a budget of steps; beyond that, and when the budget is
//! used up, chains of moves and local search find what they find. All hard rules hold there too.
//!
//! # Globals
//!
//! A global is on every machine that suits it, but who was there first wins: a unit that is on the machine already, or
//! was submitted before the global, keeps it off. Once such a unit has made room, others that conflict with the global
//! may follow, and have the right to stay from the next pass on. Only that can make a second pass place more.

mod bits;
mod catalog;
mod chains;
mod component;
mod csp;
mod exclusion;
mod explain;
mod fill;
mod globals;
mod hash;
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
