//! `status`, `journal`, `ssh`: what is run where. A script stands for ssh and tells its arguments.

use std::os::unix::fs::PermissionsExt;

use crate::world::World;

const SSH: &str = "#!/bin/sh\nprintf '<%s>' \"$@\"\necho\nexit 7\n";

async fn world() -> (World, String) {
    let world = World::start(2).await;
    let path = world.file("bin/ssh", SSH);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    world.file("pin.service", "[Service]\nExecStart=/bin/x\n[X-Fleet]\nMachineID=m2\n");
    world.file("all.service", "[Service]\nExecStart=/bin/x\n[X-Fleet]\nGlobal=true\n");
    world.run("start pin.service all.service").await.expect(0);
    let bin = path.parent().unwrap().display().to_string();
    (world, bin)
}

#[tokio::test]
async fn commands_run_on_the_units_machine_and_end_with_its_exit_code() {
    let (world, bin) = world().await;
    for (line, code, said) in [
        (
            "status pin",
            7,
            "<-o><ConnectTimeout=10><--><10.0.0.2><systemctl status --full --no-pager -- pin.service>\n",
        ),
        (
            "journal --lines 3 -f --sudo --output cat pin",
            7,
            "<-o><ConnectTimeout=10><--><10.0.0.2><sudo journalctl --no-pager --unit pin.service --lines 3 --follow --output cat>\n",
        ),
        (
            "ssh --ssh-username core --ssh-port 2222 pin uptime -p",
            7,
            "<-o><ConnectTimeout=10><-p><2222><-l><core><--><10.0.0.2><uptime -p>\n",
        ),
        ("ssh -A host1 true", 7, "<-o><ConnectTimeout=10><-A><--><10.0.0.1><true>\n"),
        ("ssh --machine m1", 7, "<-o><ConnectTimeout=10><--><10.0.0.1>\n"),
        ("ssh --unit pin -- ls -l", 7, "<-o><ConnectTimeout=10><--><10.0.0.2><ls -l>\n"),
    ] {
        let ended = world.run_with_path(&bin, line).await.expect(code);
        assert_eq!(ended.out, said, "{line}");
    }
}

#[tokio::test]
async fn a_global_unit_has_several_machines() {
    let (world, bin) = world().await;
    let status = world.run_with_path(&bin, "status all").await.expect(7);
    assert_eq!(status.out.matches("<systemctl status").count(), 2, "{}", status.out);
    assert!(status.out.contains("m1/10.0.0.1:\n") && status.out.contains("m2/10.0.0.2:\n"), "{}", status.out);
    assert!(world.run_with_path(&bin, "journal -f all").await.expect(64).err.contains("--machine"));
    let journal = world.run_with_path(&bin, "journal -f --machine m2 all").await.expect(7);
    assert!(journal.out.contains("<10.0.0.2>"), "{}", journal.out);
    world.run_with_path(&bin, "ssh all").await.expect(64);
    world.run_with_path(&bin, "ssh nowhere").await.expect(4);
}

#[tokio::test]
async fn a_tunnel_that_can_not_be_made_is_an_error() {
    let (world, bin) = world().await;
    let ended = world.run_with_path(&bin, "--tunnel bastion:2222 list-units").await.expect(1);
    assert!(ended.err.contains("the tunnel through bastion:2222 ended"), "{}", ended.err);
}
