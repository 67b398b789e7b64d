//! The systemd manager over D-Bus (org.freedesktop.systemd1(5)): jobs and how they ended.
//!
//! zbus never reconnects, keeps answering cached properties after the bus has died, and stalls method calls behind
//! unread signals. So nothing is cached here, signals and calls have a connection each, signals are drained by a
//! task of their own, and after [`SystemdError::Bus`] the owner drops the [`Manager`] and connects again.

mod error;
mod job;
mod manager;
mod proxy;

pub use error::SystemdError;
pub use job::JobResult;
pub use manager::{ActiveState, Manager};
