//! When a certificate is renewed.

use sha2::{Digest, Sha256};

/// What the authority suggests (RFC 9773): any moment between the two, in Unix time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) start: i64,
    pub(crate) end: i64,
}

/// The moment of renewal, in Unix time: within the authority's window, or after two thirds of the lifetime, give or take a
/// thirtieth; never in the last tenth. `seed` scatters certificates of the same day; it is made of the certificate, so that every edge and every
/// leader comes to the same moment.
pub(crate) fn renew_at(not_before: i64, not_after: i64, window: Option<Window>, seed: u64) -> i64 {
    let lifetime = not_after.saturating_sub(not_before).max(0);
    let (middle, spread) = (not_before.saturating_add(lifetime / 3 * 2), lifetime / 30);
    let window =
        window.unwrap_or(Window { start: middle.saturating_sub(spread), end: middle.saturating_add(spread) });
    // Whatever is suggested, the last tenth is for the case that the first try fails.
    let latest = not_after.saturating_sub(lifetime / 10);
    let (start, end) = (window.start.min(latest), window.end.min(latest));
    let width = u64::try_from(end.saturating_sub(start)).unwrap_or(0);
    let offset = seed.checked_rem(width.saturating_add(1)).unwrap_or(0);
    start.saturating_add(i64::try_from(offset).unwrap_or(0))
}

/// Scatters by what the bytes are.
pub(crate) fn seed(bytes: &[u8]) -> u64 {
    let digest = Sha256::digest(bytes);
    digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 86400;

    #[test]
    fn a_certificate_for_ninety_days_is_renewed_after_sixty() {
        let moments: Vec<_> = (0..100u8).map(|n| renew_at(0, 90 * DAY, None, seed(&[n]))).collect();
        assert!(moments.iter().all(|moment| (57 * DAY..=63 * DAY).contains(moment)), "{moments:?}");
        let (first, last) = (moments.iter().min().unwrap(), moments.iter().max().unwrap());
        assert!(last - first > 4 * DAY, "they are scattered");
    }

    #[test]
    fn the_authority_s_window_wins_and_may_say_now() {
        let window = |start, end| Some(Window { start, end });
        for (window, earliest, latest) in [
            (window(10 * DAY, 11 * DAY), 10 * DAY, 11 * DAY),
            (window(-5 * DAY, -4 * DAY), -5 * DAY, -4 * DAY),
            (window(70 * DAY, 200 * DAY), 70 * DAY, 81 * DAY),
            (window(100 * DAY, 200 * DAY), 81 * DAY, 81 * DAY),
            (window(11 * DAY, 10 * DAY), 11 * DAY, 11 * DAY),
        ] {
            let moment = renew_at(0, 90 * DAY, window, 12345);
            assert!((earliest..=latest).contains(&moment), "{window:?}: {moment}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_certificate_says_the_moment_lies_before_its_end(
            not_before in any::<i64>(), lifetime in 0..i64::MAX, seed in any::<u64>(),
            start in any::<i64>(), end in any::<i64>(), has_window in any::<bool>(),
        ) {
            let not_after = not_before.saturating_add(lifetime);
            let window = has_window.then_some(Window { start, end });
            let moment = renew_at(not_before, not_after, window, seed);
            prop_assert!(moment <= not_after);
            prop_assert!(has_window || moment >= not_before);
        }
    }
}
