//! Files, templates and resources on disk.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use crate::stage::Stage;

#[tokio::test]
async fn b11_a_file_that_somebody_edits_or_removes_is_put_right() {
    let mut stage = Stage::new().await;
    stage.put("/app/1", "one").await;
    stage.resource("a.toml", "reload_cmd = \"cp {{.dest}} {dir}/loaded; echo r >> {dir}/reloads\"\n");
    stage.start();
    stage.wait("the first reload", || stage.lines("reloads") == 1);
    stage.write("out/a", "edited\n");
    stage.wait_text("out/a", "one\n");
    stage.wait("the reload after that", || stage.lines("reloads") == 2);
    std::fs::remove_file(stage.path("out/a")).unwrap();
    stage.wait_text("out/a", "one\n");
    // Another mode is no reason to reload.
    stage.wait("the reload after that", || stage.lines("reloads") == 3);
    stage.resource("a.toml", "mode = \"0640\"\nreload_cmd = \"echo r >> {dir}/reloads\"\n");
    let mode = || std::fs::metadata(stage.path("out/a")).map(|about| about.mode() & 0o777).ok();
    stage.wait("the mode of the resource", || mode() == Some(0o640));
    std::fs::set_permissions(stage.path("out/a"), std::fs::Permissions::from_mode(0o600)).unwrap();
    stage.wait("the mode of the resource", || mode() == Some(0o640));
    assert_eq!(stage.lines("reloads"), 3);
}

#[tokio::test]
async fn b12_new_and_edited_templates_and_resources_are_taken_up() {
    let mut stage = Stage::new().await;
    stage.put("/app/1", "one").await;
    stage.resource("a.toml", "");
    stage.start();
    stage.wait_text("out/a", "one\n");
    stage.write("confd/templates/lines.tmpl", "# edited\n{{getv \"/app/1\"}}\n");
    stage.wait_text("out/a", "# edited\none\n");
    stage.put("/other/x", "x").await;
    stage.write("confd/templates/other.tmpl", "{{getv \"/other/x\"}}\n");
    stage.resource("b.toml", "src = \"other.tmpl\"\nkeys = [\"/other\"]\n");
    stage.wait_text("out/b", "x\n");
    stage.put("/other/x", "y").await;
    stage.wait_text("out/b", "y\n");
    // A resource that goes leaves its file alone.
    std::fs::remove_file(stage.path("confd/conf.d/b.toml")).unwrap();
    stage.wait_log("b.toml is gone; its files stay as they are", 1);
    assert_eq!(stage.read("out/b"), "y\n");
    // A template that is included counts as well.
    stage.write("confd/templates/part.tmpl", "first");
    stage.write("confd/templates/lines.tmpl", "{{include \"part.tmpl\"}}\n");
    stage.wait_text("out/a", "first\n");
    stage.write("confd/templates/part.tmpl", "second");
    stage.wait_text("out/a", "second\n");
}

#[tokio::test]
async fn several_files_are_checked_and_reloaded_once_and_put_back_together() {
    let mut stage = Stage::new().await;
    stage.put("/app/1", "one").await;
    stage.write("confd/templates/second.tmpl", "second {{getv \"/app/1\"}}\n");
    stage.resource(
        "a.toml",
        "check_cmd = \"! grep -q evil {dir}/out/x && cmp -s {dir}/out/x {dir}/out/x && echo c >> {dir}/checks\"\n\
         reload_cmd = \"echo r >> {dir}/reloads\"\n\
         [[template.files]]\nsrc = \"lines.tmpl\"\ndest = \"{dir}/out/x\"\n\
         [[template.files]]\nsrc = \"second.tmpl\"\ndest = \"{dir}/out/y\"\n",
    );
    stage.start();
    stage.wait_text("out/y", "second one\n");
    stage.wait("the reload", || stage.lines("reloads") == 1);
    assert_eq!((stage.read("out/x").as_str(), stage.lines("checks")), ("one\n", 1));
    stage.put("/app/1", "evil").await;
    stage.wait_log("the check refused them", 1);
    assert_eq!((stage.read("out/x").as_str(), stage.read("out/y").as_str()), ("one\n", "second one\n"));
    stage.put("/app/1", "two").await;
    stage.wait_text("out/y", "second two\n");
    stage.wait("the second reload", || stage.lines("reloads") == 2);
}

#[tokio::test]
async fn a_file_per_key_comes_and_goes_with_its_key() {
    let mut stage = Stage::new().await;
    for app in ["one", "two"] {
        stage.put(&format!("/sites/{app}/host"), &format!("{app}.example")).await;
    }
    stage.put("/sites/..", "a name that would leave the folder").await;
    stage.write("confd/templates/site.tmpl", "{{.Name}} {{getv (printf \"%s/host\" .Key)}}\n");
    stage.write("out/foreign.conf", "not ours\n");
    stage.resource(
        "sites.toml",
        "src = \"site.tmpl\"\ndest = \"{dir}/out/{{.Name}}.conf\"\nkeys = [\"/sites\"]\nfor_each = \"/sites/*\"\n\
         reload_cmd = \"ls {dir}/out > {dir}/loaded\"\n",
    );
    stage.start();
    stage.wait_text("loaded", "foreign.conf\none.conf\ntwo.conf\n");
    assert_eq!(stage.read("out/one.conf"), "one one.example\n");
    stage.store().delete("/sites/one/host").await.unwrap();
    stage.put("/sites/three/host", "three.example").await;
    stage.wait_text("loaded", "foreign.conf\nthree.conf\ntwo.conf\n");
    assert!(!stage.path("out/one.conf").exists());
}

