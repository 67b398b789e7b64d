//! The notification protocol: sd_notify(3).

use std::time::Duration;

use sd_notify::NotifyState;

/// Tells systemd how the service is doing. Without `NOTIFY_SOCKET` every call does nothing.
#[derive(Debug, Clone)]
pub struct Notifier {
    wanted: bool,
}

impl Notifier {
    /// A notifier for this process.
    pub fn from_env() -> Self {
        Self { wanted: std::env::var_os("NOTIFY_SOCKET").is_some() }
    }

    /// The first real work is done: the unit becomes active.
    pub fn ready(&self, status: &str) {
        self.send(&[NotifyState::Ready, NotifyState::Status(&one_line(status))]);
    }

    /// The line that `systemctl status` shows.
    pub fn status(&self, status: &str) {
        self.send(&[NotifyState::Status(&one_line(status))]);
    }

    /// The service has begun to stop.
    pub fn stopping(&self, status: &str) {
        self.send(&[NotifyState::Stopping, NotifyState::Status(&one_line(status))]);
    }

    /// Start or stop takes longer than the unit's timeout: asks for this much more, counted from now.
    pub fn extend_timeout(&self, more: Duration) {
        self.send(&[NotifyState::ExtendTimeoutUsec(u32::try_from(more.as_micros()).unwrap_or(u32::MAX))]);
    }

    pub(crate) fn watchdog(&self) {
        self.send(&[NotifyState::Watchdog]);
    }

    fn send(&self, state: &[NotifyState<'_>]) {
        if self.wanted
            && let Err(error) = sd_notify::notify(state)
        {
            tracing::debug!(%error, "systemd could not be notified");
        }
    }
}

/// A newline would end the assignment and start another one (sd_notify(3)).
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn a_status_can_not_smuggle_in_another_assignment() {
        assert_eq!(one_line("bad\nREADY=1"), "bad READY=1");
    }
}
