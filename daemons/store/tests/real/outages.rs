//! Feeds in bad weather: nothing is missed, and what is known stays.

use std::{collections::BTreeMap, time::Duration};

use convoy_store::{FeedEvent, Mirror, Store, StoreSettings};
use convoy_test_etcd::{Etcd, Proxy};

use crate::support::{BOUND, Reader, is_listed, is_stale, settings, store, store_at};

/// Writes through other members while the feed's one is in trouble.
async fn write_elsewhere(etcd: &Etcd, not: usize, keys: std::ops::Range<u32>) -> convoy_store::Revision {
    let endpoints =
        (0..3).filter(|number| *number != not).map(|number| etcd.member(number).endpoint()).collect();
    let store = store_at(endpoints);
    let mut last = None;
    for number in keys {
        // Elections may be under way.
        last = loop {
            if let Ok(revision) = store.put(&format!("/s/{number}"), b"x").await {
                break Some(revision);
            }
        };
    }
    last.unwrap()
}

#[tokio::test]
async fn nothing_is_missed_when_the_member_in_use_is_killed() {
    let etcd = Etcd::start(3).await.unwrap();
    let mut reader = Reader::listed(&store(&etcd), &["/s/"]).await;
    etcd.member(0).kill().unwrap();
    let last = write_elsewhere(&etcd, 0, 0..20).await;
    reader.until("the last change", |mirror| mirror.revision() >= last && !mirror.is_stale()).await;
    assert_eq!(reader.mirror.len(), 20);
    // Once more where the member was the leader: after an election the history is not taken for granted.
    assert!(reader.count(is_listed) <= 2, "it went on from where it was");
    assert_eq!(reader.count(is_stale), 1, "an outage is told once");
}

#[tokio::test]
async fn nothing_is_missed_when_the_member_in_use_hangs() {
    let etcd = Etcd::start(3).await.unwrap();
    let mut reader = Reader::listed(&store(&etcd), &["/s/"]).await;
    etcd.member(0).freeze().unwrap();
    let last = write_elsewhere(&etcd, 0, 0..20).await;
    reader.until("the last change", |mirror| mirror.revision() >= last && !mirror.is_stale()).await;
    assert_eq!(reader.mirror.len(), 20);
    assert!(reader.count(is_listed) <= 2);
    assert_eq!(reader.count(is_stale), 1);
}

#[tokio::test]
async fn nothing_is_missed_when_the_leader_is_killed() {
    let etcd = Etcd::start(3).await.unwrap();
    let leader = etcd.leader().await.unwrap();
    let follower = (leader + 1) % 3;
    let mut reader = Reader::listed(&store_at(vec![etcd.member(follower).endpoint()]), &["/s/"]).await;
    etcd.member(leader).kill().unwrap();
    let last = write_elsewhere(&etcd, leader, 0..20).await;
    reader.until("the last change", |mirror| mirror.revision() >= last).await;
    assert_eq!((reader.mirror.len(), reader.count(is_listed)), (20, 1));
}

#[tokio::test]
async fn a_lost_quorum_makes_the_picture_stale_and_its_return_completes_it() {
    let etcd = Etcd::start(3).await.unwrap();
    let store = store(&etcd);
    store.put("/s/before", b"x").await.unwrap();
    let mut reader = Reader::listed(&store, &["/s/"]).await;
    for number in [1, 2] {
        etcd.member(number).kill().unwrap();
    }
    reader.until("word of the outage", Mirror::is_stale).await;
    assert_eq!(reader.mirror.len(), 1, "what was known stays");

    // The two come back alone and take a write that the feed's member has not seen.
    etcd.member(0).freeze().unwrap();
    let (one, two) = tokio::join!(etcd.member(1).restart(), etcd.member(2).restart());
    one.and(two).unwrap();
    let last = write_elsewhere(&etcd, 0, 0..5).await;
    etcd.member(0).thaw().unwrap();
    reader.until("the last change", |mirror| mirror.revision() >= last && !mirror.is_stale()).await;
    assert_eq!(reader.mirror.len(), 6);
    assert_eq!(reader.count(is_listed), 2, "a leader was elected: its history is read anew");
}

#[tokio::test]
async fn what_was_compacted_during_an_outage_is_listed_again() {
    let etcd = Etcd::start(1).await.unwrap();
    let proxy = Proxy::start(etcd.member(0).address()).await.unwrap();
    let behind = store(&etcd);
    behind.put("/s/stays", b"x").await.unwrap();
    behind.put("/s/goes", b"x").await.unwrap();
    let mut reader = Reader::listed(&store_at(vec![proxy.endpoint()]), &["/s/"]).await;

    proxy.cut();
    reader.until("word of the outage", Mirror::is_stale).await;
    behind.delete("/s/goes").await.unwrap();
    let last = behind.put("/s/comes", b"x").await.unwrap();
    etcd.compact(last.get()).await.unwrap();
    proxy.resume();

    reader.until("a listing", |mirror| mirror.revision() >= last && !mirror.is_stale()).await;
    assert_eq!(reader.state().into_keys().collect::<Vec<_>>(), ["/s/comes", "/s/stays"]);
    assert_eq!(reader.count(is_listed), 2);
}

