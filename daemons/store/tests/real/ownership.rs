//! Owned keys: announced, kept without a write, restored, let go, withdrawn.

use std::time::{Duration, Instant};

use convoy_store::{ErrorKind, LeaseSettings, OwnershipStatus};
use convoy_test_etcd::{Etcd, Proxy};

use crate::support::{is_held, keys, lease_of, owner, stands, store, store_at, value_of, within};

const TTL: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_declared_set_is_put_and_changed_in_one_transaction_each() {
    let etcd = Etcd::start(1).await.unwrap();
    let store = store(&etcd);
    let owner = owner(&store, 30, &[("/a", "1"), ("/b", "1"), ("/c", "1")]).await;
    let lease = lease_of(&owner).await;
    let first = store.get("/a").await.unwrap().unwrap();
    assert_eq!(first.lease, lease);
    assert_eq!(first.mod_revision, store.get("/c").await.unwrap().unwrap().mod_revision);

    owner.declare(keys(&[("/a", "1"), ("/b", "2"), ("/d", "1")]));
    let revision = within("the change", owner.applied()).await.unwrap();
    assert_eq!(revision.get(), first.mod_revision.get() + 1, "one transaction");
    assert_eq!(store.get("/a").await.unwrap().unwrap().version, 1, "what stays is not written again");
    assert_eq!(value_of(&store, "/b").await.as_deref(), Some("2"));
    assert_eq!(value_of(&store, "/c").await, None);
    assert_eq!(value_of(&store, "/d").await.as_deref(), Some("1"));

    owner.declare(keys(&[("/a", "1"), ("/b", "2"), ("/d", "1")]));
    assert_eq!(within("no change", owner.applied()).await.unwrap(), revision);
    assert_eq!(store.revision().await.unwrap(), revision, "the same set again is no write");

    owner.declare(keys(&[]));
    within("the removal", owner.applied()).await.unwrap();
    assert_eq!(value_of(&store, "/a").await, None);
    assert_eq!(lease_of(&owner).await, lease, "the lease stays");
}

#[tokio::test]
async fn nothing_is_written_while_nothing_changes() {
    let etcd = Etcd::start(1).await.unwrap();
    let store = store(&etcd);
    let owner = owner(&store, TTL.as_secs(), &[("/a", "1")]).await;
    let before = store.revision().await.unwrap();
    tokio::time::sleep(3 * TTL).await; // nine keep-alives; without them the key would be gone
    assert_eq!(store.revision().await.unwrap(), before);
    assert!(is_held(&owner.status().borrow()));
}

