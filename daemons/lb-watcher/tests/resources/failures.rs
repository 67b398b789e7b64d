//! Checks and reloads that fail, hang or lie.

use std::time::Duration;

use crate::stage::Stage;

/// The first pause before something is tried again, and some room for a busy machine.
const ONE_STEP: Duration = Duration::from_secs(4);

#[tokio::test]
async fn b1_a_check_that_becomes_good_is_tried_again_without_a_key_event() {
    let mut stage = Stage::new().await;
    stage.put("/app/1", "one").await;
    stage.resource("a.toml", "check_cmd = \"test -e {dir}/ok && grep -q one {{.src}}\"\n");
    stage.start();
    stage.wait_log("is not up to date", 1);
    assert!(!stage.path("out/a").exists());
    stage.wait("the alarm of lb-watcher status", || {
        let (good, text) = stage.told(&["status"]);
        !good && text.contains("NOT UP TO DATE")
    });
    stage.write("ok", "");
    assert!(stage.wait_text("out/a", "one\n") < ONE_STEP);
    stage.wait_log("1 file is in place", 1);
    stage.wait("the end of the alarm", || stage.told(&["status"]).0);
    stage.assert_no_candidates();
}

#[tokio::test]
async fn b2_a_reload_that_fails_stays_owed_until_it_succeeds() {
    let mut stage = Stage::new().await;
    stage.put("/app/1", "one").await;
    stage.resource("a.toml", "reload_cmd = \"test -e {dir}/ok && echo r >> {dir}/reloads\"\n");
    stage.start();
    stage.wait_log("the reload failed", 1);
    stage.write("ok", "");
    assert!(stage.wait("a reload", || stage.lines("reloads") == 1) < ONE_STEP);
    // And what is loaded is not reloaded again by a second look or a new watcher.
    stage.stop();
    stage.start();
    stage.wait_log("watching", 0);
    stage.put("/app/2", "two").await;
    stage.wait_text("out/a", "one\ntwo\n");
    stage.wait("the reload of the change", || stage.lines("reloads") == 2);
}

#[tokio::test]
async fn b2_when_a_reload_fails_the_last_good_file_is_put_back_and_loaded() {
    let mut stage = Stage::new().await;
    stage.put("/app/1", "one").await;
    // The reader keeps a copy of what it loads, and refuses evil.
    stage.resource("a.toml", "reload_cmd = \"! grep -q evil {{.dest}} && cp {{.dest}} {dir}/loaded\"\n");
    stage.start();
    stage.wait_text("loaded", "one\n");
    stage.put("/app/1", "evil").await;
    stage.wait_log("the reload failed", 1);
    stage.wait_text("out/a", "one\n");
    assert_eq!(stage.read("loaded"), "one\n");
    stage.put("/app/1", "good").await;
    stage.wait_text("loaded", "good\n");
    assert_eq!(stage.read("out/a"), "good\n");
}

#[tokio::test]
async fn b13_a_hanging_command_is_killed_with_all_it_started_and_holds_up_nobody() {
    let mut stage = Stage::new().await;
    stage.put("/app/1", "one").await;
    stage.resource(
        "hangs.toml",
        "check_cmd = \"sleep 7531 & echo $! > {dir}/child; sleep 7532\"\ncheck_cmd_timeout = \"1s\"\n",
    );
    stage.resource("other.toml", "check_cmd = \"true\"\n");
    stage.start();
    stage.wait_text("out/other", "one\n");
    stage.wait_log("did not end within 1 s and was killed", 1);
    let child: u32 = stage.read("child").trim().parse().unwrap();
    stage.wait("the end of what the check started", || {
        !std::fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default().contains("7531")
    });
    stage.put("/app/2", "two").await;
    stage.wait_text("out/other", "one\ntwo\n");
    stage.stop();
    stage.assert_no_candidates();
}

#[tokio::test]
async fn a_child_that_a_command_leaves_behind_holds_nothing_up() {
    let mut stage = Stage::new().await;
    stage.put("/app/1", "one").await;
    stage.resource("a.toml", "reload_cmd = \"sleep 20 & echo r >> {dir}/reloads\"\n");
    stage.start();
    stage.wait("the first reload", || stage.lines("reloads") == 1);
    stage.put("/app/1", "two").await;
    assert!(stage.wait("the second", || stage.lines("reloads") == 2) < Duration::from_secs(8));
}

#[tokio::test]
async fn one_bad_resource_stops_no_other_and_is_told_with_file_line_and_remedy() {
    let mut stage = Stage::new().await;
    stage.put("/app/1", "one").await;
    stage.resource("bad.toml", "mode = \"644\"\n");
    stage.resource("good.toml", "");
    stage.write("confd/templates/broken.tmpl", "{{range gets \"/app/*\"}}");
    stage.resource("template.toml", "src = \"broken.tmpl\"\n");
    stage.start();
    stage.wait_text("out/good", "one\n");
    stage
        .wait_log("bad.toml can't be used, what it made stays: line 5: mode: \"644\" is a decimal number", 1);
    stage.wait_log("broken.tmpl:1:23: unexpected EOF", 1);
    // Mended, it is taken up without a restart.
    stage.write("confd/templates/broken.tmpl", "now good\n");
    stage.resource("bad.toml", "mode = \"0600\"\n");
    stage.wait_text("out/bad", "one\n");
    stage.wait_text("out/template", "now good\n");
}

#[tokio::test]
async fn a_command_without_a_shell_gets_its_words_as_they_are() {
    let mut stage = Stage::new().await;
    stage.put("/app/1", "one").await;
    stage.resource(
        "a.toml",
        "check_cmd = [\"/usr/bin/grep\", \"-q\", \"one\", \"{{.src}}\"]\n\
         reload_cmd = [\"/usr/bin/touch\", \"{dir}/a; touch b $(touch c)\"]\n",
    );
    stage.start();
    stage.wait("the file", || stage.path("a; touch b $(touch c)").exists());
    assert!(!stage.path("b").exists() && !stage.path("c").exists());
}

#[tokio::test]
async fn a_verification_that_fails_takes_the_files_back() {
    let mut stage = Stage::new().await;
    stage.put("/app/1", "one").await;
    stage.resource(
        "a.toml",
        "reload_cmd = \"true\"\nverify_cmd = \"! grep -q evil {{.dest}}\"\nverify_cmd_timeout = \"300ms\"\n",
    );
    stage.start();
    stage.wait_text("out/a", "one\n");
    stage.put("/app/1", "evil").await;
    stage.wait_log("the new files are not served", 1);
    stage.wait_text("out/a", "one\n");
    stage.put("/app/1", "two").await;
    stage.wait_text("out/a", "two\n");
}

#[tokio::test]
async fn a_watcher_killed_during_a_reload_reloads_when_it_is_back() {
    let mut stage = Stage::new().await;
    stage.put("/app/1", "one").await;
    stage.resource("a.toml", "reload_cmd = \"test -e {dir}/slow && sleep 30; cp {{.dest}} {dir}/loaded\"\n");
    stage.start();
    stage.wait_text("loaded", "one\n");
    stage.write("slow", "");
    stage.put("/app/1", "two").await;
    stage.wait_text("out/a", "two\n");
    stage.kill();
    assert_eq!(stage.read("loaded"), "one\n");
    let (good, text) = stage.told(&["status"]);
    assert!(!good && text.contains("RELOAD OWED"), "{text}");
    std::fs::remove_file(stage.path("slow")).unwrap();
    stage.start();
    stage.wait_text("loaded", "two\n");
}
