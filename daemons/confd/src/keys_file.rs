//! Keys from a JSON file, for runs without etcd.

use convoy_go_template::Text;
use thiserror::Error;

use crate::json::{Json, JsonError};
use crate::snapshot::Snapshot;

/// The file can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeysError {
    /// It is no JSON.
    #[error("line {line}: {source}; correct the file, an object of key to value is expected")]
    Json {
        /// The line of the error.
        line: usize,
        /// What is wrong there.
        source: JsonError,
    },
    /// It is something else than an object.
    #[error("the file holds a JSON {kind}; an object of key to value is expected")]
    NoObject {
        /// What it holds.
        kind: &'static str,
    },
}

/// The keys of a flat object. Values that are no strings become the text that one would have put into etcd: a
/// number as it is written, a list or an object as JSON, null as nothing.
pub fn read_keys(text: &[u8], prefix: &str) -> Result<Snapshot, KeysError> {
    let json = Json::parse(text).map_err(|source| {
        let before = text.get(..source.offset).unwrap_or_default();
        KeysError::Json { line: before.split(|byte| *byte == b'\n').count(), source }
    })?;
    let Json::Object(entries) = json else { return Err(KeysError::NoObject { kind: json.kind() }) };
    let pairs = entries.into_iter().map(|(key, value)| {
        let value = match value {
            Json::String(text) => text,
            Json::Null => String::new(),
            other => other.to_string(),
        };
        (Text::from(key), Text::from(value))
    });
    Ok(Snapshot::new(pairs, prefix))
}
