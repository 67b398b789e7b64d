//! The store on a bad day: away, back, lease lost, crash, a second owner.

use std::time::Duration;

use tokio::time::sleep;

use crate::stage::{App, Stage, UPSTREAM, wait};

#[tokio::test]
async fn a_store_that_is_away_is_said_and_nothing_stops() {
    let stage = Stage::new().await;
    let app = App::start(200).await;
    let member = stage.etcd.member(0);
    member.kill().unwrap();
    let mut registrar = stage.registrar("a", &[&app.at(), "--check=http:/"]);
    registrar.wait_status("is well, but not listed yet: ").await;
    member.restart().await.unwrap();
    registrar.wait_told("READY=1", "").await;

    member.kill().unwrap();
    registrar.wait_status("but the lease can't be renewed at the moment").await;
    // The checks go on meanwhile, and what they find arrives in the store when it is back.
    app.answer(500);
    registrar.wait_status("fails its check").await;
    member.restart().await.unwrap();
    stage.wait_value(UPSTREAM, None).await;
    app.answer(200);
    stage.wait_value(UPSTREAM, Some(&app.address.to_string())).await;
    registrar.wait_status("STATUS=listed ").await;
    let log = registrar.log();
    assert!(
        log.contains("the store can't be reached") && log.contains("the store holds the announcement again"),
        "{log}"
    );
    registrar.stop().await;
}

#[tokio::test]
async fn a_stop_without_a_store_is_bounded() {
    let stage = Stage::new().await;
    let app = App::start(200).await;
    let mut registrar = stage.registrar("a", &[&app.at(), "--drain=5m"]);
    registrar.wait_status("STATUS=listed ").await;
    stage.etcd.member(0).freeze().unwrap();
    registrar.stop().await;
    assert!(registrar.log().contains("the keys go when it runs out"), "{}", registrar.log());
    stage.etcd.member(0).thaw().unwrap();
}

#[tokio::test]
async fn a_lease_that_was_lost_is_replaced_and_the_keys_come_back() {
    let stage = Stage::new().await;
    let app = App::start(200).await;
    let mut registrar = stage.registrar("a", &[&app.at()]);
    registrar.wait_status("STATUS=listed ").await;
    let entry = stage.store.get(UPSTREAM).await.unwrap().unwrap();
    stage.etcd.revoke(entry.lease).await.unwrap();
    wait("the key under another lease", async || match stage.store.get(UPSTREAM).await.unwrap() {
        Some(now) if now.lease != entry.lease => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    registrar.wait_status("STATUS=listed ").await;
    registrar.stop().await;
}

#[tokio::test]
async fn a_crash_leaves_the_key_and_the_next_registrar_takes_it_over() {
    let stage = Stage::new().await;
    let app = App::start(200).await;
    let mut first = stage.registrar("first", &[&app.at()]);
    first.wait_status("STATUS=listed ").await;
    let before = stage.store.get(UPSTREAM).await.unwrap().unwrap();
    first.signal("-KILL");
    first.ended().await;
    assert_eq!(stage.value(UPSTREAM).await, Some(app.address.to_string()), "the lease bridges a crash");

    let mut second = stage.registrar("second", &[&app.at()]);
    second.wait_status("STATUS=listed ").await;
    let after = stage.store.get(UPSTREAM).await.unwrap().unwrap();
    assert_ne!(after.lease, before.lease);
    assert_eq!(after.create_revision, before.create_revision, "the key was gone in between");
    // The dead one's lease runs out after 5 s, and takes nothing along.
    for _ in 0..80 {
        assert_eq!(stage.value(UPSTREAM).await, Some(app.address.to_string()));
        sleep(Duration::from_millis(100)).await;
    }
    second.stop().await;
    assert_eq!(stage.value(UPSTREAM).await, None);
}

#[tokio::test]
async fn of_two_owners_the_newer_wins_and_the_older_returns_after_it() {
    let stage = Stage::new().await;
    let (old, new) = (App::start(200).await, App::start(200).await);
    let mut first = stage.registrar("first", &[&old.at()]);
    first.wait_status("STATUS=listed ").await;
    let mut second = stage.registrar("second", &[&new.at()]);
    second.wait_status("STATUS=listed ").await;
    stage.wait_value(UPSTREAM, Some(&new.address.to_string())).await;
    first.wait_status("belongs to a newer owner").await;
    assert_eq!(stage.value(UPSTREAM).await, Some(new.address.to_string()), "they fight");

    second.stop().await;
    stage.wait_value(UPSTREAM, Some(&old.address.to_string())).await;
    first.wait_status("STATUS=listed ").await;
    first.stop().await;
}
