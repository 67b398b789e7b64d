//! Feeds in good weather: the whole state, then every change, and nothing else.

use std::{collections::BTreeMap, time::Duration};

use convoy_store::{Change, FeedEvent, KeyRange, Mirror, Transaction};
use convoy_test_etcd::Etcd;

use crate::support::{Reader, is_listed, is_stale, lease_of, owner, store, within};

#[tokio::test]
async fn a_feed_tells_the_whole_state_and_then_each_change_in_order() {
    let etcd = Etcd::start(1).await.unwrap();
    let store = store(&etcd);
    store.put("/s/1", b"a").await.unwrap();
    let mut reader = Reader::listed(&store, &["/s/"]).await;
    assert_eq!(reader.state(), BTreeMap::from([("/s/1".into(), "a".into())]));

    store.put("/s/2", b"b").await.unwrap();
    store.put("/s/1", b"c").await.unwrap();
    let last = store.delete("/s/2").await.unwrap();
    reader.until("the last change", |mirror| mirror.revision() >= last).await;
    assert_eq!(reader.state(), BTreeMap::from([("/s/1".into(), "c".into())]));

    let changes: Vec<_> = reader
        .told
        .iter()
        .filter_map(|event| match event {
            FeedEvent::Changed { changes, .. } => Some(changes),
            _ => None,
        })
        .flatten()
        .map(|change| (change.key(), matches!(change, Change::Put(_))))
        .collect();
    assert_eq!(changes, [("/s/2", true), ("/s/1", true), ("/s/2", false)]);
    assert_eq!((reader.count(is_listed), reader.count(is_stale)), (1, 0));
}

#[tokio::test]
async fn a_sibling_prefix_wakes_nothing() {
    let etcd = Etcd::start(1).await.unwrap();
    let store = store(&etcd);
    let mut reader = Reader::listed(&store, &["/s/app/"]).await;
    for key in ["/s/app", "/s/app2/1", "/s/ap", "/s/app0", "/t"] {
        store.put(key, b"x").await.unwrap();
    }
    let last = store.put("/s/app/1", b"mine").await.unwrap();
    reader.until("the change", |mirror| mirror.get("/s/app/1").is_some()).await;
    let changed: Vec<_> = reader.told.iter().skip(1).collect();
    assert!(
        matches!(changed.as_slice(), [FeedEvent::Changed { revision, changes }] if *revision == last && changes.len() == 1),
        "{changed:?}"
    );
}

#[tokio::test]
async fn several_prefixes_are_listed_at_one_revision_and_followed_together() {
    let etcd = Etcd::start(1).await.unwrap();
    let store = store(&etcd);
    store.commit(Transaction::new().put("/a/1", "x").put("/b/1", "x").put("/c/1", "x")).await.unwrap();
    let mut reader = Reader::listed(&store, &["/a/", "/b/"]).await;
    assert_eq!(reader.mirror.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["/a/1", "/b/1"]);

    store.commit(Transaction::new().put("/a/2", "y").put("/b/2", "y").delete("/a/1")).await.unwrap();
    reader.until("both halves", |mirror| mirror.get("/a/2").is_some() && mirror.get("/b/2").is_some()).await;
    assert!(reader.mirror.get("/a/1").is_none());
}

#[tokio::test]
async fn more_trees_than_fit_into_a_transaction_are_one_picture_without_their_siblings() {
    let etcd = Etcd::start(1).await.unwrap();
    let store = store(&etcd);
    for number in 0..150 {
        let key = format!("/app{number}");
        let keys = Transaction::new().put(&key, "leaf").put(format!("{key}/x"), "below");
        store.commit(keys.put(format!("{key}-sibling"), "other")).await.unwrap();
    }
    let paths: Vec<String> = (0..150).map(|number| format!("/app{number}")).collect();
    let ranges = KeyRange::trees(paths.iter().map(String::as_str));
    assert_eq!(store.read(&ranges).await.unwrap().entries.len(), 300);

    let mut reader = Reader::of(store.follow_ranges(ranges));
    reader.until("the first listing", Mirror::has_listed).await;
    assert_eq!(reader.mirror.len(), 300);
    store.put("/app7-sibling", b"changed").await.unwrap();
    store.put("/app149/y", b"last").await.unwrap();
    reader.until("the last change", |mirror| mirror.get("/app149/y").is_some()).await;
    let told: Vec<&str> = reader
        .told
        .iter()
        .filter_map(|event| match event {
            FeedEvent::Changed { changes, .. } => Some(changes),
            _ => None,
        })
        .flatten()
        .map(Change::key)
        .collect();
    assert_eq!(told, ["/app149/y"]);
}

#[tokio::test]
async fn keys_that_go_with_their_lease_go_in_one_event() {
    let etcd = Etcd::start(1).await.unwrap();
    let store = store(&etcd);
    let owner = owner(&store, 30, &[("/s/1", "a"), ("/s/2", "b")]).await;
    let mut reader = Reader::listed(&store, &["/s/"]).await;
    assert_eq!(reader.mirror.get("/s/1").unwrap().lease, lease_of(&owner).await);
    owner.release(Duration::from_secs(3)).await.unwrap();
    reader.until("the removal", Mirror::is_empty).await;
    let removals: Vec<_> = reader.told.iter().skip(1).collect();
    assert!(
        matches!(removals.as_slice(), [FeedEvent::Changed { changes, .. }] if changes.len() == 2),
        "{removals:?}"
    );
}

#[tokio::test]
async fn a_silent_feed_still_says_that_it_is_current() {
    let etcd = Etcd::start(1).await.unwrap();
    let store = store(&etcd);
    let revision = store.put("/s/1", b"a").await.unwrap();
    let mut reader = Reader::listed(&store, &["/s/"]).await;
    // Changes elsewhere don't count as a sign of life, and don't move the feed's revision.
    store.put("/t/1", b"a").await.unwrap();
    for _ in 0..2 {
        let event = within("a sign of life", reader.feed.next()).await;
        assert_eq!(event, FeedEvent::Current { revision });
    }
}

#[tokio::test]
async fn a_reader_that_falls_behind_loses_nothing() {
    let etcd = Etcd::start(1).await.unwrap();
    let store = store(&etcd);
    let mut reader = Reader::listed(&store, &["/s/"]).await;
    let mut last = reader.mirror.revision();
    for number in 0..500 {
        last = store.put(&format!("/s/{number}"), b"x").await.unwrap();
    }
    reader.until("the last change", |mirror| mirror.revision() >= last).await;
    assert_eq!(reader.mirror.len(), 500);
    assert_eq!(reader.count(is_listed), 1);
}

#[tokio::test]
async fn a_change_larger_than_the_librarys_four_megabytes_is_told() {
    let etcd = Etcd::start(1).await.unwrap();
    let store = store(&etcd);
    let mut reader = Reader::listed(&store, &["/s/"]).await;
    etcd.member(0).freeze().unwrap();
    let writers: Vec<_> = (0..6)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move { store.put(&format!("/s/{number}"), &vec![b'x'; 1 << 20]).await })
        })
        .collect();
    etcd.member(0).thaw().unwrap();
    for writer in writers {
        writer.await.unwrap().unwrap();
    }
    reader.until("all changes", |mirror| mirror.len() == 6).await;
}
