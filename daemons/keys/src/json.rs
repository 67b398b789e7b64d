//! Values that are JSON: read with a limit, written in one way.

use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

/// Why a value is no record.
#[derive(Debug, Error)]
pub enum ValueError {
    /// Larger than any record of ours.
    #[error("a value of {size} bytes is too large, {longest} are allowed")]
    TooLong {
        /// Its size.
        size: usize,
        /// The limit.
        longest: usize,
    },
    /// Not the JSON of such a record.
    #[error("not {what}: {source}")]
    Json {
        /// What was expected.
        what: &'static str,
        /// What the parser says.
        source: serde_json::Error,
    },
}

/// A record that is kept in the store as JSON. Unknown fields are passed over, so that an older reader understands a
/// newer writer.
pub trait Record: Serialize + DeserializeOwned {
    /// What it is called in errors: `a unit record`.
    const WHAT: &'static str;
    /// Longest value read, in bytes.
    const LONGEST: usize = 16 * 1024;

    /// Parses the value of a key.
    fn parse(value: &[u8]) -> Result<Self, ValueError> {
        if value.len() > Self::LONGEST {
            return Err(ValueError::TooLong { size: value.len(), longest: Self::LONGEST });
        }
        serde_json::from_slice(value).map_err(|source| ValueError::Json { what: Self::WHAT, source })
    }

    /// The value to write.
    fn to_json(&self) -> Result<Vec<u8>, ValueError> {
        serde_json::to_vec(self).map_err(|source| ValueError::Json { what: Self::WHAT, source })
    }
}
