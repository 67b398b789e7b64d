//! When a lease is kept alive, and when it has to be taken for lost: arithmetic on times.

use std::time::Duration;

use tokio::time::Instant;

/// A lease's times.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    ttl: Duration,
    margin: Duration,
    /// When the last request went out that was answered. The server counts from its arrival, which is later.
    good: Instant,
    beat: Instant,
}

impl Schedule {
    /// A lease was granted. `jitter` lies between -1 and 1.
    pub(crate) fn granted(
        ttl: Duration,
        margin: Option<Duration>,
        sent: Instant,
        now: Instant,
        jitter: f64,
    ) -> Self {
        let tenth = (ttl / 10).clamp(Duration::from_millis(500), Duration::from_secs(5));
        let margin = margin.unwrap_or(tenth).min(ttl / 2);
        let mut schedule = Self { ttl, margin, good: sent, beat: now };
        schedule.answered(sent, now, jitter);
        schedule
    }

    /// A keep-alive was answered: the next is due a third of the time to live after it was sent, give or take a tenth
    /// of that, so that a thousand owners that started together don't beat together. A store that is slow to answer
    /// does not delay the next one.
    pub(crate) fn answered(&mut self, sent: Instant, now: Instant, jitter: f64) {
        self.good = sent;
        self.beat = now.max(sent + (self.ttl / 3).mul_f64(1.0 + 0.1 * jitter.clamp(-1.0, 1.0)));
    }

    /// A keep-alive failed: the next try is due after `wait`.
    pub(crate) fn failed(&mut self, now: Instant, wait: Duration) {
        self.beat = now + wait;
    }

    /// The time to live that was granted.
    pub(super) fn ttl(&self) -> Duration {
        self.ttl
    }

    /// How long before its end the lease has to be taken for lost.
    pub(super) fn margin(&self) -> Duration {
        self.margin
    }

    /// When the next keep-alive is due.
    pub(crate) fn beat(&self) -> Instant {
        self.beat
    }

    /// From when on the lease has to be taken for lost, whatever anybody says.
    pub(crate) fn deadline(&self) -> Instant {
        self.good + self.ttl.saturating_sub(self.margin)
    }

    /// The longest wait between tries that still leaves several of them before the deadline.
    pub(crate) fn longest_wait(&self) -> Duration {
        (self.ttl / 10).clamp(Duration::from_millis(200), Duration::from_secs(2))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_lease_of_thirty_seconds_beats_after_ten_and_is_lost_after_twenty_seven() {
        let start = Instant::now();
        let mut schedule = Schedule::granted(30 * SECOND, None, start, start, 0.0);
        assert_eq!(schedule.beat(), start + 10 * SECOND);
        assert_eq!(schedule.deadline(), start + 27 * SECOND);

        tokio::time::sleep_until(schedule.beat()).await;
        let sent = Instant::now();
        tokio::time::advance(2 * SECOND).await;
        schedule.answered(sent, Instant::now(), 0.0);
        assert_eq!(schedule.beat(), start + 20 * SECOND, "a third after the request");
        assert_eq!(schedule.deadline(), start + 37 * SECOND, "counted from the request, not from the answer");
    }

    #[tokio::test(start_paused = true)]
    async fn failures_bring_the_next_try_forward_and_leave_the_deadline_where_it_is() {
        let start = Instant::now();
        let mut schedule = Schedule::granted(30 * SECOND, None, start, start, 0.0);
        tokio::time::sleep_until(schedule.beat()).await;
        schedule.failed(Instant::now(), SECOND);
        assert_eq!(schedule.beat(), start + 11 * SECOND);
        assert_eq!(schedule.deadline(), start + 27 * SECOND);
    }

    proptest! {
        #[test]
        fn there_is_time_for_two_beats_before_the_deadline(
            ttl in 2u64..86_400, margin in proptest::option::of(0u64..100_000), jitter in -1.0f64..1.0,
        ) {
            let start = Instant::now();
            let ttl = Duration::from_secs(ttl);
            let schedule = Schedule::granted(ttl, margin.map(Duration::from_secs), start, start, jitter);
            prop_assert!(schedule.beat() > start);
            prop_assert!(schedule.beat() - start <= (ttl / 3).mul_f64(1.1001));
            prop_assert!(schedule.beat() < schedule.deadline());
            prop_assert!(schedule.deadline() <= start + ttl);
            prop_assert!(schedule.longest_wait() < ttl / 3);
        }
    }
}
