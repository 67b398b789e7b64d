//! A feed that does not believe in a mass disappearance right after an outage.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{Feed, FeedEvent};
use crate::{Change, Mirror, Revision};

/// Time for owners to find the store again and to announce themselves anew: several tries of theirs.
pub const OUTAGE_GRACE: Duration = Duration::from_secs(15);
/// A shorter outage lets no lease run out: owners renew theirs at a third of its time to live.
const OUTAGE: Duration = Duration::from_secs(5);

/// A [`Feed`] that holds deletions back for a while after the store was away, made by [`Feed::cautious`].
///
/// When a quorum returns after half a minute, leases that nobody could renew run out in the same instant, and their
/// owners need a moment to announce themselves again. Until then, what was there before the outage is the better
/// picture: a target that is really gone costs a retry, an empty table costs every request.
#[derive(Debug)]
pub struct CautiousFeed {
    feed: Feed,
    ledger: Ledger,
}

impl Feed {
    /// Holds deletions back for `grace` ([`OUTAGE_GRACE`] fits the daemons) after every outage that leases may not
    /// have survived.
    pub fn cautious(self, grace: Duration) -> CautiousFeed {
        CautiousFeed { feed: self, ledger: Ledger::new(grace) }
    }
}

impl CautiousFeed {
    /// Waits for the next event. Dropping the future loses nothing.
    pub async fn next(&mut self) -> FeedEvent {
        loop {
            let event = match self.ledger.grace_ends {
                Some(end) => tokio::select! {
                    event = self.feed.next() => Some(event),
                    () = sleep_until(end) => None,
                },
                None => Some(self.feed.next().await),
            };
            let told = match event {
                Some(event) => self.ledger.pass(event, Instant::now()),
                None => self.ledger.end_grace(),
            };
            if let Some(told) = told {
                return told;
            }
        }
    }
}

/// What was told, and what was held back.
#[derive(Debug)]
struct Ledger {
    grace: Duration,
    told: Mirror,
    held: BTreeMap<String, Revision>,
    lost_since: Option<Instant>,
    grace_ends: Option<Instant>,
}

impl Ledger {
    fn new(grace: Duration) -> Self {
        Self { grace, told: Mirror::new(), held: BTreeMap::new(), lost_since: None, grace_ends: None }
    }

    /// What to tell of an event; nothing when all of it is held back.
    fn pass(&mut self, event: FeedEvent, now: Instant) -> Option<FeedEvent> {
        let event = if let FeedEvent::Stale { .. } = event {
            self.lost_since.get_or_insert(now);
            event
        } else {
            if let Some(since) = self.lost_since.take()
                && now.duration_since(since) >= OUTAGE
            {
                self.grace_ends = Some(now + self.grace);
            }
            if self.grace_ends.is_some() { self.hold_back(event)? } else { event }
        };
        self.told.apply(&event);
        Some(event)
    }

    fn hold_back(&mut self, event: FeedEvent) -> Option<FeedEvent> {
        let before = self.held.len();
        let passed = match event {
            FeedEvent::Listed(mut snapshot) => {
                self.held.clear();
                for (key, entry) in &self.told {
                    if !snapshot.entries.contains_key(key) {
                        snapshot.entries.insert(key.clone(), entry.clone());
                        self.held.insert(key.clone(), snapshot.revision);
                    }
                }
                Some(FeedEvent::Listed(snapshot))
            }
            FeedEvent::Changed { revision, mut changes } => {
                changes.retain(|change| match change {
                    Change::Put(entry) => {
                        self.held.remove(&entry.key);
                        true
                    }
                    Change::Delete { key, mod_revision } => {
                        self.held.insert(key.clone(), *mod_revision);
                        false
                    }
                });
                (!changes.is_empty()).then_some(FeedEvent::Changed { revision, changes })
            }
            event => Some(event),
        };
        if self.held.len() > before {
            tracing::warn!(
                held = self.held.len(),
                grace_seconds = self.grace.as_secs(),
                "entries vanished while the store was away; they are kept until their owners had time to return"
            );
        }
        passed
    }

