//! Transactions: operations that happen together, or not at all, if all comparisons hold.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Entry, Revision};

/// Something that has to hold for a transaction to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compare {
    /// The key does not exist.
    Absent {
        /// The key.
        key: String,
    },
    /// The key exists.
    Present {
        /// The key.
        key: String,
    },
    /// The key exists and its last write was made under this lease.
    Lease {
        /// The key.
        key: String,
        /// The lease; 0 holds for a key without one, and for no key at all.
        lease: i64,
    },
    /// The key's last write was at this revision.
    ModRevision {
        /// The key.
        key: String,
        /// The revision.
        revision: Revision,
    },
    /// The key has this value.
    Value {
        /// The key.
        key: String,
        /// The value.
        value: Vec<u8>,
    },
}

/// Something a transaction does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Writes a key, under a lease unless that is 0. Answered by the entry that was there before.
    Put {
        /// The key.
        key: String,
        /// The value.
        value: Vec<u8>,
        /// The lease, or 0.
        lease: i64,
    },
    /// Removes a key. Answered by the entry that was there before.
    Delete {
        /// The key.
        key: String,
    },
    /// Reads a key.
    Get {
        /// The key.
        key: String,
    },
    /// Reads all keys that begin with this text.
    List {
        /// The beginning.
        prefix: String,
    },
}

/// A transaction. etcd takes 128 operations in each branch by default, and every key may be written once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transaction {
    pub(crate) compares: Vec<Compare>,
    pub(crate) then: Vec<Operation>,
    pub(crate) otherwise: Vec<Operation>,
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// True if all comparisons held and the operations were made; otherwise the others were.
    pub succeeded: bool,
    /// The store's revision after it.
    pub revision: Revision,
    /// An answer for each operation of the branch taken, in order.
    pub answers: Vec<Answer>,
}

/// The answer to one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Written. What was there before.
    Put(Option<Entry>),
    /// Removed. What was there before.
    Deleted(Option<Entry>),
    /// What was read, by key.
    Entries(BTreeMap<String, Entry>),
}

impl Transaction {
    /// An empty transaction.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a comparison.
    #[must_use]
    pub fn when(mut self, compare: Compare) -> Self {
        self.compares.push(compare);
        self
    }

    /// Adds an operation for the case that all comparisons hold.
    #[must_use]
    pub fn then(mut self, operation: Operation) -> Self {
        self.then.push(operation);
        self
    }

    /// Adds an operation for the case that one of them does not.
    #[must_use]
    pub fn otherwise(mut self, operation: Operation) -> Self {
        self.otherwise.push(operation);
        self
    }

    /// Adds a write without a lease.
    #[must_use]
    pub fn put(self, key: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.then(Operation::Put { key: key.into(), value: value.into(), lease: 0 })
    }

    /// Adds a write under a lease.
    #[must_use]
    pub fn put_leased(self, key: impl Into<String>, value: impl Into<Vec<u8>>, lease: i64) -> Self {
        self.then(Operation::Put { key: key.into(), value: value.into(), lease })
    }

    /// Adds a removal.
    #[must_use]
    pub fn delete(self, key: impl Into<String>) -> Self {
        self.then(Operation::Delete { key: key.into() })
    }

    /// True if making the transaction a second time, after an answer that got lost, can not be told from making
    /// it once: its comparisons still hold after its own writes, or it writes nothing.
    pub(crate) fn repeatable(&self) -> bool {
        let writes = |operations: &[Operation]| {
            operations
                .iter()
                .filter_map(|operation| match operation {
                    Operation::Put { key, .. } | Operation::Delete { key } => Some(key.clone()),
                    Operation::Get { .. } | Operation::List { .. } => None,
                })
                .collect::<BTreeSet<_>>()
        };
        if !writes(&self.otherwise).is_empty() {
            return false;
        }
        let written = writes(&self.then);
        if written.is_empty() {
            return true;
        }
        // A write without any comparison could undo what somebody else wrote between the two.
        written.iter().all(|key| self.compares.iter().any(|compare| compare.key() == key))
            && self.compares.iter().all(|compare| !written.contains(compare.key()) || self.survives(compare))
    }

    /// True if a comparison on a written key holds after the writes as it did before.
    fn survives(&self, compare: &Compare) -> bool {
        let write = self.then.iter().find(|operation| match operation {
            Operation::Put { key, .. } | Operation::Delete { key } => key == compare.key(),
            Operation::Get { .. } | Operation::List { .. } => false,
        });
        match (compare, write) {
            (Compare::Lease { lease: expected, .. }, Some(Operation::Put { lease, .. })) => expected == lease,
            (Compare::Value { value: expected, .. }, Some(Operation::Put { value, .. })) => expected == value,
            _ => false,
        }
    }

    /// The keys concerned, for errors.
    pub(crate) fn subject(&self) -> String {
        let mut keys = self.then.iter().chain(&self.otherwise).map(|operation| match operation {
            Operation::Put { key, .. } | Operation::Delete { key } | Operation::Get { key } => key.as_str(),
            Operation::List { prefix } => prefix.as_str(),
        });
        let first = keys.next().unwrap_or("nothing");
        match keys.count() {
            0 => first.to_owned(),
            more => format!("{first} and {more} more"),
        }
    }
}

impl Compare {
    fn key(&self) -> &str {
        match self {
            Self::Absent { key }
            | Self::Present { key }
            | Self::Lease { key, .. }
            | Self::ModRevision { key, .. }
            | Self::Value { key, .. } => key,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(key: &str, lease: i64) -> Compare {
        Compare::Lease { key: key.into(), lease }
    }

    #[test]
    fn only_a_transaction_that_comes_to_the_same_twice_is_repeatable() {
        let absent = Compare::Absent { key: "a".into() };
        let read = Operation::Get { key: "a".into() };
        for (name, transaction, repeatable) in [
            ("a read", Transaction::new().then(read.clone()), true),
            ("a bare write", Transaction::new().put("a", "1"), false),
            ("a write under my lease", Transaction::new().when(lease("a", 7)).put_leased("a", "1", 7), true),
            (
                "a write that moves a key to another lease",
                Transaction::new().when(lease("a", 6)).put_leased("a", "1", 7),
                false,
            ),
            ("a creation", Transaction::new().when(absent).put("a", "1"), false),
            ("a removal of my key", Transaction::new().when(lease("a", 7)).delete("a"), false),
            (
                "a write guarded by another key only",
                Transaction::new().when(lease("b", 7)).put("a", "1"),
                false,
            ),
            (
                "one guarded and one bare write",
                Transaction::new().when(lease("a", 7)).put_leased("a", "1", 7).put("b", "1"),
                false,
            ),
            (
                "a write in the other branch",
                Transaction::new().when(lease("a", 7)).otherwise(Operation::Delete { key: "a".into() }),
                false,
            ),
            (
                "a read in the other branch",
                Transaction::new().when(lease("a", 7)).put_leased("a", "1", 7).otherwise(read),
                true,
            ),
        ] {
            assert_eq!(transaction.repeatable(), repeatable, "{name}");
        }
    }

    #[test]
    fn an_error_names_the_first_key_and_how_many_more() {
        assert_eq!(Transaction::new().put("a", "").subject(), "a");
        assert_eq!(Transaction::new().put("a", "").put("b", "").delete("c").subject(), "a and 2 more");
    }
}
