//! Containers behind an engine in memory: found, followed, lost and found again.

use std::time::Duration;

use serde_json::{Value, json};

use crate::engine::{FakeEngine, container};
use crate::stage::{App, Registrar, SOON, Stage, UPSTREAM};

/// A registrar that follows the container in the engine.
fn follow(stage: &Stage, engine: &FakeEngine, check: &str) -> Registrar {
    let socket = format!("--engine={}", engine.socket());
    stage.registrar("a", &[&socket, check])
}

fn plain(id: &str, ip: &str) -> Value {
    container(id, ip, &json!({}))
}

#[tokio::test]
async fn a_container_is_followed_from_start_to_death_to_its_next_address() {
    let stage = Stage::new().await;
    let engine = FakeEngine::start(stage.folder.path());
    let mut registrar = follow(&stage, &engine, "--check=none");
    registrar.wait_status("there is no container someapp-1").await;

    engine.run("someapp-1", plain("one", "172.17.0.2"));
    stage.wait_value(UPSTREAM, Some("172.17.0.2:3000")).await;
    registrar.wait_told("READY=1", "").await;

    engine.kill("someapp-1");
    stage.wait_value(UPSTREAM, None).await;
    registrar.wait_status("container someapp-1 does not run (exit code 137)").await;
    assert!(registrar.log().contains("the container's process ended (exit code 137)"), "{}", registrar.log());

    engine.run("someapp-1", plain("two", "172.17.0.9"));
    stage.wait_value(UPSTREAM, Some("172.17.0.9:3000")).await;
    let record = stage.value("/convoy/instances/someapp/1").await.unwrap();
    assert!(record.contains(r#""container_id":"two""#), "{record}");
    registrar.stop().await;
}

#[tokio::test]
async fn what_happened_while_the_engine_was_away_is_seen_when_it_is_back() {
    let stage = Stage::new().await;
    let mut engine = FakeEngine::start(stage.folder.path());
    engine.place("someapp-1", plain("one", "172.17.0.2"));
    let mut registrar = follow(&stage, &engine, "--check=none");
    stage.wait_value(UPSTREAM, Some("172.17.0.2:3000")).await;

    engine.stop();
    registrar.wait_status("STATUS=listed ").await;
    crate::stage::wait("the trouble is said", async || {
        let log = registrar.log();
        if log.contains("can't be followed at the moment") { Ok(()) } else { Err(log) }
    })
    .await;
    assert_eq!(stage.value(UPSTREAM).await.as_deref(), Some("172.17.0.2:3000"), "what is known stays");

    engine.place("someapp-1", plain("two", "172.17.0.3"));
    engine.resume();
    stage.wait_value(UPSTREAM, Some("172.17.0.3:3000")).await;

    engine.stop();
    engine.take_away("someapp-1");
    engine.resume();
    stage.wait_value(UPSTREAM, None).await;
    registrar.stop().await;
}

#[tokio::test]
async fn an_engine_that_comes_later_is_waited_for() {
    let stage = Stage::new().await;
    let mut engine = FakeEngine::start(stage.folder.path());
    engine.place("someapp-1", plain("one", "172.17.0.2"));
    engine.stop();
    let mut registrar = follow(&stage, &engine, "--check=none");
    registrar.wait_status("no container engine: ").await;
    engine.resume();
    stage.wait_value(UPSTREAM, Some("172.17.0.2:3000")).await;
    registrar.stop().await;
}

#[tokio::test]
async fn a_death_that_is_told_late_or_of_another_container_changes_nothing() {
    let stage = Stage::new().await;
    let engine = FakeEngine::start(stage.folder.path());
    engine.place("someapp-1", plain("one", "172.17.0.2"));
    let mut registrar = follow(&stage, &engine, "--check=none");
    registrar.wait_told("READY=1", "").await;
    let before = stage.store.revision().await.unwrap();

    // From before it was seen running, as Podman tells it at times; and of others, one with a longer name.
    engine.tell_death("one", "someapp-1", 1_000_000_000);
    engine.tell_death("other", "someapp-10", 4_000_000_000_000_000_000);
    // Handled in order: when the health of this one has arrived, those before it have been dealt with.
    engine.place("someapp-1", container("one", "172.17.0.2", &json!({ "convoy.weight": "7" })));
    engine.set_health("someapp-1", "healthy");
    crate::stage::wait("the new weight", async || {
        let record = stage.value("/convoy/instances/someapp/1").await.unwrap_or_default();
        if record.contains(r#""weight":7"#) { Ok(()) } else { Err(record) }
    })
    .await;
    let key = stage.store.get(UPSTREAM).await.unwrap().unwrap();
    assert!(key.mod_revision <= before, "the key was taken away in between\n{}", registrar.log());
    registrar.stop().await;
}

#[tokio::test]
async fn a_container_that_can_not_be_announced_says_what_to_set() {
    let stage = Stage::new().await;
    let engine = FakeEngine::start(stage.folder.path());
    let mut loopback = plain("one", "172.17.0.2");
    loopback["NetworkSettings"]["Ports"] =
        json!({ "3000/tcp": [{ "HostIp": "127.0.0.1", "HostPort": "8080" }] });
    engine.place("someapp-1", loopback);
    let mut registrar = follow(&stage, &engine, "--check=none");
    registrar.wait_status("not listed: port 3000 is published on 127.0.0.1 only").await;

    engine.run("someapp-1", container("two", "172.17.0.2", &json!({ "convoy.port": "http" })));
    registrar.wait_status("not listed: label convoy.port: \"http\" is no TCP port").await;
    engine.run("someapp-1", container("three", "172.17.0.2", &json!({ "convoy.prot": "80" })));
    registrar.wait_status("not listed: label convoy.prot: no option that a label can set").await;
    assert_eq!(stage.value(UPSTREAM).await, None);

    engine.run("someapp-1", container("four", "172.17.0.2", &json!({ "convoy.port": "8080" })));
    stage.wait_value(UPSTREAM, Some("172.17.0.2:8080")).await;
    registrar.stop().await;
}

#[tokio::test]
async fn a_container_of_another_name_is_found_by_the_label_of_its_unit() {
    let stage = Stage::new().await;
    let engine = FakeEngine::start(stage.folder.path());
    let labels = json!({ "PODMAN_SYSTEMD_UNIT": "someapp@1.service" });
    engine.place("systemd-someapp_1", container("one", "10.88.0.5", &labels));
    let mut registrar = follow(&stage, &engine, "--check=none");
    stage.wait_value(UPSTREAM, Some("10.88.0.5:3000")).await;
    engine.kill("systemd-someapp_1");
    stage.wait_value(UPSTREAM, None).await;
    registrar.stop().await;
}

#[tokio::test]
async fn the_engines_own_health_check_can_decide() {
    let stage = Stage::new().await;
    let engine = FakeEngine::start(stage.folder.path());
    engine.place("someapp-1", plain("one", "172.17.0.2"));
    let mut registrar = follow(&stage, &engine, "--check=engine");
    registrar.wait_status("the container's image has no HEALTHCHECK").await;
    engine.set_health("someapp-1", "starting");
    stage.wait_state("starting").await;
    engine.set_health("someapp-1", "healthy");
    stage.wait_value(UPSTREAM, Some("172.17.0.2:3000")).await;
    engine.set_health("someapp-1", "unhealthy");
    stage.wait_value(UPSTREAM, None).await;
    stage.wait_state("failing").await;
    registrar.stop().await;
}

#[tokio::test]
async fn a_restarted_container_has_to_prove_its_health_again() {
    let stage = Stage::new().await;
    let engine = FakeEngine::start(stage.folder.path());
    let app = App::start(200).await;
    let port = app.address.port().to_string();
    let labels = json!({ "convoy.port": port, "convoy.check": "http:/" });
    engine.place("someapp-1", container("one", "127.0.0.1", &labels));
    let mut registrar = stage.registrar("a", &[&format!("--engine={}", engine.socket()), "--grace=1m"]);
    stage.wait_value(UPSTREAM, Some(&app.address.to_string())).await;

    app.answer(503);
    engine.run("someapp-1", container("two", "127.0.0.1", &labels));
    stage.wait_value(UPSTREAM, None).await;
    stage.wait_state("starting").await;
    app.answer(200);
    stage.wait_value(UPSTREAM, Some(&app.address.to_string())).await;
    registrar.stop().await;
}

#[tokio::test]
async fn a_death_reaches_the_store_by_its_event_and_not_by_a_look() {
    let stage = Stage::new().await;
    let engine = FakeEngine::start(stage.folder.path());
    let mut registrar = follow(&stage, &engine, "--check=none");
    let mut feed = stage.store.follow(&[UPSTREAM]);
    let mut took = Vec::new();
    for run in 0..9 {
        engine.run("someapp-1", plain(&format!("run-{run}"), "172.17.0.2"));
        stage.wait_value(UPSTREAM, Some("172.17.0.2:3000")).await;
        let began = tokio::time::Instant::now();
        engine.kill("someapp-1");
        let gone = async {
            let mut mirror = convoy_store::Mirror::new();
            loop {
                let event = feed.next().await;
                if let convoy_store::FeedEvent::Changed { changes, .. } = &event
                    && changes.iter().any(|change| matches!(change, convoy_store::Change::Delete { .. }))
                {
                    return;
                }
                mirror.apply(&event);
            }
        };
        tokio::time::timeout(SOON, gone).await.unwrap();
        took.push(began.elapsed());
    }
    took.sort();
    // `make bench` has the numbers. A busy machine may be slow, but not as slow as the next look at the engine.
    assert!(took[took.len() / 2] < Duration::from_secs(1), "{took:?}");
    registrar.stop().await;
}
