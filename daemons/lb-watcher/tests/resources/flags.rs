//! confd's command line.

use std::os::unix::fs::symlink;
use std::process::Command;

use crate::stage::Stage;

#[tokio::test]
async fn onetime_makes_all_files_and_fails_when_one_did_not_come_about() {
    let stage = Stage::new().await;
    stage.put("/app/1", "one").await;
    stage.resource("a.toml", "reload_cmd = \"echo r >> {dir}/reloads\"\n");
    let (good, text) = stage.told(&["-onetime"]);
    assert!(good, "{text}");
    assert_eq!((stage.read("out/a").as_str(), stage.lines("reloads")), ("one\n", 1));
    stage.resource("b.toml", "check_cmd = \"false\"\n");
    stage.resource("c.toml", "");
    let (good, text) = stage.told(&["-onetime"]);
    assert!(!good && text.contains("1 of 3 resources could not be brought up to date"), "{text}");
    assert_eq!((stage.read("out/c").as_str(), stage.lines("reloads")), ("one\n", 1));
    // B2: a reload that failed is not forgotten by the next run.
    stage.resource("b.toml", "reload_cmd = \"test -e {dir}/ok\"\n");
    for _ in 0..2 {
        assert!(!stage.told(&["-onetime"]).0);
    }
    stage.write("ok", "");
    let (good, text) = stage.told(&["-onetime"]);
    assert!(good, "{text}");
}

#[tokio::test]
async fn noop_says_what_would_be_done_and_sync_only_asks_and_tells_nobody() {
    let stage = Stage::new().await;
    stage.put("/app/1", "one").await;
    stage.resource(
        "a.toml",
        "check_cmd = \"echo c >> {dir}/calls\"\nreload_cmd = \"echo r >> {dir}/calls\"\n",
    );
    let (good, text) = stage.told(&["-onetime", "-noop"]);
    assert!(good && text.contains("nothing was done, as ordered"), "{text}");
    assert!(!stage.path("out/a").exists() && !stage.path("state").exists());
    let (good, text) = stage.told(&["-onetime", "-sync-only"]);
    assert!(good, "{text}");
    assert_eq!((stage.read("out/a").as_str(), stage.lines("calls")), ("one\n", 0));
}

#[tokio::test]
async fn a_staged_file_is_kept_on_demand() {
    let stage = Stage::new().await;
    stage.put("/app/1", "one").await;
    stage.resource("a.toml", "check_cmd = \"test -s {{.src}} && false\"\n");
    assert!(!stage.told(&["-onetime", "--keep-stage-file"]).0);
    assert_eq!(stage.read("out/.a.convoy-staged"), "one\n");
    assert!(!stage.told(&["-onetime"]).0);
    stage.assert_no_candidates();
}

#[tokio::test]
async fn lines_of_old_units_work_as_they_are_and_the_flag_wins_over_environment_and_file() {
    let stage = Stage::new().await;
    stage.put("/prod/app/1", "production").await;
    stage.put("/test/app/1", "test").await;
    stage.resource("a.toml", "prefix = \"/nowhere\"\n");
    let confdir = stage.path("confd");
    stage.write(
        "confd.toml",
        &format!("nodes = [\"127.0.0.1:1\"]\nconfdir = \"{}\"\nprefix = \"/prod\"\n", confdir.display()),
    );
    // Called by its old name, with the node as old units write it.
    let confd = stage.path("confd-program");
    std::fs::create_dir(&confd).unwrap();
    symlink(env!("CARGO_BIN_EXE_lb-watcher"), confd.join("confd")).unwrap();
    let node = stage.etcd.member(0).address().to_string();
    let run = |arguments: &[&str], prefix: Option<&str>| {
        let mut command = Command::new(confd.join("confd"));
        command.arg("-config-file").arg(stage.path("confd.toml")).args(arguments);
        command.env("STATE_DIRECTORY", stage.path("state"));
        if let Some(prefix) = prefix {
            command.env("CONFD_PREFIX", prefix);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        stage.read("out/a")
    };
    assert_eq!(
        run(&["-onetime", "-backend", "etcd", "-node", &node, "-interval", "10"], None),
        "production\n"
    );
    assert_eq!(run(&["--onetime", &format!("--node={node}")], Some("/test")), "test\n");
    assert_eq!(run(&["-onetime", "-node", &node, "-prefix", "/prod"], Some("/test")), "production\n");
}

#[tokio::test]
async fn what_can_not_be_meant_ends_at_once_with_the_usage() {
    let stage = Stage::new().await;
    for (arguments, words) in [
        (vec!["-onetiem"], "is -onetime meant?"),
        (vec!["-backend", "consul"], "not supported"),
        (vec!["-onetime", "-confdir", "/nonexistent"], "/nonexistent/conf.d"),
    ] {
        let output = stage.command(&arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(words), "{arguments:?}: {text}");
    }
    let output = stage.command(&["-version"]).output().unwrap();
    assert!(output.status.success() && output.stdout.starts_with(b"confd 0.16.0"));
}
