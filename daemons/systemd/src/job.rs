//! How a job ended.

use std::fmt;

/// Result of a job, as the signal `JobRemoved` carries it (org.freedesktop.systemd1(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobResult {
    /// It did what it was for.
    Done,
    /// It was canceled before it ended, for example by an opposite job.
    Canceled,
    /// The unit's timeout passed.
    Timeout,
    /// The unit failed.
    Failed,
    /// A unit that it depends on failed.
    Dependency,
    /// Nothing had to be done, for example by a condition.
    Skipped,
    /// A result that later versions of systemd added.
    Other,
}

impl JobResult {
    pub(crate) fn parse(text: &str) -> Self {
        match text {
            "done" => Self::Done,
            "canceled" => Self::Canceled,
            "timeout" => Self::Timeout,
            "failed" => Self::Failed,
            "dependency" => Self::Dependency,
            "skipped" => Self::Skipped,
            _ => Self::Other,
        }
    }

    /// Whether the unit is now what the job wanted it to be.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Done | Self::Skipped)
    }
}

impl fmt::Display for JobResult {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Done => "done",
            Self::Canceled => "canceled",
            Self::Timeout => "timeout",
            Self::Failed => "failed",
            Self::Dependency => "dependency",
            Self::Skipped => "skipped",
            Self::Other => "other",
        })
    }
}
