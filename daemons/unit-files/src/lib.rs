//! Unit files as systemd reads them, and fleet's placement options in them.
//!
//! Pure: text in, types or problems out. Whoever wants to place, store or start a unit reads it through
//! [`Definition::read`] first. The parts: [`syntax`] is systemd's, [`UnitName`] and [`Glob`] are what rules are made of,
//! [`Rules`] is what placement gets.

mod convoy;
mod definition;
mod dependencies;
mod fleet;
mod glob;
mod mixes;
mod name;
mod option;
mod problem;
mod quantity;
mod quote;
mod report;
mod rules;
mod sections;
mod specifier;
pub mod syntax;
pub mod ties;

pub use convoy::LONGEST_STOP;
pub use definition::{Definition, Strictness, decode, hash};
pub use dependencies::Dependencies;
pub use glob::{Glob, GlobError};
pub use name::{UnitName, UnitNameError, UnitType};
pub use problem::{Problem, Rejected};
pub use rules::{CutOff, Preference, Resources, Rules};
