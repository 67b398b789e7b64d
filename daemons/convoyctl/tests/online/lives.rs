//! A unit's life, command by command.

use crate::world::World;

const APP: &str =
    "[Unit]\nDescription=App %i\n\n[Service]\nExecStart=/bin/app\n\n[X-Fleet]\nConflicts=app@*.service\n";

#[tokio::test]
async fn instances_are_submitted_started_listed_stopped_and_destroyed() {
    let world = World::start(3).await;
    world.file("app@.service", APP);
    let submitted = world.run("submit app@.service").await.expect(0);
    assert_eq!(submitted.out, "Unit app@.service inactive\n");

    let started = world.run("start app@{1..3}").await.expect(0);
    let lines = started.sorted();
    assert_eq!(lines.len(), 3, "{lines:?}");
    for (number, line) in (1..).zip(&lines) {
        assert!(line.starts_with(&format!("Unit app@{number}.service launched on m")), "{line}");
        assert!(line.contains("/10.0.0."), "{line}");
    }
    let listed = world.run("list-units --fields=unit,active,sub").await.expect(0);
    assert_eq!(
        listed.out,
        "UNIT\tACTIVE\tSUB\napp@1.service\tactive\trunning\napp@2.service\tactive\trunning\napp@3.service\tactive\trunning\n"
    );
    let files = world.run("list-unit-files --no-legend --fields=unit,dstate,state,desc").await.expect(0);
    assert!(files.out.contains("app@.service\tinactive\tinactive\tApp %i\n"), "{}", files.out);
    assert!(files.out.contains("app@2.service\tlaunched\tlaunched\tApp 2\n"), "{}", files.out);
    assert_eq!(world.run("cat app@2").await.expect(0).out, APP);
    let machines = world.run("list-machines").await.expect(0);
    assert_eq!(
        machines.out,
        "MACHINE\tIP\tMETADATA\nm1\t10.0.0.1\tzone=a\nm2\t10.0.0.2\tzone=b\nm3\t10.0.0.3\tzone=a\n"
    );

    // Again: nothing to do, and said so.
    assert_eq!(world.run("start app@*").await.expect(0).out.lines().count(), 3);
    let stopped = world.run("stop app@1").await.expect(0);
    assert!(stopped.out.starts_with("Unit app@1.service loaded on m"), "{}", stopped.out);
    let files = world.run("list-unit-files --no-legend --fields=unit,dstate,state").await.expect(0);
    assert!(files.out.contains("app@1.service\tloaded\tloaded\n"), "{}", files.out);
    world.run("load app@2").await.expect(0);
    let units = world.run("list-units --no-legend --fields=unit,active").await.expect(0);
    assert_eq!(units.out, "app@1.service\tinactive\napp@2.service\tactive\napp@3.service\tactive\n");
    assert_eq!(world.run("unload app@1").await.expect(0).out, "Unit app@1.service inactive\n");
    assert_eq!(world.machine_of("app@1.service").await, None);
    world.run("load app@1").await.expect(0);

    let destroyed = world.run("destroy app@*").await.expect(0);
    assert_eq!(destroyed.out.lines().count(), 4, "the template matches too: {}", destroyed.out);
    for prefix in ["/convoy/units/", "/convoy/schedule/", "/convoy/states/"] {
        assert!(world.store.list(prefix).await.unwrap().entries.is_empty(), "{prefix}");
    }
}

#[tokio::test]
async fn a_unit_is_started_from_wherever_its_text_is() {
    let world = World::start(2).await;
    world.file("dir/b.service", "[Service]\nExecStart=/bin/b\n");
    world.file("dir/t@.service", "[Service]\nExecStart=/bin/t %i\n");
    world.run("start dir/b.service").await.expect(0);
    world.run("start dir/t@7").await.expect(0);
    assert!(world.run("cat t@7").await.expect(0).out.contains("/bin/t"));
    assert!(world.run("start t@8").await.expect(4).err.contains("nor its template t@.service"));
    world.run("submit dir/t@.service").await.expect(0);
    world.run("start t@8").await.expect(0);
    assert!(world.run("start dir/t@.service").await.expect(64).err.contains("is a template"));

    // The store wins over a file that differs, and says so.
    world.file("dir/b.service", "[Service]\nExecStart=/bin/new\n");
    assert!(world.run("start dir/b.service").await.expect(0).err.contains("--replace"));
    assert!(!world.run("cat b").await.expect(0).out.contains("/bin/new"));
    assert!(world.run("submit --replace dir/b.service").await.expect(1).err.contains("convoyctl update"));
    world.run("start --replace dir/b.service").await.expect(0);
    assert!(world.run("cat b").await.expect(0).out.contains("/bin/new"));
    let text = world.run("list-units --output json").await.expect(0).out;
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 3, "{text}");
}

