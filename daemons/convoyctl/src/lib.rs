//! convoyctl: what the operator types.
//!
//! Arguments become commands ([`cli`]), commands ask pure functions (unit files, placement) and the store, and every
//! one ends with an [`exit::Outcome`]. Nothing is decided here that the scheduler decides: orders are written, and
//! [`wait`] watches what becomes of them.

pub mod balance;
pub mod batch;
pub mod braces;
pub mod cli;
mod commands;
mod connect;
pub mod console;
pub mod exit;
pub mod machine;
pub mod manual;
pub mod picture;
pub mod plan;
pub mod refusal;
pub mod select;
pub mod source;
pub mod ssh;
pub mod table;
mod tunnel;
pub mod wait;
pub mod write;

pub use commands::run;
