//! The clock, as the rules see it.

use std::time::Duration;

/// A moment. Rules count with the monotonic clock; what people and records are told is in seconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Now {
    /// Time since some fixed moment of this process.
    pub monotonic: Duration,
    /// Seconds since the epoch.
    pub unix: u64,
}

/// When to look again: the earliest of all moments at which a rule may come out differently without any news.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Alarm(Option<Duration>);

impl Alarm {
    /// Something changes at this moment of the monotonic clock.
    pub(crate) fn at(&mut self, moment: Duration) {
        self.0 = Some(self.0.map_or(moment, |earlier| earlier.min(moment)));
    }

    /// The earliest of them.
    pub(crate) fn earliest(self) -> Option<Duration> {
        self.0
    }
}
