//! Waiting for a condition, bounded, with the last thing seen in the error.

use std::time::{Duration, Instant};

use crate::error::ClusterError;

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// Asks `probe` until it answers with a value.
///
/// `Err` of the probe is the state that was seen instead; after `within` the last one is in the error. The pause
/// between two questions grows from 10 to 200 ms.
pub fn wait_until<T>(
    what: &str,
    within: Duration,
    mut probe: impl FnMut() -> Result<T, String>,
) -> Result<T, ClusterError> {
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let last = match probe() {
            Ok(value) => return Ok(value),
            Err(last) => last,
        };
        if started.elapsed() >= within {
            return Err(ClusterError::Deadline { what: what.to_owned(), within, last });
        }
        sleep(pause);
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}

/// The pause of a bounded poll: what another computer's state depends on sends no event here.
#[expect(clippy::disallowed_methods, reason = "the pause between two looks at a condition with a deadline")]
pub(crate) fn sleep(pause: Duration) {
    std::thread::sleep(pause);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_the_value_of_the_first_answer() {
        let mut asked = 0;
        let value = wait_until("third time", Duration::from_secs(5), || {
            asked += 1;
            if asked == 3 { Ok(asked) } else { Err(format!("asked {asked} times")) }
        });
        assert_eq!(value.unwrap(), 3);
    }

    #[test]
    fn gives_up_with_the_last_thing_seen() {
        let error = wait_until::<()>("the impossible", Duration::from_millis(30), || Err("still no".into()));
        let text = error.unwrap_err().to_string();
        assert!(text.contains("the impossible") && text.contains("still no"), "{text}");
    }
}
