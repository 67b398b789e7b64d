//! Machines: drained, cordoned, moved from, lost.

use crate::world::World;

const APP: &str = "[Service]\nExecStart=/bin/app\n[X-Fleet]\nConflicts=app@*.service\n";

#[tokio::test]
async fn a_drained_machine_is_left_and_a_cordoned_one_gets_nothing() {
    let world = World::start(3).await;
    world.file("app@.service", APP);
    world.run("start app@{1,2}").await.expect(0);
    let from = world.machine_of("app@1.service").await.unwrap();
    let planned = world.run(&format!("plan --drain {from}")).await.expect(0);
    assert!(planned.out.contains(&format!("app@1.service\tmoves from {from} to m")), "{}", planned.out);
    assert_eq!(world.machine_of("app@1.service").await.unwrap(), from, "a plan changes nothing");

    let drained = world.run(&format!("drain {from}")).await.expect(0);
    assert!(
        drained.out.contains(&format!("Machine {from}/")) && drained.out.contains(" drained"),
        "{}",
        drained.out
    );
    assert_ne!(world.machine_of("app@1.service").await.unwrap(), from);
    let machines = world.run("list-machines --no-legend --fields=machine,maintenance,units").await.expect(0);
    assert!(machines.out.contains(&format!("{from}\tdrain\t0\n")), "{}", machines.out);
    world.run("start --block-attempts=1 app@3").await.expect(3);
    let released = world.run(&format!("undrain {from}")).await.expect(0);
    assert!(released.out.contains("takes units again (was: drain)"), "{}", released.out);
    world.run("start app@3").await.expect(0);
    world.run("destroy app@3").await.expect(0);
    world.run(&format!("cordon host{}", &from[1..])).await.expect(0);
    world.run("start --block-attempts=1 app@3").await.expect(3);
    world.run(&format!("uncordon 10.0.0.{}", &from[1..])).await.expect(0);
    world.run("start app@3").await.expect(0);
    // The last machine of a unit can't be emptied.
    let stuck = world.run("drain --block-attempts=1 m1").await.expect(3);
    assert!(stuck.err.contains("waits for a machine"), "{}", stuck.err);
    world.run("drain m7").await.expect(4);
    world.run("announce-reboot --within 90s m1").await.expect(0);
    world.run("announce-reboot --within never m1").await.expect(64);
}

#[tokio::test]
async fn a_unit_moves_when_it_is_told_to_and_when_it_may() {
    let world = World::start(3).await;
    world.file("app@.service", APP);
    world.run("start app@{1,2}").await.expect(0);
    let (one, two) =
        (world.machine_of("app@1.service").await.unwrap(), world.machine_of("app@2.service").await.unwrap());
    let free = ["m1", "m2", "m3"].into_iter().find(|machine| *machine != one && *machine != two).unwrap();
    let moved = world.run(&format!("move app@1 {free}")).await.expect(0);
    assert!(moved.out.starts_with(&format!("Unit app@1.service moved to {free}/")), "{}", moved.out);
    assert_eq!(world.machine_of("app@1.service").await.as_deref(), Some(free));
    world.wait_key("/convoy/moves/app@1.service", false).await;
    assert!(world.run(&format!("move app@1 {free}")).await.expect(0).out.contains("already"));
    world.run("move app@9 m1").await.expect(4);
    world.run("move app@1 m9").await.expect(4);
    // Pinned units stay.
    world.file("pin.service", "[Service]\nExecStart=/bin/x\n[X-Fleet]\nMachineID=m2\n");
    world.run("start pin.service").await.expect(0);
    assert!(world.run("move pin m1").await.expect(3).err.contains("can't go to m1"));
}

#[tokio::test]
async fn machines_are_evened_out_on_request() {
    let world = World::start(3).await;
    world.file("app@.service", "[Service]\nExecStart=/bin/app\n");
    world.run("cordon m2 m3").await.expect(0);
    world.run("start app@{1..6}").await.expect(0);
    world.run("uncordon m2 m3").await.expect(0);
    let dry = world.run("rebalance --dry-run").await.expect(0);
    assert_eq!(dry.out.lines().count(), 4, "{}", dry.out);
    world.run("rebalance").await.expect(0);
    let machines = world.run("list-machines --no-legend --fields=machine,units").await.expect(0);
    assert_eq!(machines.out, "m1\t2\nm2\t2\nm3\t2\n");
    assert!(world.run("rebalance").await.expect(0).out.contains("in balance"));
}

#[tokio::test]
async fn plans_are_made_of_the_live_cluster() {
    let world = World::start(2).await;
    world.file("app@.service", APP);
    world.run("start app@{1,2}").await.expect(0);
    world.file("app@3.service", APP);
    let third = world.run("plan --submit app@3.service").await.expect(3);
    assert!(third.out.contains("app@3.service\twaits"), "{}", third.out);
    world.run("plan --submit app@3.service --destroy app@1").await.expect(0);
    let lost = world.run("plan --without m1 --output json").await.expect(3);
    let json: serde_json::Value = serde_json::from_str(&lost.out).unwrap();
    assert_eq!(json["machines"].as_object().unwrap().len(), 1, "{}", lost.out);
    assert_eq!(json["units"].as_array().unwrap().len(), 2, "{}", lost.out);
    assert!(world.run("plan").await.expect(0).out.contains("2 units stay as they are"));
    world.file("bad.service", "[X-Fleet]\nConflict=x\n");
    world.run("plan --submit bad.service").await.expect(2);
    assert!(world.store.get("/convoy/units/app@3.service").await.unwrap().is_none());
}

#[tokio::test]
async fn a_freeze_and_unclaimed_units_are_never_overlooked() {
    let world = World::start(1).await;
    world.put("/convoy/freeze", r#"{"since":1,"absent":["m8","m9"],"until":99}"#).await;
    for command in ["list-units", "list-unit-files", "list-machines"] {
        assert!(world.run(command).await.expect(0).err.contains("frozen: 2 machines vanished"), "{command}");
    }
    let (resumed, ()) = tokio::join!(world.run("resume"), async {
        world.wait_key("/convoy/resume", true).await;
        world.store.delete("/convoy/freeze").await.map(drop).unwrap();
    });
    assert_eq!(resumed.expect(0).out, "Taken for lost: m8, m9\nMoves go on.\n");
    assert_eq!(world.run("resume").await.expect(0).out, "Moves are not frozen.\n");

    let ghost = r#"{"load":"loaded","active":"active","sub":"running","hash":"abc","unclaimed":true}"#;
    world.put("/convoy/states/m1/ghost.service", ghost).await;
    assert!(world.run("list-units").await.expect(0).err.contains("ghost.service runs on m1/10.0.0.1"));
    world.run("stop ghost").await.expect(4);
    world.run("restart ghost").await.expect(4);
    assert_eq!(world.run("destroy ghost").await.expect(0).out, "Destroyed ghost.service\n");
    for key in ["/convoy/states/m1/ghost.service", "/convoy/schedule/m1/ghost.service"] {
        assert!(world.store.get(key).await.unwrap().is_none(), "{key}");
    }
}
