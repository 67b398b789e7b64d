//! Restarts and updates, all at once and one after another.

use convoy_keys::{Record, UnitRecord};

use crate::world::World;

fn app(word: &str) -> String {
    format!("[Service]\nExecStart=/bin/app {word}\n")
}

async fn record(world: &World, unit: &str) -> UnitRecord {
    let entry = world.store.get(&format!("/convoy/units/{unit}")).await.unwrap().unwrap();
    UnitRecord::parse(&entry.value).unwrap()
}

#[tokio::test]
async fn a_restart_is_over_when_the_unit_runs_again() {
    let world = World::start(2).await;
    world.file("app@.service", &app("ANNOUNCED"));
    world.run("start app@{1..4}").await.expect(0);
    let restarted = world.run("restart app@{1..4}").await.expect(0);
    assert!(restarted.sorted()[0].starts_with("Unit app@1.service restarted on m"), "{}", restarted.out);
    world.run("restart --max-unavailable=2 app@{1..4}").await.expect(0);
    // A stopped instance is none of the template's business.
    world.run("stop app@4").await.expect(0);
    world.run("submit app@.service").await.expect(0);
    assert_eq!(world.run("restart app@.service").await.expect(0).out.lines().count(), 3);
    assert_eq!(record(&world, "app@1.service").await.restarts, 3);
    assert_eq!(record(&world, "app@4.service").await.restarts, 2);
    world.run("restart app@4").await.expect(0);
    assert_eq!(
        world.run("restart --no-block app@4").await.expect(0).out,
        "Triggered unit app@4.service restart\n"
    );
    world.run("restart nobody").await.expect(4);
}

#[tokio::test]
async fn two_operators_restarts_both_count() {
    let world = World::start(1).await;
    world.file("app.service", &app("x"));
    world.run("start app.service").await.expect(0);
    let restarts = (0..8).map(|_| world.run("restart app"));
    for ended in futures_util::future::join_all(restarts).await {
        ended.expect(0);
    }
    assert_eq!(record(&world, "app.service").await.restarts, 8);
}

#[tokio::test]
async fn an_update_goes_from_instance_to_instance() {
    let world = World::start(2).await;
    let path = world.file("app@.service", &app("ANNOUNCED one"));
    world.run("submit app@.service").await.expect(0);
    world.run("start app@{1..3}").await.expect(0);
    world.run("load app@9").await.expect(0);
    std::fs::write(&path, app("ANNOUNCED two")).unwrap();
    let updated = world.run("update app@.service --max-unavailable 1").await.expect(0);
    let lines: Vec<_> = updated.out.lines().collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[0].contains(" updated on m"), "{lines:?}");
    assert_eq!(lines[3], "Template app@.service updated");
    for unit in ["app@.service", "app@1.service", "app@2.service", "app@3.service", "app@9.service"] {
        assert!(record(&world, unit).await.text.contains("two"), "{unit}");
    }
    // Again: nothing differs, so nothing is restarted.
    assert_eq!(world.run("update app@.service").await.expect(0).out, "Template app@.service updated\n");
    assert_eq!(record(&world, "app@1.service").await.restarts, 0);
}

#[tokio::test]
async fn an_update_that_fails_stops_and_says_what_is_left() {
    let world = World::start(2).await;
    let path = world.file("app@.service", &app("good"));
    world.run("submit app@.service").await.expect(0);
    world.run("start app@{1..3}").await.expect(0);
    std::fs::write(&path, app("FAILS")).unwrap();
    let failed = world.run("update app@.service").await.expect(3);
    assert!(failed.err.contains("app@1.service failed on m"), "{}", failed.err);
    assert!(failed.err.contains("Left as they were: app@2.service app@3.service"), "{}", failed.err);
    for unit in ["app@.service", "app@2.service", "app@3.service"] {
        assert!(record(&world, unit).await.text.contains("good"), "{unit}");
    }
    // Back to what was good: the one that failed comes first.
    std::fs::write(&path, app("good")).unwrap();
    assert!(world.run("update app@.service").await.expect(0).out.starts_with("Unit app@1.service updated"));
    // A broken text is never begun with.
    std::fs::write(&path, "[X-Fleet]\nConflict=x\n").unwrap();
    world.run("update app@.service").await.expect(2);
    world.run("update nobody.service").await.expect(4);
}

#[tokio::test]
async fn what_fails_to_start_ends_the_wait() {
    let world = World::start(1).await;
    world.file("app.service", &app("FAILS"));
    let failed = world.run("start app.service").await.expect(3);
    assert!(failed.err.contains("app.service failed on m1/10.0.0.1"), "{}", failed.err);
    // An old failure is no answer to a new start.
    world.file("app.service", &app("works"));
    world.run("start --replace app.service").await.expect(0);
}
