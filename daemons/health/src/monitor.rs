//! The state of one instance, with hysteresis.

use std::time::Duration;

use crate::rules::Rules;

/// What one check said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// As it should be.
    Good,
    /// Refused, too late, or the wrong answer.
    Bad,
}

/// The state of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Health {
    /// No decision yet: neither enough good results, nor bad ones after the grace.
    Starting,
    /// It takes requests.
    Passing,
    /// It must not get requests.
    Failing,
}

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Transition {
    /// Before.
    pub from: Health,
    /// From now on.
    pub to: Health,
}

/// Results in, states out: a state changes only after `rise` or `fall` results in a row say so.
#[derive(Debug, Clone)]
pub struct Monitor {
    rules: Rules,
    health: Health,
    last: Option<Outcome>,
    in_a_row: u32,
}

impl Monitor {
    /// An instance that just started.
    pub fn new(rules: Rules) -> Self {
        Self { rules, health: Health::Starting, last: None, in_a_row: 0 }
    }

    /// The state now.
    pub fn health(&self) -> Health {
        self.health
    }

    /// The rules in force.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// How many results in a row were the same as the last one.
    pub fn in_a_row(&self) -> u32 {
        self.in_a_row
    }

    /// Takes a result. `age` is the time since the instance started; while it is starting, bad results within
    /// the grace are expected and don't count.
    pub fn observe(&mut self, outcome: Outcome, age: Duration) -> Option<Transition> {
        let expected = outcome == Outcome::Bad && self.health == Health::Starting && age < self.rules.grace();
        if expected {
            self.last = None;
            self.in_a_row = 0;
            return None;
        }
        self.in_a_row = if self.last == Some(outcome) { self.in_a_row.saturating_add(1) } else { 1 };
        self.last = Some(outcome);
        let to = match outcome {
            Outcome::Good if self.in_a_row >= self.rules.rise() => Health::Passing,
            Outcome::Bad if self.in_a_row >= self.rules.fall() => Health::Failing,
            Outcome::Good | Outcome::Bad => return None,
        };
        let from = std::mem::replace(&mut self.health, to);
        (from != to).then_some(Transition { from, to })
    }

    /// How long to wait before the next check.
    pub fn next_wait(&self) -> Duration {
        let settled = matches!(
            (self.health, self.last),
            (Health::Passing, Some(Outcome::Good)) | (Health::Failing, Some(Outcome::Bad))
        );
        if settled { self.rules.interval() } else { self.rules.fast_interval() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn monitor(rise: u32, fall: u32, grace: Duration) -> Monitor {
        Monitor::new(Rules::new(5 * S, S, rise, fall, grace).unwrap())
    }

    /// Feeds `+` and `-`, one second apart, and writes the state after each as `s`, `P` or `F`.
    fn story(monitor: &mut Monitor, results: &str) -> String {
        results
            .chars()
            .zip(0u32..)
            .map(|(result, second)| {
                let outcome = if result == '+' { Outcome::Good } else { Outcome::Bad };
                monitor.observe(outcome, S * second);
                match monitor.health() {
                    Health::Starting => 's',
                    Health::Passing => 'P',
                    Health::Failing => 'F',
                }
            })
            .collect()
    }

    #[test]
    fn results_in_a_row_change_the_state_and_single_ones_do_not() {
        for (rise, fall, grace, results, states) in [
            (1, 1, 0, "+-+-", "PFPF"),
            (2, 3, 0, "++--+---++", "sPPPPPPFFP"),
            (2, 3, 0, "+-+-++", "sssssP"),
            (2, 3, 0, "---+-+++", "ssFFFFPP"),
            // Failures are expected during the grace, and don't count towards `fall` after it.
            (2, 2, 4, "-------", "sssssFF"),
            (2, 2, 4, "--++-", "sssPP"),
            // A failure within the grace breaks a row of successes.
            (2, 2, 10, "+-+-+-", "ssssss"),
            // The grace is for the start only.
            (1, 2, 60, "+--", "PPF"),
        ] {
            let mut monitor = monitor(rise, fall, S * grace);
            assert_eq!(
                story(&mut monitor, results),
                states,
                "rise {rise}, fall {fall}, grace {grace}: {results}"
            );
        }
    }

    #[test]
    fn checks_come_fast_until_the_result_agrees_with_the_state() {
        let mut monitor = monitor(2, 2, Duration::ZERO);
        let mut wait_after = |outcome| {
            monitor.observe(outcome, S);
            monitor.next_wait()
        };
        assert_eq!(wait_after(Outcome::Good), S / 2);
        assert_eq!(wait_after(Outcome::Good), 5 * S);
        assert_eq!(wait_after(Outcome::Bad), S / 2);
        assert_eq!(wait_after(Outcome::Good), 5 * S);
        assert_eq!(wait_after(Outcome::Bad), S / 2);
        assert_eq!(wait_after(Outcome::Bad), 5 * S);
    }

    proptest! {
        /// The definition itself, without counters: passing and failing follow from the end of the history.
        #[test]
        fn the_state_is_what_the_last_decisive_row_said(
            results in prop::collection::vec(any::<bool>(), 0..60), rise in 1u32..5, fall in 1u32..5,
        ) {
            let mut monitor = monitor(rise, fall, Duration::ZERO);
            let mut expected = Health::Starting;
            for end in 1..=results.len() {
                let outcome = if results[end - 1] { Outcome::Good } else { Outcome::Bad };
                let row = results[..end].iter().rev().take_while(|&&r| r == results[end - 1]).count();
                let before = expected;
                if results[end - 1] && row >= rise as usize { expected = Health::Passing; }
                if !results[end - 1] && row >= fall as usize { expected = Health::Failing; }
                let told = monitor.observe(outcome, S);
                prop_assert_eq!(monitor.health(), expected);
                let change = (before != expected).then_some(Transition { from: before, to: expected });
                prop_assert_eq!(told, change);
            }
        }
    }
}
