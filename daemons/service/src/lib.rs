//! What every daemon's shell needs around its work: readiness and status for systemd, the watchdog, signals,
//! the journal, metrics, and one way to end.
//!
//! The order in `main` is always the same: socket activation and environment first (while there is one thread),
//! command line, [`logging::init`], configuration without side effects, runtime, build, [`Notifier::ready`] when
//! the first real work is done, work until [`Shutdown::wait`], drain with a deadline.

pub mod exit;
pub mod logging;
pub mod message;
pub mod metrics;
mod notify;
pub mod pages;
mod signals;
mod watchdog;

pub use notify::Notifier;
pub use signals::{Reload, Shutdown};
pub use watchdog::Watchdog;
