//! What goes wrong, and with which exit code.

use crate::world::{World, run};

#[tokio::test]
async fn a_store_that_is_away_is_an_error_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["list-units", "start a", "destroy a", "plan", "drain m1"] {
        let words: Vec<&str> = command.split(' ').collect();
        let ended = run(folder.path(), "http://127.0.0.1:1", &words).await.expect(1);
        assert!(ended.err.contains("http://127.0.0.1:1") && ended.out.is_empty(), "{}", ended.err);
    }
}

#[tokio::test]
async fn nothing_placed_without_a_scheduler_is_said() {
    let world = World::start(1).await;
    world.stop_scheduling();
    world.store.delete("/convoy/leader").await.unwrap();
    world.file("a.service", "[Service]\nExecStart=/bin/x\n");
    let ended = world.run("start --block-attempts=1 a.service").await.expect(3);
    assert!(ended.err.contains("No scheduler leads"), "{}", ended.err);
    assert!(world.run("list-units").await.expect(0).err.contains("no scheduler leads"));
}

#[tokio::test]
async fn values_that_somebody_wrote_by_hand_are_passed_over_and_can_be_destroyed() {
    let world = World::start(1).await;
    world.put("/convoy/units/evil.service", r#"{"text":42}"#).await;
    world.put("/convoy/units/../../etc", "x").await;
    world.put("/convoy/states/m1/evil.service", "[]").await;
    world.file("a.service", "[Service]\nExecStart=/bin/x\n");
    let started = world.run("start a.service").await.expect(0);
    assert!(started.err.contains("/convoy/units/evil.service is passed over"), "{}", started.err);
    assert!(world.run("start evil").await.expect(4).err.contains("evil.service"));
    world.store.delete("/convoy/states/m1/evil.service").await.unwrap();
    world.run("destroy evil").await.expect(0);
    assert!(world.store.get("/convoy/units/evil.service").await.unwrap().is_none());
}

#[tokio::test]
async fn every_end_has_its_exit_code() {
    let world = World::start(1).await;
    for (command, code) in [
        ("list-units --fields=unit,color", 64),
        ("list-units --fields=help", 0),
        ("stop nobody", 4),
        ("unload nobody", 4),
        ("destroy nobody", 4),
        ("cat nobody", 4),
        ("status nobody", 4),
        ("journal nobody", 4),
        ("explain nobody", 4),
        ("ssh nobody", 4),
        ("start a/b/", 4),
        ("start a{1..99999}", 64),
        ("version", 0),
    ] {
        let ended = world.run(command).await;
        assert_eq!(ended.code, Some(code), "{command}: {}{}", ended.out, ended.err);
    }
    // One that is there and one that isn't: what can be done is done.
    world.file("a.service", "[Service]\nExecStart=/bin/x\n");
    world.run("start a.service").await.expect(0);
    assert!(world.run("stop a nobody").await.expect(4).out.contains("Unit a.service loaded on m1"));
}