    /// Tells of what has not come back.
    fn end_grace(&mut self) -> Option<FeedEvent> {
        self.grace_ends = None;
        let held = std::mem::take(&mut self.held);
        let revision = held.values().copied().max()?.max(self.told.revision());
        let changes =
            held.into_iter().map(|(key, mod_revision)| Change::Delete { key, mod_revision }).collect();
        let event = FeedEvent::Changed { revision, changes };
        self.told.apply(&event);
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::{Entry, Snapshot};

    const GRACE: Duration = OUTAGE_GRACE;

    fn entry(key: &str, revision: i64) -> Entry {
        let revision = Revision::new(revision);
        let (key, value) = (key.to_owned(), b"10.0.0.1:80".to_vec());
        Entry { key, value, create_revision: revision, mod_revision: revision, version: 1, lease: 1 }
    }

    fn listed(revision: i64, keys: &[&str]) -> FeedEvent {
        let entries = keys.iter().map(|key| ((*key).to_owned(), entry(key, 1))).collect();
        FeedEvent::Listed(Snapshot { revision: Revision::new(revision), entries })
    }

    fn put(revision: i64, key: &str) -> FeedEvent {
        FeedEvent::Changed {
            revision: Revision::new(revision),
            changes: vec![Change::Put(entry(key, revision))],
        }
    }

    fn delete(revision: i64, keys: &[&str]) -> FeedEvent {
        let mod_revision = Revision::new(revision);
        let changes =
            keys.iter().map(|key| Change::Delete { key: (*key).to_owned(), mod_revision }).collect();
        FeedEvent::Changed { revision: mod_revision, changes }
    }

    fn stale() -> FeedEvent {
        FeedEvent::Stale { error: "no leader".to_owned() }
    }

    fn keys(mirror: &Mirror) -> Vec<&str> {
        mirror.iter().map(|(key, _)| key.as_str()).collect()
    }

    /// A ledger that was told of `a` and `b`, lost the store, and has it back after this many seconds.
    fn after_outage(seconds: u64) -> (Ledger, Instant) {
        let (mut ledger, start) = (Ledger::new(GRACE), Instant::now());
        ledger.pass(listed(5, &["a", "b"]), start);
        ledger.pass(stale(), start);
        (ledger, start + Duration::from_secs(seconds))
    }

    #[tokio::test]
    async fn in_ordinary_times_everything_passes_at_once() {
        let (mut ledger, now) = (Ledger::new(GRACE), Instant::now());
        for event in [listed(5, &["a", "b"]), delete(6, &["a"]), put(7, "c"), listed(8, &["c"])] {
            assert_eq!(ledger.pass(event.clone(), now), Some(event));
        }
    }

    #[tokio::test]
    async fn a_moment_without_the_store_is_no_outage() {
        let (mut ledger, now) = after_outage(1);
        assert_eq!(ledger.pass(delete(6, &["a"]), now), Some(delete(6, &["a"])));
    }

    #[tokio::test]
    async fn what_vanishes_with_an_outage_is_kept_and_its_owner_may_return() {
        let (mut ledger, now) = after_outage(30);
        let current = FeedEvent::Current { revision: Revision::new(5) };
        assert_eq!(ledger.pass(current.clone(), now), Some(current));
        assert_eq!(ledger.pass(delete(7, &["a", "b"]), now), None);
        assert_eq!(ledger.pass(put(8, "a"), now), Some(put(8, "a")));
        assert_eq!(keys(&ledger.told), ["a", "b"]);
        assert_eq!(ledger.grace_ends, Some(now + GRACE));
        let rest = ledger.end_grace().unwrap();
        let mod_revision = Revision::new(7);
        let changes = vec![Change::Delete { key: "b".to_owned(), mod_revision }];
        assert_eq!(rest, FeedEvent::Changed { revision: Revision::new(8), changes });
        assert_eq!(ledger.pass(delete(9, &["a"]), now), Some(delete(9, &["a"])), "ordinary times again");
    }

    #[tokio::test]
    async fn a_listing_after_an_outage_takes_nothing_away() {
        let (mut ledger, now) = after_outage(30);
        ledger.pass(listed(9, &["b", "c"]), now);
        assert_eq!(keys(&ledger.told), ["a", "b", "c"]);
        ledger.end_grace().unwrap();
        assert_eq!(keys(&ledger.told), ["b", "c"]);
    }

    proptest! {
        #[test]
        fn after_the_grace_the_picture_is_the_stores(
            steps in prop::collection::vec((0u8..4, 0u8..6), 0..60),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let _guard = runtime.enter();
            let (mut ledger, mut now) = (Ledger::new(GRACE), Instant::now());
            let mut truth = BTreeSet::new();
            let mut revision = 1;
            ledger.pass(listed(revision, &[]), now);
            for (what, which) in steps {
                revision += 1;
                let key = format!("k{which}");
                let event = match what {
                    0 => { truth.insert(key.clone()); put(revision, &key) }
                    1 => { truth.remove(&key); delete(revision, &[&key]) }
                    2 => { now += Duration::from_secs(10); stale() }
                    _ => listed(revision, &truth.iter().map(String::as_str).collect::<Vec<_>>()),
                };
                ledger.pass(event, now);
                now += Duration::from_secs(u64::from(which));
                if ledger.grace_ends.is_some_and(|end| end <= now) {
                    ledger.end_grace();
                }
                let told: BTreeSet<String> = ledger.told.iter().map(|(key, _)| key.clone()).collect();
                prop_assert!(told.is_superset(&truth), "nothing that is there is kept back");
            }
            ledger.end_grace();
            let told: BTreeSet<String> = ledger.told.iter().map(|(key, _)| key.clone()).collect();
            prop_assert_eq!(told, truth);
        }
    }
}
