//! When a silent watch is asked for a sign of life, and when it is taken for dead.
//!
//! A member that hangs keeps its connections open and says nothing, and so does one that has nothing to tell. etcd
//! sends progress by itself only every ten minutes, so it is asked.

use std::time::Duration;

use tokio::time::Instant;

/// What is due next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Ask for progress.
    Ask,
    /// Give the stream up.
    Dead,
}

/// Counts a stream's silence.
#[derive(Debug, Clone)]
pub(super) struct Silence {
    limit: Duration,
    answer: Duration,
    heard: Instant,
    asked: u32,
}

/// How often it is asked before the stream is given up: newer servers leave a question unanswered while they are
/// still working off old changes.
const QUESTIONS: u32 = 3;

impl Silence {
    pub(super) fn new(limit: Duration, answer: Duration, now: Instant) -> Self {
        Self { limit, answer, heard: now, asked: 0 }
    }

    /// Something came.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.asked = 0;
    }

    /// Somebody else met trouble at this endpoint: ask now.
    pub(super) fn suspect(&mut self, now: Instant) {
        if self.asked == 0 {
            self.heard = self.heard.min(now.checked_sub(self.limit).unwrap_or(now));
        }
    }

    /// A question went out.
    pub(super) fn asked(&mut self) {
        self.asked += 1;
    }

    /// What is due next, and when.
    pub(super) fn due(&self) -> (Instant, Due) {
        let at = self.heard + self.limit + self.answer * self.asked.min(QUESTIONS) / QUESTIONS;
        (at, if self.asked < QUESTIONS { Due::Ask } else { Due::Dead })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_is_asked_three_times_and_dead_after_the_answers_deadline() {
        let start = Instant::now();
        let mut silence = Silence::new(10 * SECOND, 3 * SECOND, start);
        let mut seen = Vec::new();
        loop {
            let (at, due) = silence.due();
            tokio::time::sleep_until(at).await;
            seen.push(((Instant::now() - start).as_secs(), due));
            match due {
                Due::Ask => silence.asked(),
                Due::Dead => break,
            }
        }
        assert_eq!(seen, [(10, Due::Ask), (11, Due::Ask), (12, Due::Ask), (13, Due::Dead)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_suspected_stream_is_asked_at_once() {
        tokio::time::advance(60 * SECOND).await;
        let mut silence = Silence::new(10 * SECOND, 3 * SECOND, Instant::now());
        silence.suspect(Instant::now());
        assert_eq!(silence.due(), (Instant::now(), Due::Ask));
        silence.asked();
        silence.suspect(Instant::now());
        assert_eq!(silence.due(), (Instant::now() + SECOND, Due::Ask), "a question is under way already");
    }

    #[tokio::test(start_paused = true)]
    async fn any_sign_of_life_starts_the_count_anew() {
        let mut silence = Silence::new(10 * SECOND, 3 * SECOND, Instant::now());
        tokio::time::advance(12 * SECOND).await;
        silence.asked();
        silence.asked();
        silence.heard(Instant::now());
        assert_eq!(silence.due(), (Instant::now() + 10 * SECOND, Due::Ask));
    }
}
