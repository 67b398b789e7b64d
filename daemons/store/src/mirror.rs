//! The state a feed describes, kept in memory.

use std::collections::{BTreeMap, btree_map};

use crate::{Change, Entry, FeedEvent, Revision};

/// Entries by key, as of a revision. Holds the last known state while the store is away.
#[derive(Debug, Clone, Default)]
pub struct Mirror {
    entries: BTreeMap<String, Entry>,
    revision: Revision,
    listed: bool,
    stale: bool,
}

impl Mirror {
    /// An empty mirror that has seen nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in one event. True if an entry came, went or changed.
    pub fn apply(&mut self, event: &FeedEvent) -> bool {
        match event {
            FeedEvent::Listed(snapshot) => {
                let changed = self.entries != snapshot.entries;
                if changed {
                    self.entries.clone_from(&snapshot.entries);
                }
                // A listing is the truth even where it is older: the store may have been restored from a copy.
                self.revision = snapshot.revision;
                self.listed = true;
                self.stale = false;
                changed
            }
            FeedEvent::Changed { revision, changes } => {
                let mut changed = false;
                for change in changes {
                    changed |= self.change(change);
                }
                self.revision = self.revision.max(*revision);
                changed
            }
            FeedEvent::Stale { .. } => {
                self.stale = true;
                false
            }
            FeedEvent::Current { revision } => {
                self.revision = self.revision.max(*revision);
                self.stale = false;
                false
            }
        }
    }

    fn change(&mut self, change: &Change) -> bool {
        match change {
            Change::Put(entry) => {
                if self.entries.get(&entry.key) == Some(entry) {
                    return false;
                }
                self.entries.insert(entry.key.clone(), entry.clone());
                true
            }
            Change::Delete { key, .. } => self.entries.remove(key).is_some(),
        }
    }

    /// The entry of a key.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// All entries in the order of their keys.
    pub fn iter(&self) -> btree_map::Iter<'_, String, Entry> {
        self.entries.iter()
    }

    /// The entries whose key begins with `prefix`, in order.
    pub fn range<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a String, &'a Entry)> {
        self.entries.range(prefix.to_owned()..).take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if there is no entry. Says nothing about the store before [`Mirror::has_listed`].
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The revision up to which the store's changes are in.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// True while the connection is lost: the state is the last known one.
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// True once the whole state was read. Before that, an empty mirror means nothing.
    pub fn has_listed(&self) -> bool {
        self.listed
    }
}

impl<'a> IntoIterator for &'a Mirror {
    type Item = (&'a String, &'a Entry);
    type IntoIter = btree_map::Iter<'a, String, Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
