//! convoyctl: what the operator types.
//!
//! Arguments become commands ([`cli`]), commands ask pure functions (unit files, placement) and the store, and every
//! one ends with an [`exit::Outcome`].

pub mod cli;
mod commands;
pub mod console;
pub mod exit;
pub mod plan;

pub use commands::run;
