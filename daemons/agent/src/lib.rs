//! The agent: makes its machine follow its schedule through systemd, and reports what runs there.
//!
//! [`roster`] is the core and does no I/O: the schedule, systemd's word and the ends of jobs come in, what has to be
//! done goes out. [`run`] is the shell around it: feed, bus, files and lease. `convoy-lease`, the second binary, is
//! what units are bound to that have to stop when this machine is cut off.

mod announce;
pub mod beat;
mod bus;
pub mod cli;
pub mod dropin;
pub mod fence;
pub mod files;
pub mod held;
mod journal;
pub mod lease;
mod link;
pub mod machine;
pub mod metrics;
pub mod order;
mod perform;
pub mod reserved;
pub mod roster;
pub mod run;
pub mod settings;
