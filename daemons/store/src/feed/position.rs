//! How far a feed has come, and whether that is still a place in the store's history.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::{Change, Entry, Revision, Snapshot, wire::Header};

/// Something that a history has if it is the one we know: what a key was at a revision.
///
/// A store whose files were exchanged for an older copy may have the same name, the same term by chance, and be further
/// than we are. Going on there would tell the past as news.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Witness {
    pub(super) key: String,
    pub(super) revision: Revision,
    /// What it was; none when it was deleted at this revision.
    pub(super) state: Option<Fingerprint>,
}

/// A key's state, told apart from others without keeping its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// How often it was written since it was made, when last, and under which lease.
    written: (i64, Revision, i64),
    value: u64,
}

impl From<&Entry> for Fingerprint {
    fn from(entry: &Entry) -> Self {
        let mut hash = DefaultHasher::new();
        entry.value.hash(&mut hash);
        Self { written: (entry.version, entry.mod_revision, entry.lease), value: hash.finish() }
    }
}

/// A place in the history of one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    cluster: u64,
    term: u64,
    /// The last revision told.
    revision: Revision,
    /// For each range, the revision up to which its changes were told. They differ while one watch of a stream is
    /// ahead of another.
    told: Vec<Revision>,
    /// The last change that was told; none while nothing was there.
    witness: Option<Witness>,
}

impl Position {
    /// After a listing of that many ranges.
    pub(super) fn listed(header: Header, ranges: usize, snapshot: &Snapshot) -> Self {
        let newest = snapshot.entries.values().max_by_key(|entry| entry.mod_revision);
        let witness = newest.map(|entry| Witness {
            key: entry.key.clone(),
            revision: entry.mod_revision,
            state: Some(entry.into()),
        });
        Self {
            witness,
            cluster: header.cluster,
            term: header.term,
            revision: header.revision,
            told: vec![header.revision; ranges],
        }
    }

    /// What a history has to have to be this one.
    pub(super) fn witness(&self) -> Option<&Witness> {
        self.witness.as_ref()
    }

    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    /// The revision from which to watch a range.
    pub(super) fn watch_from(&self, range: usize) -> i64 {
        self.told.get(range).map_or(self.revision, |told| *told).get().saturating_add(1)
    }

    /// Compares with an up-to-date answer of the cluster. An answer from another history says why.
    pub(super) fn check(&self, header: Header) -> Result<(), String> {
        self.check_cluster(header)?;
        if header.revision < self.revision {
            return Err(format!(
                "the store went back from revision {} to {}",
                self.revision, header.revision
            ));
        }
        // A store whose files were exchanged for others has the same name as before, and may be further than we are.
        // That takes a restart of its members, and with it an election.
        if header.term != self.term {
            let (before, now) = (self.term, header.term);
            return Err(format!(
                "a leader was elected meanwhile (term {before} to {now}): is the history the same?"
            ));
        }
        Ok(())
    }

    /// Compares with an answer of one member, which may lag behind the cluster.
    pub(super) fn check_cluster(&self, header: Header) -> Result<(), String> {
        if header.cluster == self.cluster {
            return Ok(());
        }
        Err(format!("another cluster answers: {:x} instead of {:x}", header.cluster, self.cluster))
    }

