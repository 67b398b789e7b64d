//! How far a feed has come, and whether that is still a place in the store's history.

use crate::{Revision, wire::Header};

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
}

impl Position {
    /// After a listing of that many ranges.
    pub(super) fn listed(header: Header, ranges: usize) -> Self {
        Self {
            cluster: header.cluster,
            term: header.term,
            revision: header.revision,
            told: vec![header.revision; ranges],
        }
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

    /// Changes of one range were told: the revisions of the first and the last.
    pub(super) fn advance(&mut self, range: usize, first: Revision, last: Revision) -> Result<(), String> {
        let Some(told) = self.told.get_mut(range) else {
            return Err(format!("changes for watch {range}, which was never made"));
        };
        if first <= *told {
            return Err(format!("a change of revision {first} after revision {told} was told"));
        }
        *told = last;
        self.revision = self.revision.max(last);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(cluster: u64, term: u64, revision: i64) -> Header {
        Header { cluster, term, revision: Revision::new(revision) }
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
            let position = Position::listed(header(1, 5, 100), 1);
            assert_eq!(position.check(answer).is_ok(), trusted, "{name}");
        }
    }

    #[test]
    fn each_range_goes_on_from_its_own_last_change() {
        let mut position = Position::listed(header(1, 1, 100), 2);
        position.advance(1, Revision::new(105), Revision::new(107)).unwrap();
        assert_eq!((position.watch_from(0), position.watch_from(1)), (101, 108));
        assert_eq!(position.revision(), Revision::new(107));
        position.advance(0, Revision::new(103), Revision::new(103)).unwrap();
        assert_eq!((position.watch_from(0), position.revision()), (104, Revision::new(107)));
    }

    #[test]
    fn a_change_from_the_past_or_for_an_unknown_watch_is_a_reason_for_doubt() {
        let mut position = Position::listed(header(1, 1, 100), 1);
        assert!(position.advance(0, Revision::new(100), Revision::new(101)).is_err());
        assert!(position.advance(7, Revision::new(101), Revision::new(101)).is_err());
    }
}