#[tokio::test]
async fn release_removes_all_keys_at_once_and_dropping_leaves_them_to_the_time_to_live() {
    let etcd = Etcd::start(1).await.unwrap();
    let store = store(&etcd);
    let released = owner(&store, 30, &[("/a", "1")]).await;
    released.release(Duration::from_secs(3)).await.unwrap();
    assert_eq!(value_of(&store, "/a").await, None);

    let dropped = owner(&store, 2, &[("/b", "1")]).await;
    drop(dropped);
    assert_eq!(value_of(&store, "/b").await.as_deref(), Some("1"));
    within("the end of the lease", async {
        while value_of(&store, "/b").await.is_some() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_late_release_never_removes_a_newer_owners_key() {
    let etcd = Etcd::start(1).await.unwrap();
    let store = store(&etcd);
    let old = owner(&store, 30, &[("/a", "old")]).await;
    let _new = owner(&store, 30, &[("/a", "new")]).await;
    old.release(Duration::from_secs(3)).await.unwrap();
    assert_eq!(value_of(&store, "/a").await.as_deref(), Some("new"));
}

#[tokio::test]
async fn release_keeps_its_deadline_when_the_store_is_away() {
    let etcd = Etcd::start(1).await.unwrap();
    let owner = owner(&store(&etcd), 30, &[("/a", "1")]).await;
    etcd.member(0).freeze().unwrap();
    let start = Instant::now();
    owner.release(Duration::from_millis(700)).await.unwrap_err();
    assert!(start.elapsed() < Duration::from_millis(2500), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_lease_revoked_from_outside_is_replaced_and_the_keys_come_back() {
    let etcd = Etcd::start(1).await.unwrap();
    let store = store(&etcd);
    let owner = owner(&store, TTL.as_secs(), &[("/a", "1"), ("/b", "2")]).await;
    let first = lease_of(&owner).await;
    let mut status = owner.status();
    etcd.revoke(first).await.unwrap();
    within("the loss", status.wait_for(|status| matches!(status, OwnershipStatus::Lost { .. })))
        .await
        .unwrap();
    within("the return", owner.applied()).await.unwrap();
    assert_ne!(lease_of(&owner).await, first);
    assert_eq!(value_of(&store, "/a").await.as_deref(), Some("1"));
    assert_eq!(value_of(&store, "/b").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn a_key_that_was_deleted_from_outside_comes_back() {
    let etcd = Etcd::start(1).await.unwrap();
    let store = store(&etcd);
    let owner = owner(&store, TTL.as_secs(), &[("/a", "1"), ("/b", "2")]).await;
    let lease = lease_of(&owner).await;
    store.delete("/a").await.unwrap();
    within("the return", async {
        while value_of(&store, "/a").await.is_none() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(store.get("/a").await.unwrap().unwrap().lease, lease);
    assert_eq!(store.get("/b").await.unwrap().unwrap().version, 1, "the other was left alone");
}

#[tokio::test]
async fn the_newest_owner_wins_and_the_older_lets_go() {
    let etcd = Etcd::start(1).await.unwrap();
    let store = store(&etcd);
    let old = owner(&store, TTL.as_secs(), &[("/a", "old"), ("/b", "old")]).await;
    let new = owner(&store, TTL.as_secs(), &[("/a", "new")]).await;
    let holder = lease_of(&new).await;
    let replaced = |status: &OwnershipStatus| matches!(status, OwnershipStatus::Replaced { .. });
    let status = stands(&old, "word of the replacement", replaced).await;
    assert_eq!(status, OwnershipStatus::Replaced { key: "/a".into(), lease: holder });
    let error = within("an answer", old.applied()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Replaced);
    assert!(error.to_string().contains("/a"), "{error}");

    // Changes of the rest go on; the lost key is not fought over.
    old.declare(keys(&[("/a", "old, again"), ("/b", "old, changed")]));
    within("an answer", old.applied()).await.unwrap_err();
    assert_eq!(value_of(&store, "/a").await.as_deref(), Some("new"));
    assert_eq!(value_of(&store, "/b").await.as_deref(), Some("old, changed"));

    // Left out and declared again, it counts as a new announcement.
    old.declare(keys(&[("/b", "old, changed")]));
    within("the rest", old.applied()).await.unwrap();
    old.declare(keys(&[("/a", "newest"), ("/b", "old, changed")]));
    within("the announcement", old.applied()).await.unwrap();
    assert_eq!(value_of(&store, "/a").await.as_deref(), Some("newest"));
}

#[tokio::test]
async fn a_change_of_a_key_that_was_taken_meanwhile_is_not_made() {
    let etcd = Etcd::start(1).await.unwrap();
    let store = store(&etcd);
    let old = owner(&store, 30, &[("/a", "old"), ("/b", "old")]).await;
    let _new = owner(&store, 30, &[("/a", "new")]).await;
    // Long before the next keep-alive could tell.
    old.declare(keys(&[("/a", "old, changed"), ("/b", "old, changed")]));
    let error = within("an answer", old.applied()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Replaced);
    assert_eq!(value_of(&store, "/a").await.as_deref(), Some("new"));
    assert_eq!(value_of(&store, "/b").await.as_deref(), Some("old, changed"));
}

#[tokio::test]
async fn the_lease_outlives_the_member_it_was_kept_alive_through() {
    let etcd = Etcd::start(3).await.unwrap();
    let store = store(&etcd);
    let owner = owner(&store, 4, &[("/a", "1")]).await;
    let lease = lease_of(&owner).await;
    let version = store.get("/a").await.unwrap().unwrap().mod_revision;
    for trouble in [convoy_test_etcd::Member::kill, convoy_test_etcd::Member::freeze] {
        trouble(etcd.member(0)).unwrap();
        tokio::time::sleep(Duration::from_secs(9)).await; // over two times to live
        assert_eq!(lease_of(&owner).await, lease);
        assert_eq!(store.get("/a").await.unwrap().unwrap().mod_revision, version);
        if etcd.member(0).thaw().is_err() {
            etcd.member(0).restart().await.unwrap();
        }
    }
}

#[tokio::test]
async fn the_lease_is_kept_when_the_quorum_returns_in_time() {
    let etcd = Etcd::start(3).await.unwrap();
    let store = store(&etcd);
    let owner = owner(&store, 20, &[("/a", "1")]).await;
    let lease = lease_of(&owner).await;
    for number in [1, 2] {
        etcd.member(number).kill().unwrap();
    }
    stands(&owner, "word of the danger", |status| matches!(status, OwnershipStatus::AtRisk { .. })).await;
    let (one, two) = tokio::join!(etcd.member(1).restart(), etcd.member(2).restart());
    one.and(two).unwrap();
    assert_eq!(lease_of(&owner).await, lease);
    assert_eq!(store.get("/a").await.unwrap().unwrap().version, 1, "nothing was written again");
}

#[tokio::test]
async fn an_owner_cut_off_for_longer_than_its_lease_knows_it_and_announces_anew() {
    let etcd = Etcd::start(3).await.unwrap();
    let proxy = Proxy::start(etcd.member(0).address()).await.unwrap();
    let store = store(&etcd);
    let owner = owner(&store_at(vec![proxy.endpoint()]), TTL.as_secs(), &[("/a", "1")]).await;
    let first = lease_of(&owner).await;
    proxy.stall();
    let cut = Instant::now();
    let lost = |status: &OwnershipStatus| matches!(status, OwnershipStatus::Lost { .. });
    stands(&owner, "word of the loss", lost).await;
    assert!(cut.elapsed() < TTL, "it knew before the store did: {:?}", cut.elapsed());
    within("the end of the key", async {
        while value_of(&store, "/a").await.is_some() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    proxy.resume();
    stands(&owner, "a new lease", is_held).await;
    assert_ne!(lease_of(&owner).await, first);
    assert_eq!(value_of(&store, "/a").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn after_a_loss_a_newer_owners_key_is_left_alone() {
    let etcd = Etcd::start(1).await.unwrap();
    let proxy = Proxy::start(etcd.member(0).address()).await.unwrap();
    let store = store(&etcd);
    let old = owner(&store_at(vec![proxy.endpoint()]), TTL.as_secs(), &[("/a", "old"), ("/b", "old")]).await;
    let first = lease_of(&old).await;
    proxy.stall();
    etcd.revoke(first).await.unwrap();
    let new = owner(&store, 30, &[("/a", "new")]).await;
    proxy.resume();
    let replaced = |status: &OwnershipStatus| matches!(status, OwnershipStatus::Replaced { .. });
    let status = stands(&old, "word of the replacement", replaced).await;
    assert_eq!(status, OwnershipStatus::Replaced { key: "/a".into(), lease: lease_of(&new).await });
    assert_eq!(value_of(&store, "/a").await.as_deref(), Some("new"));
    assert_eq!(value_of(&store, "/b").await.as_deref(), Some("old"), "the other came back");
}

#[tokio::test]
async fn an_owner_that_begins_during_an_outage_announces_when_it_ends() {
    let etcd = Etcd::start(1).await.unwrap();
    let store = store(&etcd);
    etcd.member(0).kill().unwrap();
    let owner = store.own(LeaseSettings::new(TTL));
    owner.declare(keys(&[("/a", "1")]));
    let waits = |status: &OwnershipStatus| matches!(status, OwnershipStatus::Pending { error: Some(_) });
    stands(&owner, "word of the outage", waits).await;
    etcd.member(0).restart().await.unwrap();
    within("the announcement", owner.applied()).await.unwrap();
    assert_eq!(value_of(&store, "/a").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_set_the_store_refuses_is_an_error_and_a_smaller_one_mends_it() {
    let etcd = Etcd::start(1).await.unwrap();
    let store = store(&etcd);
    let owner = owner(&store, 30, &[("/a", "1")]).await;
    let large = vec![b'x'; 2 << 20];
    owner.declare([("/a".to_owned(), large)].into());
    assert_eq!(within("an answer", owner.applied()).await.unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(value_of(&store, "/a").await.as_deref(), Some("1"), "the old value stays");

    owner.declare(keys(&[("/a", "2")]));
    within("the change", owner.applied()).await.unwrap();
    assert_eq!(value_of(&store, "/a").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn a_set_beyond_the_limit_of_a_transaction_is_put_and_removed_in_several() {
    let etcd = Etcd::start(1).await.unwrap();
    let store = store(&etcd);
    let owner = owner(&store, 30, &[("/a", "1")]).await;
    let mut many: std::collections::BTreeMap<_, _> =
        (0..300).map(|number| (format!("/many/{number:03}"), b"1".to_vec())).collect();
    many.insert("/a".to_owned(), b"2".to_vec());
    let before = store.revision().await.unwrap();
    owner.declare(many);
    let revision = within("the large set", owner.applied()).await.unwrap();
    assert_eq!(revision.get(), before.get() + 3);
    let listed = store.list("/many/").await.unwrap();
    assert_eq!(listed.entries.len(), 300);
    let first = value_of(&store, "/a").await;
    assert_eq!(first.as_deref(), Some("2"));
    let put_at = store.get("/a").await.unwrap().unwrap().mod_revision;
    assert!(listed.entries.values().all(|entry| entry.mod_revision >= put_at), "in the order of the keys");

    owner.declare(keys(&[("/a", "2")]));
    within("the removal", owner.applied()).await.unwrap();
    assert!(store.list("/many/").await.unwrap().entries.is_empty());
}

#[tokio::test]
async fn the_owner_hears_when_its_last_answered_keep_alive_was_sent() {
    let etcd = Etcd::start(1).await.unwrap();
    let store = store(&etcd);
    let asked = tokio::time::Instant::now();
    let owner = owner(&store, TTL.as_secs(), &[("/a", "1")]).await;
    let mut answered = owner.answered();
    let first = answered.borrow_and_update().unwrap();
    assert_eq!((first.lease, first.ttl), (lease_of(&owner).await, TTL));
    assert!(first.sent >= asked);
    within("a keep-alive", answered.changed()).await.unwrap();
    let second = answered.borrow_and_update().unwrap();
    assert!(second.sent > first.sent && second.lease == first.lease);

    etcd.member(0).freeze().unwrap();
    tokio::time::sleep(2 * TTL).await;
    let last = answered.borrow_and_update().unwrap_or(second);
    assert!(last.sent <= second.sent + TTL, "nothing was answered, so nothing was heard");
    etcd.member(0).thaw().unwrap();
    let again = async {
        loop {
            answered.changed().await.unwrap();
            if let Some(heard) = *answered.borrow_and_update()
                && heard.sent > last.sent
            {
                return heard;
            }
        }
    };
    assert!(within("the store again", again).await.sent > last.sent);
}

#[tokio::test]
async fn a_slow_store_does_not_cost_the_lease_however_much_there_is_to_write() {
    let etcd = Etcd::start(1).await.unwrap();
    let proxy = Proxy::start(etcd.member(0).address()).await.unwrap();
    let owner = owner(&store_at(vec![proxy.endpoint()]), TTL.as_secs(), &[("/a", "0")]).await;
    let lease = lease_of(&owner).await;
    proxy.slow(Duration::from_millis(450));
    let mut status = owner.status();
    let end = Instant::now() + 5 * TTL;
    let mut number = 0;
    while Instant::now() < end {
        number += 1;
        owner.declare(keys(&[("/a", &number.to_string())]));
        let _ = tokio::time::timeout(Duration::from_millis(300), status.changed()).await;
        let now = status.borrow_and_update().clone();
        assert!(!matches!(now, OwnershipStatus::Lost { .. } | OwnershipStatus::AtRisk { .. }), "{now:?}");
    }
    proxy.resume();
    within("the last value", owner.applied()).await.unwrap();
    assert_eq!(lease_of(&owner).await, lease);
    assert_eq!(value_of(&store(&etcd), "/a").await, Some(number.to_string()));
}
