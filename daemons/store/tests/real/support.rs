//! What the tests share: settings with short deadlines, and waiting for a condition with a bound.

use std::{collections::BTreeMap, future::Future, time::Duration};

use convoy_store::{
    Feed, FeedEvent, LeaseSettings, Mirror, Ownership, OwnershipStatus, Store, StoreSettings,
};
use convoy_test_etcd::Etcd;

/// Far above what anything here takes; only a hang reaches it.
pub(crate) const BOUND: Duration = Duration::from_secs(40);

/// Settings that notice silence in a second instead of ten.
pub(crate) fn settings(endpoints: Vec<String>) -> StoreSettings {
    StoreSettings {
        endpoints,
        silence: Duration::from_secs(1),
        silence_answer: Duration::from_millis(600),
        ..StoreSettings::default()
    }
}

pub(crate) fn store_at(endpoints: Vec<String>) -> Store {
    Store::new(settings(endpoints)).unwrap()
}

pub(crate) fn store(etcd: &Etcd) -> Store {
    store_at(etcd.endpoints())
}

/// Fails with a name instead of hanging.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(value) = tokio::time::timeout(BOUND, future).await else {
        panic!("{what} did not come within {BOUND:?}")
    };
    value
}

/// A feed with the mirror it keeps and all it told.
pub(crate) struct Reader {
    pub(crate) feed: Feed,
    pub(crate) mirror: Mirror,
    pub(crate) told: Vec<FeedEvent>,
}

impl Reader {
    pub(crate) fn new(store: &Store, prefixes: &[&str]) -> Self {
        Self::of(store.follow(prefixes))
    }

    pub(crate) fn of(feed: Feed) -> Self {
        Self { feed, mirror: Mirror::new(), told: Vec::new() }
    }

    /// A feed that has listed.
    pub(crate) async fn listed(store: &Store, prefixes: &[&str]) -> Self {
        let mut reader = Self::new(store, prefixes);
        reader.until("the first listing", Mirror::has_listed).await;
        reader
    }

    pub(crate) async fn step(&mut self) {
        let event = self.feed.next().await;
        self.mirror.apply(&event);
        self.told.push(event);
    }

    pub(crate) async fn until(&mut self, what: &str, reached: impl Fn(&Mirror) -> bool) {
        within(what, async {
            while !reached(&self.mirror) {
                self.step().await;
            }
        })
        .await;
    }

    /// Keys and values as text.
    pub(crate) fn state(&self) -> BTreeMap<String, String> {
        self.mirror
            .iter()
            .map(|(key, entry)| (key.clone(), String::from_utf8_lossy(&entry.value).into_owned()))
            .collect()
    }

    pub(crate) fn count(&self, kind: impl Fn(&FeedEvent) -> bool) -> usize {
        self.told.iter().filter(|event| kind(event)).count()
    }
}

pub(crate) fn is_listed(event: &FeedEvent) -> bool {
    matches!(event, FeedEvent::Listed(_))
}

pub(crate) fn is_stale(event: &FeedEvent) -> bool {
    matches!(event, FeedEvent::Stale { .. })
}

pub(crate) fn keys(pairs: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
}

/// An owner with that time to live whose keys are in the store.
pub(crate) async fn owner(store: &Store, ttl: u64, pairs: &[(&str, &str)]) -> Ownership {
    let owner = store.own(LeaseSettings::new(Duration::from_secs(ttl)));
    owner.declare(keys(pairs));
    within("the announcement", owner.applied()).await.unwrap();
    owner
}

/// Waits until an owner stands so.
pub(crate) async fn stands(
    owner: &Ownership,
    what: &str,
    reached: impl Fn(&OwnershipStatus) -> bool,
) -> OwnershipStatus {
    let mut status = owner.status();
    within(what, async { status.wait_for(|status| reached(status)).await.unwrap().clone() }).await
}

pub(crate) fn is_held(status: &OwnershipStatus) -> bool {
    matches!(status, OwnershipStatus::Held { .. })
}

/// The lease of an owner that holds one.
pub(crate) async fn lease_of(owner: &Ownership) -> i64 {
    match stands(owner, "a lease", is_held).await {
        OwnershipStatus::Held { lease, .. } => lease,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn value_of(store: &Store, key: &str) -> Option<String> {
    let entry = store.get(key).await.unwrap();
    entry.map(|entry| String::from_utf8(entry.value).unwrap())
}
