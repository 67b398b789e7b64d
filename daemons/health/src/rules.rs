//! How often to check, and how many results in a row make a state.

use std::time::Duration;

use thiserror::Error;

/// Shortest interval and timeout: below it the checks themselves become the load.
const SHORTEST: Duration = Duration::from_millis(50);
/// Longest interval, timeout and grace.
const LONGEST: Duration = Duration::from_secs(3600);
/// Most results in a row that may be asked for.
const MOST: u32 = 1000;

/// Why rules can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RulesError {
    /// A duration outside its bounds.
    #[error("{what} of {value:?} is outside {least:?} to {most:?}")]
    Duration {
        /// Which of them.
        what: &'static str,
        /// As given.
        value: Duration,
        /// Least allowed.
        least: Duration,
        /// Most allowed.
        most: Duration,
    },
    /// A count outside its bounds.
    #[error("{what} of {value} is outside 1 to {MOST}")]
    Count {
        /// Which of them.
        what: &'static str,
        /// As given.
        value: u32,
    },
}

/// How often to check, and how many results in a row make a state. The words are HAProxy's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    interval: Duration,
    timeout: Duration,
    rise: u32,
    fall: u32,
    grace: Duration,
}

impl Default for Rules {
    /// Every 5 s, 2 s for an answer, two good results to be passing, three bad ones to be failing, and
    /// 60 s for a start during which bad results don't count.
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            rise: 2,
            fall: 3,
            grace: Duration::from_secs(60),
        }
    }
}

impl Rules {
    /// Rules within their bounds.
    ///
    /// `interval` lies between the end of one check and the begin of the next, `timeout` is one check's whole
    /// time, `rise` and `fall` are results in a row, `grace` is the time after the start during which failures
    /// are expected.
    pub fn new(
        interval: Duration,
        timeout: Duration,
        rise: u32,
        fall: u32,
        grace: Duration,
    ) -> Result<Self, RulesError> {
        for (what, value, least) in [
            ("check interval", interval, SHORTEST),
            ("check timeout", timeout, SHORTEST),
            ("start grace", grace, Duration::ZERO),
        ] {
            if value < least || value > LONGEST {
                return Err(RulesError::Duration { what, value, least, most: LONGEST });
            }
        }
        for (what, value) in [("rise", rise), ("fall", fall)] {
            if value == 0 || value > MOST {
                return Err(RulesError::Count { what, value });
            }
        }
        Ok(Self { interval, timeout, rise, fall, grace })
    }

    /// Between two checks while nothing changes.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Between two checks while a decision is pending: a quarter of the interval, at most half a second, so that a
    /// long interval costs little at rest and yet a start or a fault is confirmed soon (HAProxy's `fastinter`).
    pub fn fast_interval(&self) -> Duration {
        (self.interval / 4).clamp(SHORTEST, Duration::from_millis(500)).min(self.interval)
    }

    /// One check's whole time.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Good results in a row that make it passing.
    pub fn rise(&self) -> u32 {
        self.rise
    }

    /// Bad results in a row that make it failing.
    pub fn fall(&self) -> u32 {
        self.fall
    }

    /// Time after the start during which bad results don't count.
    pub fn grace(&self) -> Duration {
        self.grace
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn rules_outside_their_bounds_name_the_value() {
        for (rules, said) in [
            (Rules::new(Duration::ZERO, S, 1, 1, S), "check interval of 0ns is outside 50ms to 3600s"),
            (Rules::new(S, 7200 * S, 1, 1, S), "check timeout of 7200s is outside 50ms to 3600s"),
            (Rules::new(S, S, 0, 1, S), "rise of 0 is outside 1 to 1000"),
            (Rules::new(S, S, 1, 1001, S), "fall of 1001 is outside 1 to 1000"),
            (Rules::new(S, S, 1, 1, 3601 * S), "start grace of 3601s is outside 0ns to 3600s"),
        ] {
            assert_eq!(rules.unwrap_err().to_string(), said);
        }
    }

    #[test]
    fn a_pending_decision_is_checked_faster_but_never_slower() {
        for (interval, fast) in [(60_000, 500), (4000, 500), (1000, 250), (100, 50), (50, 50)] {
            let rules = Rules::new(Duration::from_millis(interval), S, 1, 1, S).unwrap();
            assert_eq!(rules.fast_interval(), Duration::from_millis(fast));
        }
    }
}
