//! When a change is due: at once after calm, else after a moment of quiet.

use std::time::{Duration, Instant};

/// Decides when to apply what has changed. It counts no time itself: every call is told what time it is.
///
/// - The first change after calm is due at once.
/// - Changes that follow wait until nothing has come for the quiet time, but at most for the longest wait.
/// - While one application is in flight nothing is due; what came meanwhile is due after it. So no change is
///   ever lost, and there is at most one application at a time.
#[derive(Debug, Clone)]
pub struct Settle {
    quiet: Duration,
    longest: Duration,
    pending: Option<Pending>,
    in_flight: bool,
    /// The last change or the end of the last application.
    active_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    first: Instant,
    last: Instant,
    after_calm: bool,
}

impl Settle {
    /// A longest wait shorter than the quiet time is raised to it.
    pub fn new(quiet: Duration, longest: Duration) -> Self {
        Self { quiet, longest: longest.max(quiet), pending: None, in_flight: false, active_at: None }
    }

    /// Something changed.
    pub fn changed(&mut self, now: Instant) {
        if let Some(pending) = &mut self.pending {
            pending.last = now;
        } else {
            let calm = self.active_at.is_none_or(|at| now.saturating_duration_since(at) >= self.quiet);
            self.pending = Some(Pending { first: now, last: now, after_calm: calm && !self.in_flight });
        }
        self.active_at = Some(now);
    }

    /// When the pending change is due; none while nothing is pending or one application is in flight.
    pub fn due(&self) -> Option<Instant> {
        let pending = self.pending.filter(|_| !self.in_flight)?;
        if pending.after_calm {
            return Some(pending.first);
        }
        Some((pending.last + self.quiet).min(pending.first + self.longest))
    }

    /// An application of everything that is known now has begun.
    pub fn started(&mut self) {
        self.pending = None;
        self.in_flight = true;
    }

    /// It has ended, well or not.
    pub fn finished(&mut self, now: Instant) {
        self.in_flight = false;
        self.active_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const QUIET: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(2);

    /// Runs changes at the given milliseconds against applications that take `each`; returns when they began.
    fn begins(changes: &[u64], each: u64) -> Vec<u64> {
        let zero = Instant::now();
        let at = |ms| zero + Duration::from_millis(ms);
        let mut settle = Settle::new(QUIET, LONGEST);
        let (mut begins, mut busy_until) = (Vec::new(), None::<u64>);
        let end = changes.iter().max().copied().unwrap_or(0) + 10_000;
        for now in 0..end {
            for _ in changes.iter().filter(|&&change| change == now) {
                settle.changed(at(now));
            }
            if busy_until == Some(now) {
                settle.finished(at(now));
                busy_until = None;
            }
            if settle.due().is_some_and(|due| due <= at(now)) {
                assert!(busy_until.is_none(), "two at a time");
                settle.started();
                begins.push(now);
                busy_until = Some(now + each);
            }
        }
        assert!(settle.due().is_none(), "something was left over");
        begins
    }

    #[test]
    fn the_first_change_after_calm_goes_at_once_and_a_burst_is_taken_together() {
        for (name, changes, each, expected) in [
            ("one", vec![500], 40, vec![500]),
            ("two far apart", vec![500, 1500], 40, vec![500, 1500]),
            ("one while applying", vec![500, 520], 40, vec![500, 620]),
            ("one right after", vec![500, 560], 40, vec![500, 660]),
            ("200 in half a second", (0..200).map(|n| 100 + n * 5 / 2).collect(), 50, vec![100, 697]),
            ("slow application", vec![100, 200, 300], 1000, vec![100, 1100]),
        ] {
            assert_eq!(begins(&changes, each), expected, "{name}");
        }
    }

    #[test]
    fn a_stream_without_a_pause_is_applied_every_longest_wait() {
        let changes: Vec<u64> = (0..200).map(|n| n * 50).collect();
        let begins = begins(&changes, 10);
        assert_eq!(begins[0], 0);
        for pair in begins.windows(2) {
            assert!(pair[1] - pair[0] <= 2_060, "{begins:?}");
        }
        assert!(begins.len() <= 7, "{begins:?}");
    }

    proptest! {
        #[test]
        fn every_change_is_applied_after_it_came_and_within_the_bounds(
            mut changes in proptest::collection::vec(0u64..6_000, 1..60),
            each in 1u64..300,
        ) {
            changes.sort_unstable();
            let begins = begins(&changes, each);
            for change in &changes {
                let next = begins.iter().find(|&begin| begin >= change);
                let waited = next.map(|begin| begin - change);
                // The longest wait, and what is left of the application in flight when it began.
                prop_assert!(waited.is_some_and(|waited| waited <= 2_000 + each), "{change}: {begins:?}");
            }
        }
    }
}
