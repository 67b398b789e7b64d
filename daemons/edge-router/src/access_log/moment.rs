//! The time of an entry, formatted once a second.

use jiff::Timestamp;

/// The present second in the formats that logs want.
#[derive(Debug, Default)]
pub(super) struct Moment {
    second: i64,
    combined: String,
    rfc3339: String,
}

impl Moment {
    /// `26/Nov/2026:18:28:43 +0000`
    pub(super) fn combined(&mut self) -> &str {
        self.renew(Timestamp::now());
        &self.combined
    }

    /// `2026-11-26T18:28:43Z`
    pub(super) fn rfc3339(&mut self) -> &str {
        self.renew(Timestamp::now());
        &self.rfc3339
    }

    fn renew(&mut self, now: Timestamp) {
        if self.second != now.as_second() || self.combined.is_empty() {
            self.second = now.as_second();
            self.combined = now.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string();
            self.rfc3339 = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_its_formats() {
        let mut moment = Moment::default();
        moment.renew(Timestamp::from_second(1_795_717_723).unwrap());
        assert_eq!(moment.combined, "26/Nov/2026:18:28:43 +0000");
        assert_eq!(moment.rfc3339, "2026-11-26T18:28:43Z");
    }
}
