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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Snapshot;

    /// What happens to the store, and what a feed makes of it.
    #[derive(Debug, Clone)]
    enum Act {
        Put(u8, u8),
        Delete(u8),
        /// The feed tells what happened since it told last.
        Tell,
        /// The feed lists.
        List,
        Stale,
        Current,
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            4 => (0u8..6, any::<u8>()).prop_map(|(key, value)| Act::Put(key, value)),
            2 => (0u8..6).prop_map(Act::Delete),
            3 => Just(Act::Tell),
            1 => Just(Act::List),
            1 => Just(Act::Stale),
            1 => Just(Act::Current),
        ]
    }

    #[derive(Default)]
    struct Model {
        entries: BTreeMap<String, Entry>,
        revision: i64,
        untold: Vec<Change>,
    }

    impl Model {
        fn put(&mut self, key: u8, value: u8) {
            self.revision += 1;
            let revision = Revision::new(self.revision);
            let key = format!("/{key}");
            let before = self.entries.get(&key);
            let entry = Entry {
                key: key.clone(),
                value: vec![value],
                create_revision: before.map_or(revision, |entry| entry.create_revision),
                mod_revision: revision,
                version: before.map_or(1, |entry| entry.version + 1),
                lease: 0,
            };
            self.entries.insert(key, entry.clone());
            self.untold.push(Change::Put(entry));
        }

        fn delete(&mut self, key: u8) {
            let key = format!("/{key}");
            if self.entries.remove(&key).is_some() {
                self.revision += 1;
                self.untold.push(Change::Delete { key, mod_revision: Revision::new(self.revision) });
            }
        }

        fn snapshot(&mut self) -> FeedEvent {
            self.untold.clear();
            let revision = Revision::new(self.revision);
            FeedEvent::Listed(Snapshot { revision, entries: self.entries.clone() })
        }
    }

    proptest! {
        #[test]
        fn after_each_event_the_mirror_is_the_store_as_told(acts in proptest::collection::vec(act(), 0..80)) {
            let (mut model, mut mirror) = (Model::default(), Mirror::new());
            mirror.apply(&model.snapshot());
            for act in acts {
                let before = mirror.clone();
                let (event, told) = match act {
                    Act::Put(key, value) => { model.put(key, value); continue }
                    Act::Delete(key) => { model.delete(key); continue }
                    Act::Tell => {
                        let changes = std::mem::take(&mut model.untold);
                        (FeedEvent::Changed { revision: Revision::new(model.revision), changes }, true)
                    }
                    Act::List => (model.snapshot(), true),
                    Act::Stale => (FeedEvent::Stale { error: "away".into() }, false),
                    Act::Current => (FeedEvent::Current { revision: mirror.revision() }, false),
                };
                let changed = mirror.apply(&event);
                let expected = if told { &model.entries } else { &before.entries };
                prop_assert_eq!(&mirror.entries, expected);
                // A key that came and went again within one event counts as a change.
                prop_assert!(changed || before.entries == mirror.entries);
                prop_assert_eq!(mirror.is_stale(), match event {
                    FeedEvent::Stale { .. } => true,
                    FeedEvent::Changed { .. } => before.is_stale(),
                    FeedEvent::Listed(_) | FeedEvent::Current { .. } => false,
                });
                for (key, entry) in &mirror {
                    prop_assert_eq!(mirror.get(key), Some(entry));
                }
            }
        }
    }

    #[test]
    fn the_same_listing_again_is_no_change() {
        let mut model = Model::default();
        model.put(1, 1);
        let mut mirror = Mirror::new();
        assert!(!mirror.has_listed());
        assert!(mirror.apply(&model.snapshot()));
        assert!(mirror.has_listed());
        assert!(!mirror.apply(&model.snapshot()));
    }

    #[test]
    fn a_range_holds_the_keys_below_its_prefix_and_no_siblings() {
        let mut mirror = Mirror::new();
        let entries = ["/a", "/a/", "/a/1", "/a/2", "/a0", "/b"].map(|key| {
            let entry = Entry {
                key: key.to_owned(),
                value: Vec::new(),
                create_revision: Revision::new(1),
                mod_revision: Revision::new(1),
                version: 1,
                lease: 0,
            };
            (key.to_owned(), entry)
        });
        mirror.apply(&FeedEvent::Listed(Snapshot { revision: Revision::new(1), entries: entries.into() }));
        assert_eq!(
            mirror.range("/a/").map(|(key, _)| key.as_str()).collect::<Vec<_>>(),
            ["/a/", "/a/1", "/a/2"]
        );
        assert_eq!(mirror.range("").count(), mirror.len());
    }
}
