//! Plain services: health, readiness and the way out.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::stage::{App, RECORD, SOON, Stage, UPSTREAM, keys};

#[tokio::test]
async fn a_service_is_listed_when_it_passes_and_ready_means_listed() {
    let stage = Stage::new().await;
    let app = App::start(503).await;
    let mut registrar = stage.registrar("a", &[&app.at(), "--check=http:/healthz", "--grace=1m"]);
    registrar.wait_status("not listed yet").await;
    stage.wait_state("starting").await;
    assert_eq!(stage.value(UPSTREAM).await, None);
    registrar.wait_told("EXTEND_TIMEOUT_USEC=", "").await;
    assert!(!registrar.told().contains(&"READY=1".to_owned()), "ready before it is listed");

    app.answer(200);
    registrar.wait_told("READY=1", "").await;
    assert_eq!(stage.value(UPSTREAM).await, Some(app.address.to_string()), "ready means listed");
    registrar
        .wait_status(&format!("listed {} as {UPSTREAM}, lease 5 s, check http:/healthz ok", app.address))
        .await;

    registrar.stop().await;
    assert!(keys(&stage).await.is_empty(), "{:?}", keys(&stage).await);
    let told = registrar.told();
    assert!(told.contains(&"STOPPING=1".to_owned()), "{told:?}");
}

#[tokio::test]
async fn a_failing_service_leaves_the_list_with_a_record_and_returns() {
    let stage = Stage::new().await;
    let app = App::start(200).await;
    let mut registrar = stage.registrar("a", &[&app.at(), "--check=http:/"]);
    stage.wait_value(UPSTREAM, Some(&app.address.to_string())).await;

    app.answer(500);
    stage.wait_value(UPSTREAM, None).await;
    stage.wait_state("failing").await;
    registrar.wait_status("answered GET / with status 500, expected 200-399").await;

    app.answer(200);
    stage.wait_value(UPSTREAM, Some(&app.address.to_string())).await;
    stage.wait_state("passing").await;
    registrar.stop().await;
    let log = registrar.log();
    for said in
        ["the instance is failing: ", "no longer listed: ", "the instance is passing", "listed 127.0.0.1:"]
    {
        assert!(log.contains(said), "{said:?} is missing:\n{log}");
    }
}

#[tokio::test]
async fn a_service_that_is_slow_to_start_can_be_ready_at_once() {
    let stage = Stage::new().await;
    let app = App::start(503).await;
    let mut registrar =
        stage.registrar("a", &[&app.at(), "--check=http:/", "--grace=1m", "--ready=watching"]);
    registrar.wait_told("READY=1", "").await;
    assert_eq!(stage.value(UPSTREAM).await, None);
    app.answer(200);
    stage.wait_value(UPSTREAM, Some(&app.address.to_string())).await;
    registrar.stop().await;
}

#[tokio::test]
async fn nothing_is_written_while_nothing_changes() {
    let stage = Stage::new().await;
    let app = App::start(200).await;
    let mut registrar = stage.registrar("a", &[&app.at()]);
    registrar.wait_status("STATUS=listed ").await;
    let before = stage.store.revision().await.unwrap();
    // Longer than the lease: it was kept alive in the meantime.
    let quiet = timeout(Duration::from_secs(7), async {
        let mut feed = stage.store.follow(&["/services/", "/convoy/"]);
        feed.next().await;
        loop {
            if let convoy_store::FeedEvent::Changed { changes, .. } = feed.next().await {
                return changes;
            }
        }
    });
    assert!(quiet.await.is_err(), "something was written");
    assert_eq!(stage.store.revision().await.unwrap(), before);
    assert_eq!(stage.value(UPSTREAM).await, Some(app.address.to_string()));
    registrar.stop().await;
}

#[tokio::test]
async fn keys_and_weight_follow_the_options() {
    let stage = Stage::new().await;
    let app = App::start(200).await;
    let key = "--key=/services/{app}/{private_ipv4},/services/{app}/upstream/{container}";
    let mut registrar =
        stage.registrar("a", &[&app.at(), key, "--advertise=10.0.0.7", "--weight=50", "--check=none"]);
    registrar.wait_told("READY=1", "").await;
    let found = keys(&stage).await;
    let names: Vec<_> = found.keys().map(String::as_str).collect();
    assert_eq!(names, [RECORD, "/services/someapp/10.0.0.7", "/services/someapp/upstream/someapp-1"]);
    assert!(found[RECORD].contains(r#""weight":50"#), "{found:?}");
    registrar.stop().await;
}

#[tokio::test]
async fn a_stop_waits_until_every_reader_serves_without_the_instance() {
    let stage = Stage::new().await;
    let app = App::start(200).await;
    let mut registrar = stage.registrar("a", &[&app.at(), "--drain=30s"]);
    registrar.wait_status("STATUS=listed ").await;
    let listed = stage.store.revision().await.unwrap();
    for reader in ["lb-1", "edge"] {
        let key = format!("/convoy/applied/someapp/{reader}");
        stage.store.put(&key, listed.to_string().as_bytes()).await.unwrap();
    }
    registrar.signal("-TERM");
    stage.wait_value(UPSTREAM, None).await;
    stage.wait_state("draining").await;
    registrar.wait_status("draining").await;
    let withdrawn = stage.store.get(RECORD).await.unwrap().unwrap().mod_revision.to_string();

    stage.store.put("/convoy/applied/someapp/lb-1", withdrawn.as_bytes()).await.unwrap();
    let ended = timeout(Duration::from_millis(300), registrar.ended()).await;
    assert!(ended.is_err(), "it did not wait for the second reader");
    assert!(stage.value(RECORD).await.is_some());

    stage.store.put("/convoy/applied/someapp/edge", withdrawn.as_bytes()).await.unwrap();
    assert!(registrar.ended().await.success());
    assert!(keys(&stage).await.is_empty());
    assert!(registrar.log().contains("drained: 2 readers serve without the instance"), "{}", registrar.log());
}

#[tokio::test]
async fn a_reader_that_says_nothing_holds_a_stop_up_for_the_drain_time_only() {
    let stage = Stage::new().await;
    let app = App::start(200).await;
    let mut registrar = stage.registrar("a", &[&app.at(), "--drain=1s"]);
    registrar.wait_status("STATUS=listed ").await;
    stage.store.put("/convoy/applied/someapp/lb-1", b"1").await.unwrap();
    // Not a revision: nobody to wait for.
    stage.store.put("/convoy/applied/someapp/broken", b"soon").await.unwrap();
    let began = Instant::now();
    registrar.stop().await;
    assert!(began.elapsed() >= Duration::from_secs(1) && began.elapsed() < SOON / 2, "{:?}", began.elapsed());
    let log = registrar.log();
    assert!(log.contains("did not say in time that they serve without the instance: lb-1"), "{log}");
}

#[tokio::test]
async fn a_second_signal_cuts_the_drain_short() {
    let stage = Stage::new().await;
    let app = App::start(200).await;
    let mut registrar = stage.registrar("a", &[&app.at(), "--drain=5m"]);
    registrar.wait_status("STATUS=listed ").await;
    stage.store.put("/convoy/applied/someapp/lb-1", b"1").await.unwrap();
    registrar.signal("-TERM");
    registrar.wait_status("draining").await;
    registrar.stop().await;
    assert!(keys(&stage).await.is_empty());
}