#[tokio::test]
async fn a_store_that_lost_its_history_is_listed_again() {
    for token in ["one", "another"] {
        let mut etcd = Etcd::start(1).await.unwrap();
        let store = store(&etcd);
        for number in 0..20 {
            store.put(&format!("/s/{number}"), b"x").await.unwrap();
        }
        let mut reader = Reader::listed(&store, &["/s/"]).await;
        // With the same token the new cluster calls itself by the old one's number: only the revision tells.
        etcd.wipe(token).await.unwrap();
        let last = store.put("/s/new", b"x").await.unwrap();
        assert!(last < reader.mirror.revision());
        reader.until("a listing", |mirror| mirror.get("/s/new").is_some()).await;
        assert_eq!((reader.mirror.len(), reader.mirror.revision()), (1, last), "token {token}");
    }
}

#[tokio::test]
async fn a_store_with_another_history_is_listed_again_though_name_and_term_are_the_same() {
    let etcd = Etcd::start(1).await.unwrap();
    let store = store(&etcd);
    // The old history: long, with a past that must not be told as news.
    for number in 0..20 {
        store.put("/s/1", number.to_string().as_bytes()).await.unwrap();
    }
    store.put("/s/gone", b"x").await.unwrap();
    store.delete("/s/gone").await.unwrap();
    let mut reader = Reader::listed(&store, &["/s/"]).await;

    // A new one, which has had as many elections as the old one when that returns.
    etcd.exchange().await.unwrap();
    store.put("/s/1", b"new").await.unwrap();
    etcd.member(0).restart().await.unwrap();
    let last = store.put("/s/1", b"newer").await.unwrap();
    reader.until("the new store", |mirror| mirror.revision() == last && !mirror.is_stale()).await;
    assert_eq!(reader.state(), BTreeMap::from([("/s/1".into(), "newer".into())]));

    reader.told.clear();
    etcd.exchange().await.unwrap();
    reader.until("the old store", |mirror| mirror.revision() > last && !mirror.is_stale()).await;
    assert_eq!(reader.state(), BTreeMap::from([("/s/1".into(), "19".into())]));
    let is_change = |event: &FeedEvent| matches!(event, FeedEvent::Changed { .. });
    assert_eq!((reader.count(is_listed), reader.count(is_change)), (1, 0), "{:?}", reader.told);
}

#[tokio::test]
async fn a_line_that_falls_silent_is_given_up_after_the_answers_deadline() {
    let etcd = Etcd::start(1).await.unwrap();
    let proxy = Proxy::start(etcd.member(0).address()).await.unwrap();
    store(&etcd).put("/s/0", b"x").await.unwrap();
    let mut reader = Reader::listed(&store_at(vec![proxy.endpoint()]), &["/s/"]).await;
    let settings = settings(Vec::new());
    // Once it was asked for a sign of life, the watch is certainly open.
    reader.step().await;
    assert!(matches!(reader.told.last(), Some(FeedEvent::Current { .. })));

    proxy.stall();
    let start = tokio::time::Instant::now();
    reader.until("word of the outage", Mirror::is_stale).await;
    let limit = settings.silence + settings.silence_answer + Duration::from_secs(4);
    assert!(start.elapsed() < limit, "{:?}", start.elapsed());
    assert!(
        matches!(reader.told.last(), Some(FeedEvent::Stale { error }) if error.contains("/s/")),
        "{:?}",
        reader.told
    );

    let last = store(&etcd).put("/s/1", b"x").await.unwrap();
    proxy.resume();
    reader.until("the change", |mirror| mirror.revision() >= last && !mirror.is_stale()).await;
    assert_eq!(reader.count(is_listed), 1);
}

#[tokio::test]
async fn trouble_met_by_a_call_makes_a_feed_at_the_same_endpoint_ask_at_once() {
    let etcd = Etcd::start(3).await.unwrap();
    // Left to itself, it would notice long after this test gave up.
    let late = StoreSettings { silence: 10 * BOUND, ping_interval: 10 * BOUND, ..settings(etcd.endpoints()) };
    let store = Store::new(late).unwrap();
    let mut reader = Reader::listed(&store, &["/s/"]).await;
    store.put("/s/1", b"x").await.unwrap();
    reader.until("the change", |mirror| mirror.len() == 1).await;
    etcd.member(0).freeze().unwrap();
    store.get("/s/1").await.unwrap();
    let last = write_elsewhere(&etcd, 0, 2..3).await;
    reader.until("the change", |mirror| mirror.revision() >= last).await;
}

#[tokio::test]
async fn a_feed_that_begins_during_an_outage_says_so_and_lists_when_it_ends() {
    let etcd = Etcd::start(1).await.unwrap();
    let store = store(&etcd);
    store.put("/s/1", b"x").await.unwrap();
    etcd.member(0).kill().unwrap();
    let mut reader = Reader::new(&store, &["/s/"]);
    reader.until("word of the outage", Mirror::is_stale).await;
    assert!(!reader.mirror.has_listed());
    etcd.member(0).restart().await.unwrap();
    reader.until("the listing", Mirror::has_listed).await;
    assert_eq!(reader.mirror.len(), 1);
}
