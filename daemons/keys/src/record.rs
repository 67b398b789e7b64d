//! The JSON record that stands beside each upstream key.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest record read: a real one has about 400 bytes.
const LONGEST: usize = 16 * 1024;

/// Why a value is no instance record.
#[derive(Debug, Error)]
pub enum RecordError {
    /// Larger than any record of ours.
    #[error("an instance record of {0} bytes is too large, {LONGEST} are allowed")]
    TooLong(usize),
    /// Not the JSON of a record.
    #[error("not an instance record: {0}")]
    Json(#[from] serde_json::Error),
}

/// What an instance is doing, as its registrar sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InstanceState {
    /// It runs, but no check has passed yet.
    Starting,
    /// It takes requests.
    Passing,
    /// Its checks fail; its upstream key is withdrawn.
    Failing,
    /// It is about to stop: no new requests, those under way finish.
    Draining,
}

impl InstanceState {
    /// The state's name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Passing => "passing",
            Self::Failing => "failing",
            Self::Draining => "draining",
        }
    }
}

/// Value of `/convoy/instances/<app>/<instance>`, under the same lease as the upstream key.
///
/// Unknown fields are kept out of the way, so that an older reader understands a newer writer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceRecord {
    /// What it is doing.
    pub state: InstanceState,
    /// Share of requests relative to its peers; 100 is ordinary.
    #[serde(default = "ordinary_weight")]
    pub weight: u16,
    /// `/etc/machine-id` of the machine that it runs on.
    pub machine_id: String,
    /// The app's unit, for example `someapp@1.service`.
    pub unit: String,
    /// The app unit's or registrar's systemd invocation, to tell one start from the next.
    #[serde(default)]
    pub invocation_id: String,
    /// The engine's container id, when there is a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
    /// Seconds since the epoch at which this state began.
    pub since: u64,
}

fn ordinary_weight() -> u16 {
    100
}

impl InstanceRecord {
    /// Parses the value of a key.
    pub fn parse(value: &[u8]) -> Result<Self, RecordError> {
        if value.len() > LONGEST {
            return Err(RecordError::TooLong(value.len()));
        }
        Ok(serde_json::from_slice(value)?)
    }

    /// The value to write.
    pub fn to_json(&self) -> Result<Vec<u8>, RecordError> {
        Ok(serde_json::to_vec(self)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> InstanceRecord {
        InstanceRecord {
            state: InstanceState::Passing,
            weight: 100,
            machine_id: "4f2d".into(),
            unit: "someapp@1.service".into(),
            invocation_id: "abc".into(),
            container_id: None,
            since: 1_700_000_000,
        }
    }

    #[test]
    fn a_record_reads_back_what_it_wrote() {
        let json = record().to_json().unwrap();
        assert_eq!(
            String::from_utf8(json.clone()).unwrap(),
            r#"{"state":"passing","weight":100,"machine_id":"4f2d","unit":"someapp@1.service","invocation_id":"abc","since":1700000000}"#
        );
        assert_eq!(InstanceRecord::parse(&json).unwrap(), record());
    }

    #[test]
    fn a_newer_writer_is_understood_and_nonsense_is_refused() {
        let newer = br#"{"state":"draining","machine_id":"m","unit":"u","since":1,"zone":"eu"}"#;
        let parsed = InstanceRecord::parse(newer).unwrap();
        assert_eq!((parsed.state, parsed.weight), (InstanceState::Draining, 100));
        let long = " ".repeat(20_000);
        for value in [&b""[..], b"10.0.0.1:80", b"{}", br#"{"state":"dancing"}"#, long.as_bytes()] {
            assert!(InstanceRecord::parse(value).is_err());
        }
    }
}
