//! What the store holds: entries, snapshots of them, and changes.

use std::{collections::BTreeMap, fmt};

/// A point in the store's history. Every transaction that writes makes the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(i64);

impl Revision {
    /// Wraps a number that came from the store.
    pub fn new(number: i64) -> Self {
        Self(number)
    }

    /// The number itself.
    pub fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One key with its value, as read at some revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key. Keys that are no UTF-8 never come out of this crate.
    pub key: String,
    /// The value: bytes from outside, to be parsed before use.
    pub value: Vec<u8>,
    /// When the key came into being, after its last deletion.
    pub create_revision: Revision,
    /// When the key was last written.
    pub mod_revision: Revision,
    /// Number of writes since the key came into being, beginning at 1.
    pub version: i64,
    /// The lease the last write was made under; 0 is none.
    pub lease: i64,
}

/// The whole state under one or several prefixes at one revision.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// The revision of the read: everything up to it is in, nothing after it.
    pub revision: Revision,
    /// The entries by key.
    pub entries: BTreeMap<String, Entry>,
}

/// One change to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The key was written.
    Put(Entry),
    /// The key went: deleted, or its lease was revoked or ran out.
    Delete {
        /// The key that went.
        key: String,
        /// The revision at which it went.
        mod_revision: Revision,
    },
}

impl Change {
    /// The key concerned.
    pub fn key(&self) -> &str {
        match self {
            Self::Put(entry) => &entry.key,
            Self::Delete { key, .. } => key,
        }
    }

    /// The revision at which it happened.
    pub fn mod_revision(&self) -> Revision {
        match self {
            Self::Put(entry) => entry.mod_revision,
            Self::Delete { mod_revision, .. } => *mod_revision,
        }
    }
}