#[tokio::test]
async fn a_hostile_value_reaches_no_file() {
    let mut stage = Stage::new().await;
    stage.put("/app/1", "10.0.0.1:80").await;
    stage.put("/app/2", "10.0.0.2:80; } server { listen 81").await;
    stage.resource("a.toml", "type = \"address\"\n");
    stage.start();
    stage.wait_text("out/a", "10.0.0.1:80\n");
    stage.wait_log("a value in the store is unusable and is left out: /app/2", 1);
    stage.put("/app/3", "10.0.0.3:80").await;
    stage.wait_text("out/a", "10.0.0.1:80\n10.0.0.3:80\n");
    assert_eq!(stage.log().matches("/app/2\"").count() + stage.log().matches("out: /app/2").count(), 1);
    // The file is there a moment before it is known to be.
    stage.wait("why tells both", || {
        let (_, text) = stage.told(&["why"]);
        text.contains("/app/2  left out: ") && text.contains("/app/3  in the files since revision")
    });
}

#[tokio::test]
async fn owners_are_set_by_name_and_those_that_are_unknown_are_told() {
    let mut stage = Stage::new().await;
    stage.put("/app/1", "one").await;
    stage.resource("a.toml", "owner = \"nobody\"\ngroup = \"daemon\"\nmode = \"0600\"\n");
    stage.resource("b.toml", "owner = \"somebody-else\"\n");
    stage.start();
    stage.wait_log("user \"somebody-else\" is not known on this machine", 1);
    stage.wait_text("out/a", "one\n");
    let about = std::fs::metadata(stage.path("out/a")).unwrap();
    assert_eq!((about.uid(), about.mode() & 0o777), (65534, 0o600));
    assert_ne!(about.gid(), 0);
}

#[tokio::test]
async fn what_must_be_json_is_checked_before_anybody_sees_it() {
    let mut stage = Stage::new().await;
    stage.put("/app/1", "{\"a\": 1}").await;
    stage.resource("a.toml", "output_format = \"json\"\n");
    stage.start();
    stage.wait_text("out/a", "{\"a\": 1}\n");
    stage.put("/app/1", "{\"a\": ").await;
    stage.wait_log("is no JSON", 1);
    assert_eq!(stage.read("out/a"), "{\"a\": 1}\n");
}

/// A file system of its own, gone with the test.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn new(stage: &Stage, options: &str) -> Self {
        let path = stage.path("out");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&path).status();
        assert!(mounted.unwrap().success(), "a tmpfs can't be mounted; these tests need root");
        Self(path)
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        let done = Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Busy for a moment while a killed watcher goes.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_told_keeps_the_old_file_whole_and_heals() {
    let mut stage = Stage::new().await;
    let disk = Mounted::new(&stage, "size=64k");
    stage.put("/app/1", "one").await;
    stage.resource("a.toml", "");
    stage.start();
    stage.wait_text("out/a", "one\n");
    stage.write("confd/templates/lines.tmpl", &format!("{{{{getv \"/app/1\"}}}}\n{}", "x".repeat(100_000)));
    stage.wait_log("make room", 1);
    assert_eq!(stage.read("out/a"), "one\n");
    stage.assert_no_candidates();
    disk.remount("size=1m");
    stage.wait("the large file", || stage.read("out/a").len() > 100_000);
    drop(stage);
    drop(disk);
}

#[tokio::test]
async fn a_folder_that_is_read_only_is_told_and_heals() {
    let mut stage = Stage::new().await;
    let disk = Mounted::new(&stage, "size=64k");
    stage.put("/app/1", "one").await;
    stage.resource("a.toml", "");
    stage.resource("other.toml", "dest = \"{dir}/other\"\n");
    stage.start();
    stage.wait_text("out/a", "one\n");
    disk.remount("ro");
    stage.put("/app/1", "two").await;
    stage.wait_log("is the file system mounted read-only", 1);
    stage.wait_text("other", "two\n");
    assert_eq!(stage.read("out/a"), "one\n");
    disk.remount("rw");
    stage.wait_text("out/a", "two\n");
    drop(stage);
    drop(disk);
}

#[tokio::test]
async fn a_template_with_the_time_in_it_is_no_endless_reload() {
    let mut stage = Stage::new().await;
    stage.put("/app/1", "one").await;
    stage.write("confd/templates/lines.tmpl", "{{datetime}} {{getv \"/app/1\"}}\n");
    stage.resource("a.toml", "reload_cmd = \"echo r >> {dir}/reloads\"\n");
    stage.start();
    stage.wait("the first reload", || stage.lines("reloads") == 1);
    stage.put("/app/1", "two").await;
    stage.wait("the second", || stage.read("out/a").ends_with("two\n") && stage.lines("reloads") == 2);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(stage.lines("reloads"), 2);
}
