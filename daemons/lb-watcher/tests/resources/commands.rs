//! Commands for people: check, lint, diff, status, why.

use crate::stage::Stage;

#[tokio::test]
async fn check_tells_of_each_resource_whether_it_can_be_used_without_asking_etcd() {
    let stage = Stage::new().await;
    stage.etcd.member(0).kill().unwrap();
    stage.resource("a.toml", "relaod_cmd = \"true\"\n");
    let (good, text) = stage.told(&["check"]);
    assert!(good, "{text}");
    assert!(
        text.contains("a.toml: good, with lines.tmpl") && text.contains("is reload_cmd meant?"),
        "{text}"
    );
    stage.resource("b.toml", "src = \"absent.tmpl\"\n");
    stage.write("confd/templates/bad.tmpl", "{{nofunction}}");
    stage.resource("c.toml", "src = \"bad.tmpl\"\n");
    stage.resource("d.toml", "mode = \"640\"\n");
    let (good, text) = stage.told(&["check"]);
    assert!(!good && text.contains("3 of 4 resources can't be used"), "{text}");
    for words in ["absent.tmpl", "function \"nofunction\" not defined", "\"0640\""] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[tokio::test]
async fn lint_tells_what_bites_in_a_resource() {
    let stage = Stage::new().await;
    stage.resource("a.toml", "colour = \"red\"\n");
    let resource = stage.path("confd/conf.d/a.toml");
    let run = || {
        let output = stage.command(&["lint", "--resource", resource.to_str().unwrap()]).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    };
    let (good, text) = run();
    assert!(good && text.contains("colour is not known"), "{text}");
    stage.resource("a.toml", "mode = \"644\"\n");
    let (good, text) = run();
    assert!(!good && text.contains("decimal"), "{text}");
}

#[tokio::test]
async fn diff_shows_what_would_change_and_says_so_by_its_exit_status() {
    let stage = Stage::new().await;
    stage.put("/app/1", "one").await;
    stage.put("/app/2", "two").await;
    stage.resource("a.toml", "");
    stage.write("out/a", "one\n");
    let (same, text) = stage.told(&["diff"]);
    assert!(!same && text.contains("\n one\n+two\n"), "{text}");
    assert!(stage.told(&["-onetime"]).0);
    assert_eq!(stage.told(&["diff"]), (true, String::new()));
}

#[tokio::test]
async fn why_tells_of_each_key_whether_it_is_in_the_files() {
    let mut stage = Stage::new().await;
    stage.put("/app/1", "one").await;
    stage.put("/app/deeper/2", "nobody reads it").await;
    stage.resource("a.toml", "check_cmd = \"! grep -q evil {{.src}}\"\n");
    stage.start();
    stage.wait_text("out/a", "one\n");
    stage.wait_log("1 file is in place", 1);
    let (good, text) = stage.told(&["why", "a.toml"]);
    assert!(good, "{text}");
    assert!(text.contains("/app/1  in the files since revision"), "{text}");
    assert!(text.contains("/app/deeper/2  seen, but no file would be another without it"), "{text}");
    let revision = stage.put("/app/3", "evil").await;
    stage.wait_log("is not up to date", 1);
    let (_, text) = stage.told(&["why"]);
    assert!(
        text.contains(&format!("/app/3  not yet, it is of revision {revision}: the check refused")),
        "{text}"
    );
    let (good, text) = stage.told(&["why", "b.toml"]);
    assert!(!good && text.contains("there is no such file in conf.d"), "{text}");
}
