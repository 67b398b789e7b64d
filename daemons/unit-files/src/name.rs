//! Unit names, by fleet's and systemd's rules.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a text is no unit name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{name:?} is not a unit name: {reason}")]
pub struct UnitNameError {
    /// The text.
    pub name: String,
    /// What is wrong, and what to do.
    pub reason: String,
}

/// The types of units, by suffix (systemd.unit(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the suffixes")]
pub enum UnitType {
    Service,
    Socket,
    Timer,
    Path,
    Device,
    Mount,
    Automount,
    Swap,
    Target,
    Slice,
    Scope,
    Snapshot,
    Busname,
}

/// The name of a unit with its type: `someapp@1.service`. At most 255 bytes; safe as a file name and in a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnitName(Box<str>);

impl UnitName {
    /// Parses a full name; the suffix has to be there.
    pub fn parse(name: &str) -> Result<Self, UnitNameError> {
        Ok(Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for UnitName {
    type Err = UnitNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<String> for UnitName {
    type Error = UnitNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<UnitName> for String {
    fn from(name: UnitName) -> Self {
        name.0.into()
    }
}
