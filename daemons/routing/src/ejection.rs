//! Passive ejection: a target that refused connections is left out for a while.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// How long a target is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EjectionPolicy {
    /// After the first failure; doubles with each further one.
    pub shortest: Duration,
    /// At most.
    pub longest: Duration,
}

impl Default for EjectionPolicy {
    fn default() -> Self {
        Self { shortest: Duration::from_millis(200), longest: Duration::from_secs(10) }
    }
}

/// A failed try that took long is not repeated before this many times its duration has passed.
const COST_FACTOR: u32 = 4;

/// The failures of one target, shared by all threads. Times are milliseconds of any clock that only goes forward.
///
/// It advises and never forbids: who finds all targets ejected uses one of them all the same (fail open).
#[derive(Debug, Default)]
pub struct Ejection {
    failures: AtomicU32,
    until: AtomicU64,
}

impl Ejection {
    /// Whether the target is left out at this moment.
    pub fn is_out(&self, now: u64) -> bool {
        self.failures.load(Ordering::Relaxed) != 0 && now < self.until.load(Ordering::Relaxed)
    }

    /// To be called before a try. When the target comes back from an ejection, the others keep off for `probe`,
    /// so that one request finds out and not all of them.
    pub fn begin(&self, now: u64, probe: Duration) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.until.store(now.saturating_add(millis(probe)), Ordering::Relaxed);
        }
    }

    /// The target can't be connected to; the try took this long. Tells whether this ejects it anew.
    pub fn failed(&self, now: u64, took: Duration, policy: &EjectionPolicy) -> bool {
        let before = self.failures.fetch_add(1, Ordering::Relaxed);
        let doubled = policy.shortest.saturating_mul(1u32.checked_shl(before.min(30)).unwrap_or(u32::MAX));
        let wait = doubled.min(policy.longest).max(took.saturating_mul(COST_FACTOR));
        self.until.store(now.saturating_add(millis(wait)), Ordering::Relaxed);
        before == 0
    }

    /// The target answered: it is back for good.
    pub fn succeeded(&self) {
        // One plain load in the ordinary case: the line stays shared between the processors.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// Failures since the last success.
    pub fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: EjectionPolicy =
        EjectionPolicy { shortest: Duration::from_millis(200), longest: Duration::from_secs(10) };
    const QUICK: Duration = Duration::from_millis(1);

    #[test]
    fn each_failure_doubles_the_time_out_up_to_the_longest() {
        let ejection = Ejection::default();
        assert!(!ejection.is_out(0));
        for wait in [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000] {
            ejection.failed(1000, QUICK, &POLICY);
            assert!(ejection.is_out(1000 + wait - 1), "{wait}");
            assert!(!ejection.is_out(1000 + wait), "{wait}");
        }
    }

    #[test]
    fn a_target_that_costs_long_waits_is_tried_less_often() {
        let ejection = Ejection::default();
        assert!(ejection.failed(0, Duration::from_secs(2), &POLICY));
        assert!(ejection.is_out(7_999));
        assert!(!ejection.is_out(8_000));
    }

    #[test]
    fn one_request_probes_and_a_success_ends_it() {
        let ejection = Ejection::default();
        assert!(ejection.failed(0, QUICK, &POLICY), "the first failure ejects");
        assert!(!ejection.failed(0, QUICK, &POLICY), "a further one prolongs");
        assert!(!ejection.is_out(400));
        ejection.begin(400, Duration::from_secs(2));
        assert!(ejection.is_out(401), "others keep off while one probes");
        ejection.succeeded();
        assert!(!ejection.is_out(401));
        assert_eq!(ejection.failures(), 0);
    }

    #[test]
    fn beginning_on_a_sound_target_changes_nothing() {
        let ejection = Ejection::default();
        ejection.begin(0, Duration::from_secs(2));
        assert!(!ejection.is_out(1));
    }
}