    /// Changes of one range are told.
    pub(super) fn advance(&mut self, range: usize, changes: &[Change]) -> Result<Revision, String> {
        let revisions = || changes.iter().map(Change::mod_revision);
        let (Some(first), Some(last)) = (revisions().min(), revisions().max()) else {
            return Ok(self.revision);
        };
        let Some(told) = self.told.get_mut(range) else {
            return Err(format!("changes for watch {range}, which was never made"));
        };
        if first <= *told {
            return Err(format!("a change of revision {first} after revision {told} was told"));
        }
        *told = last;
        self.revision = self.revision.max(last);
        let newest = changes.iter().max_by_key(|change| change.mod_revision());
        if let Some(change) = newest.filter(|_| last >= self.revision) {
            self.witness = Some(Witness {
                key: change.key().to_owned(),
                revision: last,
                state: match change {
                    Change::Put(entry) => Some(entry.into()),
                    Change::Delete { .. } => None,
                },
            });
        }
        Ok(last)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn header(cluster: u64, term: u64, revision: i64) -> Header {
        Header { cluster, term, revision: Revision::new(revision) }
    }

    fn empty() -> Snapshot {
        Snapshot { revision: Revision::new(100), entries: BTreeMap::new() }
    }

    fn put(key: &str, revision: i64, version: i64) -> Change {
        let revision = Revision::new(revision);
        Change::Put(Entry {
            key: key.to_owned(),
            value: Vec::new(),
            create_revision: revision,
            mod_revision: revision,
            version,
            lease: 0,
        })
    }

    #[test]
    fn the_last_change_is_what_the_history_is_recognised_by() {
        let mut snapshot = empty();
        for change in [put("/a", 40, 3), put("/b", 90, 1), put("/c", 50, 1)] {
            if let Change::Put(entry) = change {
                snapshot.entries.insert(entry.key.clone(), entry);
            }
        }
        let witness = |key: &str, revision, version: Option<i64>| {
            let state = version.map(|version| match put(key, revision, version) {
                Change::Put(entry) => Fingerprint::from(&entry),
                Change::Delete { .. } => unreachable!(),
            });
            Some(Witness { key: key.to_owned(), revision: Revision::new(revision), state })
        };
        let mut position = Position::listed(header(1, 1, 100), 2, &snapshot);
        assert_eq!(position.witness().cloned(), witness("/b", 90, Some(1)));
        position.advance(0, &[put("/a", 101, 4), put("/a", 103, 5)]).unwrap();
        assert_eq!(position.witness().cloned(), witness("/a", 103, Some(5)));
        // Another watch of the stream may be behind.
        position.advance(1, &[put("/c", 102, 2)]).unwrap();
        assert_eq!(position.witness().cloned(), witness("/a", 103, Some(5)));
        let gone = Change::Delete { key: "/c".to_owned(), mod_revision: Revision::new(104) };
        position.advance(1, &[gone]).unwrap();
        assert_eq!(position.witness().cloned(), witness("/c", 104, None));
        assert_eq!(Position::listed(header(1, 1, 100), 1, &empty()).witness(), None);
    }

    #[test]
    fn only_an_answer_of_the_same_history_at_or_after_our_place_is_trusted() {
        for (name, answer, trusted) in [
            ("nothing happened", header(1, 5, 100), true),
            ("the store went on", header(1, 5, 150), true),
            ("another leader, or an older copy that has gone further", header(1, 6, 150), false),
            ("another cluster", header(2, 5, 100), false),
            ("the store went back", header(1, 5, 99), false),
            ("a new store, already further than we were", header(1, 2, 150), false),
        ] {
            let position = Position::listed(header(1, 5, 100), 1, &empty());
            assert_eq!(position.check(answer).is_ok(), trusted, "{name}");
        }
    }

    #[test]
    fn each_range_goes_on_from_its_own_last_change() {
        let mut position = Position::listed(header(1, 1, 100), 2, &empty());
        position.advance(1, &[put("/b", 105, 1), put("/b", 107, 2)]).unwrap();
        assert_eq!((position.watch_from(0), position.watch_from(1)), (101, 108));
        assert_eq!(position.revision(), Revision::new(107));
        position.advance(0, &[put("/a", 103, 1)]).unwrap();
        assert_eq!((position.watch_from(0), position.revision()), (104, Revision::new(107)));
    }

    #[test]
    fn a_change_from_the_past_or_for_an_unknown_watch_is_a_reason_for_doubt() {
        let mut position = Position::listed(header(1, 1, 100), 1, &empty());
        assert!(position.advance(0, &[put("/a", 100, 1), put("/a", 101, 2)]).is_err());
        assert!(position.advance(7, &[put("/a", 101, 1)]).is_err());
    }
}
