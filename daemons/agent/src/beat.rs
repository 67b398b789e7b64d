//! Signs of life, on their way from the agent to the units that live as long as the lease. Pure but for the clock.

use std::time::Duration;

use convoy_store::Answered;
use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// When a keep-alive that was answered was sent, and for how long that holds. Times are those of `CLOCK_MONOTONIC`,
/// which all processes of a machine share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// When it was sent, in microseconds.
    pub sent: u64,
    /// How long after that the owner takes its keys for lost, in microseconds. Nobody else does so before.
    pub holds: u64,
}

/// Now, in microseconds.
pub fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    seconds * 1_000_000 + u64::try_from(now.tv_nsec).unwrap_or_default() / 1000
}

impl Beat {
    /// The beat of an answer.
    pub fn of(answered: &Answered) -> Self {
        // In this order: whatever time passes between the two makes the beat older, never younger.
        let now = monotonic();
        let age = Instant::now().saturating_duration_since(answered.sent);
        Self {
            sent: now.saturating_sub(micros(age)),
            holds: micros(answered.ttl.saturating_sub(answered.margin)),
        }
    }

    /// The line that carries it.
    pub fn line(&self) -> String {
        format!("{} {}\n", self.sent, self.holds)
    }

    /// Reads the line.
    pub fn parse(line: &str) -> Option<Self> {
        let (sent, holds) = line.trim_end().split_once(' ')?;
        Some(Self { sent: sent.parse().ok()?, holds: holds.parse().ok()? })
    }

    /// How much longer it holds, with some grace; none if it is over, or from the future.
    pub fn left(&self, now: u64, grace: Duration) -> Option<Duration> {
        if self.sent > now {
            return None;
        }
        let end = self.sent.checked_add(self.holds)?.checked_add(micros(grace))?;
        end.checked_sub(now).filter(|left| *left > 0).map(Duration::from_micros)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_holds_from_when_it_was_sent() {
        let beat = Beat { sent: 1_000_000, holds: 4_500_000 };
        assert_eq!(Beat::parse(&beat.line()), Some(beat));
        for (now, grace, left) in [
            (1_000_000, 0, Some(4_500)),
            (2_000_000, 0, Some(3_500)),
            (5_499_000, 0, Some(1)),
            (5_500_000, 0, None),
            (5_500_000, 60, Some(60_000)),
            (999_999, 0, None),
        ] {
            let grace = Duration::from_secs(grace);
            assert_eq!(beat.left(now, grace), left.map(Duration::from_millis), "at {now}");
        }
        assert_eq!(Beat { sent: 1, holds: u64::MAX }.left(2, Duration::ZERO), None, "too large is no time");
    }

    #[test]
    fn other_lines_are_none() {
        for line in ["", "1", "1 x", "-1 2", "1 2 3", "18446744073709551616 1"] {
            assert_eq!(Beat::parse(line), None, "{line:?}");
        }
    }

    #[test]
    fn an_answer_becomes_a_beat_no_younger_than_it_is() {
        let answered = Answered {
            lease: 1,
            sent: Instant::now(),
            ttl: Duration::from_secs(5),
            margin: Duration::from_millis(500),
        };
        let beat = Beat::of(&answered);
        assert!(beat.sent <= monotonic());
        assert_eq!(beat.holds, 4_500_000);
    }
}
