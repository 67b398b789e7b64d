//! Endpoints that die, hang or never were: calls go on elsewhere.

use std::time::{Duration, Instant};

use convoy_store::{ErrorKind, Store, StoreSettings};
use convoy_test_etcd::{BlackHole, Etcd, Proxy};

use crate::support::{settings, store, store_at};

/// Reads for that long; how many reads failed, of how many.
async fn read_for(store: &Store, time: Duration) -> (usize, usize) {
    let (start, mut failed, mut all) = (Instant::now(), 0, 0);
    while start.elapsed() < time {
        all += 1;
        failed += usize::from(store.get("/a").await.is_err());
    }
    (failed, all)
}

#[tokio::test]
async fn no_read_fails_when_the_member_in_use_is_killed() {
    let etcd = Etcd::start(3).await.unwrap();
    let store = store(&etcd);
    store.put("/a", b"1").await.unwrap();
    let reader = tokio::spawn({
        let store = store.clone();
        async move { read_for(&store, Duration::from_secs(5)).await }
    });
    // All calls go to the first endpoint.
    etcd.member(0).kill().unwrap();
    let (failed, all) = reader.await.unwrap();
    assert_eq!(failed, 0, "of {all} reads");
}

#[tokio::test]
async fn no_read_fails_when_the_member_in_use_hangs() {
    let etcd = Etcd::start(3).await.unwrap();
    let store = store(&etcd);
    store.put("/a", b"1").await.unwrap();
    etcd.member(0).freeze().unwrap();
    let (failed, all) = read_for(&store, Duration::from_secs(4)).await;
    assert_eq!(failed, 0, "of {all} reads");
    assert!(all > 100, "after the first, reads go to another member at once: {all}");
}

#[tokio::test]
async fn no_read_fails_while_a_new_leader_is_elected() {
    let etcd = Etcd::start(3).await.unwrap();
    let leader = etcd.leader().await.unwrap();
    let follower = (leader + 1) % 3;
    let store = store_at(vec![etcd.member(follower).endpoint(), etcd.member((leader + 2) % 3).endpoint()]);
    store.put("/a", b"1").await.unwrap();
    etcd.member(leader).kill().unwrap();
    let (failed, all) = read_for(&store, Duration::from_secs(5)).await;
    assert_eq!(failed, 0, "of {all} reads");
}

#[tokio::test]
async fn endpoints_that_refuse_or_never_answer_cost_one_retry_and_no_failure() {
    let etcd = Etcd::start(1).await.unwrap();
    let hole = BlackHole::start().await.unwrap();
    let nobody = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let store = store_at(vec![format!("http://{nobody}"), hole.endpoint(), etcd.member(0).endpoint()]);
    for _ in 0..60 {
        store.get("/a").await.unwrap();
    }
}

#[tokio::test]
async fn a_write_that_may_have_been_made_is_not_made_again() {
    let etcd = Etcd::start(1).await.unwrap();
    let hole = BlackHole::start().await.unwrap();
    let store = Store::new(StoreSettings {
        call_deadline: Duration::from_millis(500),
        ..settings(vec![hole.endpoint(), etcd.member(0).endpoint()])
    })
    .unwrap();
    let error = store.put("/a", b"1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline);
    assert!(error.is_uncertain());
    assert_eq!(error.endpoint(), Some(hole.endpoint().as_str()));
    // The next one goes to the next endpoint.
    store.put("/a", b"2").await.unwrap();
}

#[tokio::test]
async fn a_write_that_certainly_never_went_out_goes_to_the_next_endpoint() {
    let etcd = Etcd::start(1).await.unwrap();
    let nobody = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let store = store_at(vec![format!("http://{nobody}"), etcd.member(0).endpoint()]);
    store.put("/a", b"1").await.unwrap();
}

#[tokio::test]
async fn a_lone_endpoint_that_was_restarted_or_cut_off_is_connected_anew() {
    let etcd = Etcd::start(1).await.unwrap();
    let proxy = Proxy::start(etcd.member(0).address()).await.unwrap();
    let store = store_at(vec![proxy.endpoint()]);
    store.put("/a", b"1").await.unwrap();

    etcd.member(0).restart().await.unwrap();
    store.get("/a").await.unwrap();

    proxy.stall();
    assert_eq!(store.get("/a").await.unwrap_err().kind(), ErrorKind::Deadline);
    proxy.resume();
    store.get("/a").await.unwrap();
}

#[tokio::test]
async fn without_a_quorum_reads_say_so_within_their_deadline() {
    let etcd = Etcd::start(3).await.unwrap();
    let store = store(&etcd);
    store.get("/a").await.unwrap();
    for number in 1..3 {
        etcd.member(number).kill().unwrap();
    }
    let start = Instant::now();
    let error = store.get("/a").await.unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    assert!(!error.to_string().is_empty());
}