#[tokio::test]
async fn a_global_unit_runs_everywhere_and_a_oneshot_is_done_when_it_is_through() {
    let world = World::start(3).await;
    world
        .file("all.service", "[Service]\nExecStart=/bin/x\n[X-Fleet]\nGlobal=true\nMachineMetadata=zone=a\n");
    let started = world.run("start all.service").await.expect(0);
    assert_eq!(started.out, "Global unit all.service launched on m1/10.0.0.1, m3/10.0.0.3\n");
    let restarted = world.run("restart all").await.expect(0);
    assert_eq!(restarted.out, "Global unit all.service restarted on m1/10.0.0.1, m3/10.0.0.3\n");
    let files = world.run("list-unit-files --no-legend --fields=unit,state,target,global").await.expect(0);
    assert_eq!(files.out, "all.service\t-\tglobal\ttrue\n");
    world.file(
        "none.service",
        "[Service]\nExecStart=/bin/x\n[X-Fleet]\nGlobal=true\nMachineMetadata=zone=z\n",
    );
    assert!(world.run("start none.service").await.expect(0).err.contains("fits no machine at present"));

    world.file("once.service", "[Service]\nType=oneshot\nExecStart=/bin/ONCE\n");
    world.run("start once.service").await.expect(0);
    // Once more, since it is through.
    world.run("start once.service").await.expect(0);
    let units = world.run("list-units --no-legend --fields=unit,restarts").await.expect(0);
    assert!(units.out.contains("once.service\t1\n"), "{}", units.out);
}

#[tokio::test]
async fn what_waits_for_a_machine_says_why_and_can_be_called_off() {
    let world = World::start(2).await;
    world.file("app@.service", APP);
    world.run("start app@{1,2}").await.expect(0);
    let third = world.run("start --block-attempts=1 app@3").await.expect(3);
    assert!(third.err.contains("Unit app@3.service waits for a machine:"), "{}", third.err);
    assert!(third.err.contains("Conflicts"), "{}", third.err);
    assert!(world.run("list-units").await.expect(0).err.contains("app@3.service waits for a machine"));
    let explained = world.run("explain app@3").await.expect(3);
    assert!(explained.out.contains("app@*.service"), "{}", explained.out);
    world.run("explain app@1").await.expect(0);
    world.run("status app@3").await.expect(3);
    // Stop and unload of a unit that waits are done at once.
    assert_eq!(world.run("stop app@3").await.expect(0).out, "Unit app@3.service stopped\n");
    assert_eq!(world.run("unload app@3").await.expect(0).out, "Unit app@3.service inactive\n");
    world.run("start --no-block app@3").await.expect(0);
    assert_eq!(world.run("destroy app@3").await.expect(0).out, "Destroyed app@3.service\n");
    // The wait ends by itself when there is room.
    let (started, ()) = tokio::join!(world.run("start app@4"), async {
        world.wait_key("/convoy/units/app@4.service", true).await;
        world.run("destroy app@1").await.expect(0);
    });
    started.expect(0);
}

#[tokio::test]
async fn a_rejected_unit_is_not_stored_and_the_file_and_line_are_named() {
    let world = World::start(1).await;
    world.file("bad.service", "[Service]\nExecStart=/bin/x\n\n[X-Fleet]\nConflict=bad@*.service\n");
    world.file("good.service", "[Service]\nExecStart=/bin/x\n");
    for command in ["submit", "load", "start"] {
        let rejected = world.run(&format!("{command} good.service bad.service")).await.expect(2);
        assert!(rejected.err.contains("bad.service:5: Conflict:"), "{}", rejected.err);
        assert!(rejected.err.contains("Conflicts"), "{}", rejected.err);
    }
    assert!(world.store.list("/convoy/units/").await.unwrap().entries.is_empty());
    world.run("verify good.service bad.service").await.expect(2);
    world.run("verify good.service").await.expect(0);
    let compatible = world.run("start --compat bad.service").await.expect(0);
    assert!(compatible.err.contains("warning: bad.service:5"), "{}", compatible.err);

    // Ties to a stored unit.
    world.run("start good.service").await.expect(0);
    world.file("side.service", "[Unit]\nBindsTo=good.service\n[Service]\nExecStart=/bin/x\n");
    assert!(world.run("start side.service").await.expect(2).err.contains("MachineOf=good.service"));
    world.run("start --compat side.service").await.expect(0);
}

#[tokio::test]
async fn a_directory_of_fleets_units_is_imported() {
    let world = World::start(1).await;
    world.file("units/app@.service", APP);
    world
        .file("units/side@.service", "[Unit]\nBindsTo=app@%i.service\n[X-Fleet]\nMachineOf=app@%i.service\n");
    world.file("units/notes.txt", "no unit");
    world.file("units/odd.service", "[X-Fleet]\nMachineMetadata=zone\n");
    let dry = world.run("import --dry-run units").await.expect(2);
    assert!(dry.err.contains("odd.service:2") && dry.err.contains("notes.txt"), "{}", dry.err);
    assert!(dry.out.contains("Unit app@.service would be stored"), "{}", dry.out);
    world.run("import units").await.expect(2);
    assert!(world.store.list("/convoy/units/").await.unwrap().entries.is_empty());
    assert_eq!(world.run("import --partial units").await.expect(2).out.lines().count(), 2);
    assert_eq!(world.run("import --compat units").await.expect(0).out.lines().count(), 3);
    world.run("import nowhere").await.expect(1);
}
