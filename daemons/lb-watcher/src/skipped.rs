//! Says once about each key that it is left out.

use std::collections::BTreeMap;

use convoy_service::message;

/// The keys that are left out now, with the reason that was logged.
#[derive(Debug, Default)]
pub(crate) struct SkippedLog(BTreeMap<String, String>);

impl SkippedLog {
    /// Takes the keys that are left out now, with the reason; logs those that are new or have another reason, and gives
    /// their number.
    pub(crate) fn update(&mut self, skipped: impl IntoIterator<Item = (String, String)>) -> u64 {
        let now: BTreeMap<String, String> = skipped.into_iter().collect();
        let mut news = 0u64;
        for (key, reason) in now.iter().filter(|&(key, reason)| self.0.get(key) != Some(reason)) {
            news += 1;
            tracing::warn!(
                MESSAGE_ID = message::VALUE_SKIPPED,
                key = %printable(key),
                error = %printable(reason),
                "a value in the store is unusable and is left out: {}",
                printable(key)
            );
        }
        self.0 = now;
        news
    }

    /// The keys that are left out now, with the reason.
    pub(crate) fn now(&self) -> Vec<(String, String)> {
        self.0.iter().map(|(key, reason)| (key.clone(), reason.clone())).collect()
    }
}

/// A key from outside, without what could confuse a terminal.
fn printable(text: &str) -> String {
    text.chars().take(300).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_news_when_it_or_its_reason_is_new() {
        let entry = |key: &str, reason: &str| (key.to_owned(), reason.to_owned());
        let mut log = SkippedLog::default();
        assert_eq!(log.update([entry("a", "no text")]), 1);
        assert_eq!(log.update([entry("a", "no text")]), 0);
        assert_eq!(log.update([entry("a", "itself"), entry("b", "no text")]), 2);
        assert_eq!(log.update([]), 0);
        assert_eq!(log.update([entry("a", "no text")]), 1);
    }

    #[test]
    fn control_characters_of_a_key_stay_out_of_the_log() {
        assert_eq!(printable("a\u{1b}[31mb\n"), "a\u{fffd}[31mb\u{fffd}");
    }
}
