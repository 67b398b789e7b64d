//! The scheduler: decides which unit runs where.
//!
//! The rules are pure: [`step`] looks at a [`World`], a clock and a [`Memory`], and says what to write. The shell
//! around it ([`run::run`]) elects a leader, follows the store, commits what the rules say under the leader's guard, and
//! never acts on a picture that may be old.

mod avoid;
pub mod check;
pub mod cli;
mod course;
mod drain;
mod event;
mod freeze;
mod globals;
mod groups;
mod input;
mod journal;
mod lead;
mod memory;
mod metrics;
mod pack;
mod pass;
mod plan;
mod policy;
mod presence;
pub mod run;
pub mod settings;
mod step;
mod story;
mod time;
mod world;

pub use event::{Cause, Event};
pub use memory::Memory;
pub use pass::step;
pub use policy::Policy;
pub use step::{Batch, Expected, Step, Summary, Write};
pub use time::Now;
pub use world::{MachineSeen, News, Placed, Reading, Scheduled, UnitSeen, World, Written};
