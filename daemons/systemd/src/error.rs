//! What can go wrong between us and the manager.

use std::time::Duration;

use thiserror::Error;

/// An error of a call to systemd.
#[derive(Debug, Error)]
pub enum SystemdError {
    /// The bus is not there, or went away: drop the manager and connect again.
    #[error("no working connection to systemd over the system bus")]
    Bus(#[source] zbus::Error),
    /// The signals ended: drop the manager and connect again.
    #[error("the system bus closed the connection that carries systemd's signals")]
    Closed,
    /// systemd knows no such unit.
    #[error("{unit}: no such unit; is its file installed?")]
    NoSuchUnit {
        /// The unit.
        unit: String,
    },
    /// polkit or systemd said no.
    #[error(
        "{unit}: not allowed to {verb} it; does the polkit rule of the package apply to this user? ({message})"
    )]
    Refused {
        /// What was asked for.
        verb: &'static str,
        /// The unit.
        unit: String,
        /// systemd's words.
        message: String,
    },
    /// A job that is queued already would have to be given up for this one.
    #[error("{unit}: nothing was done to {verb} it: {message}")]
    Opposed {
        /// What was asked for.
        verb: &'static str,
        /// The unit.
        unit: String,
        /// systemd's words.
        message: String,
    },
    /// systemd answered with another error.
    #[error("{unit}: could not {verb} it: {message}")]
    Call {
        /// What was asked for.
        verb: &'static str,
        /// The unit.
        unit: String,
        /// systemd's words.
        message: String,
    },
    /// The job did not end in time; it may still be running.
    #[error("{unit}: the job to {verb} it did not end within {deadline:?}")]
    Deadline {
        /// What was asked for.
        verb: &'static str,
        /// The unit.
        unit: String,
        /// How long it was waited for.
        deadline: Duration,
    },
}

impl SystemdError {
    /// Whether the manager is of no use any more and has to be connected anew.
    pub fn is_disconnected(&self) -> bool {
        matches!(self, Self::Bus(_) | Self::Closed)
    }

    pub(crate) fn from_call(verb: &'static str, unit: &str, error: zbus::Error) -> Self {
        let zbus::Error::MethodError(name, message, _) = &error else { return Self::Bus(error) };
        let unit = unit.to_owned();
        let message = message.clone().unwrap_or_else(|| name.to_string());
        match name.as_str() {
            "org.freedesktop.systemd1.NoSuchUnit" | "org.freedesktop.systemd1.LoadFailed" => {
                Self::NoSuchUnit { unit }
            }
            "org.freedesktop.DBus.Error.AccessDenied"
            | "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired" => {
                Self::Refused { verb, unit, message }
            }
            "org.freedesktop.systemd1.TransactionIsDestructive" => Self::Opposed { verb, unit, message },
            _ => Self::Call { verb, unit, message },
        }
    }
}
