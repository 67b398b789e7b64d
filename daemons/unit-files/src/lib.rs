//! Unit files as systemd reads them, and fleet's placement options in them.
//!
//! Pure: text in, types or problems out. Whoever wants to place, store or start a unit reads it through
//! [`Definition::read`] first.

mod definition;
mod glob;
mod name;
mod problem;
mod rules;

pub use definition::{Definition, Dependencies, Strictness};
pub use glob::{Glob, GlobError};
pub use name::{UnitName, UnitNameError, UnitType};
pub use problem::{Problem, Rejected};
pub use rules::{CutOff, Preference, Resources, Rules};
