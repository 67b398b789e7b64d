//! Template resources: whatever files an operator wants made of keys, kept in step with the store. confd's files, flags and
//! templates are understood as they are.
//!
//! [`run`] follows the keys of all resources; each has a [`target`], which makes its files and hands them to
//! [`crate::install`], where they are checked, put in place, loaded and proved.

mod announce;
mod check;
mod diff;
mod directory;
mod format;
mod generation;
mod memory;
mod metrics;
mod onetime;
mod options;
mod overlay;
mod ranges;
mod reader;
mod render;
mod run;
mod status;
mod story;
mod target;
mod watch;
mod watcher;
mod why;

pub use check::{check, lint_resource};
pub use diff::diff;
pub use onetime::onetime;
pub use options::Configuration;
pub use overlay::{OverlaidOptions, overlaid};
pub use run::run;
pub use status::status;
pub use why::why;
