//! The systemd manager over D-Bus (org.freedesktop.systemd1(5)): jobs and how they ended.
//!
//! zbus never reconnects, keeps answering cached properties after the bus has died, and stalls method calls behind
//! unread signals. So nothing is cached here, signals and calls have a connection each, signals are drained by a
//! task of their own, and after [`SystemdError::Bus`] the owner drops the [`Manager`] and connects again.

mod changes;
mod error;
mod job;
mod manager;
mod path;
mod proxy;
mod unit;

pub use changes::UnitChanges;
pub use error::SystemdError;
pub use job::JobResult;
pub use manager::{ActiveState, Manager, QueuedJob};
pub use unit::{ServiceEnd, UnitChange, UnitStatus};
