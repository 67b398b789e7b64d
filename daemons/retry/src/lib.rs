//! Retry as a value: how long to wait before trying again.
//!
//! One type serves every feed of Convoy (store, bus, container engine): exponential growth between two bounds,
//! with jitter so that a hundred machines that lost the same peer don't come back in the same instant.

use std::time::Duration;

/// An exponential backoff: doubles from a shortest to a longest wait, each shortened by up to a fifth at random.
#[derive(Debug, Clone)]
pub struct Backoff {
    shortest: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    /// A backoff between the two bounds. A shortest wait of zero is raised to a millisecond, so that no
    /// loop can spin; a longest below the shortest is raised to it.
    pub fn new(shortest: Duration, longest: Duration) -> Self {
        let shortest = shortest.max(Duration::from_millis(1));
        Self { shortest, longest: longest.max(shortest), failures: 0 }
    }

    /// The wait before the next try. Each call counts as one more failure.
    #[allow(clippy::should_implement_trait)] // it never ends, and reads as what it is at the place of use
    pub fn next(&mut self) -> Duration {
        let doubled =
            self.shortest.saturating_mul(1u32.checked_shl(self.failures.min(30)).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        let full = doubled.min(self.longest);
        full.mul_f64(1.0 - 0.2 * fastrand::f64()).max(self.shortest.mul_f64(0.8))
    }

    /// To be called after a success: the next wait is the shortest again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// How often [`Backoff::next`] was called since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_start_over_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let waits: Vec<_> = (0..10).map(|_| backoff.next()).collect();
        assert!(waits[0] <= Duration::from_millis(100));
        assert!(waits[9] >= Duration::from_secs(4) && waits[9] <= Duration::from_secs(5));
        backoff.reset();
        assert!(backoff.next() <= Duration::from_millis(100));
    }

    proptest! {
        #[test]
        fn every_wait_lies_within_the_bounds(shortest in 0u64..10_000, longest in 0u64..100_000, tries in 0usize..200) {
            let mut backoff = Backoff::new(Duration::from_millis(shortest), Duration::from_millis(longest));
            let floor = Duration::from_millis(shortest.max(1)).mul_f64(0.79);
            let ceiling = Duration::from_millis(longest.max(shortest).max(1));
            for _ in 0..tries {
                let wait = backoff.next();
                prop_assert!(wait >= floor && wait <= ceiling, "{wait:?}");
            }
        }
    }
}
