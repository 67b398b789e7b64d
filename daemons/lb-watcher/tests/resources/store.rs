//! A store that is away, goes back in time, or is emptied.

use std::time::Duration;

use convoy_test_etcd::Proxy;

use crate::stage::{SOON, Stage};

/// By then everybody has found the store again.
const CONVERGED: Duration = Duration::from_secs(5);

#[tokio::test]
async fn b6_a_store_that_was_recreated_is_followed_from_its_new_beginning() {
    let mut stage = Stage::new().await;
    for number in 0..50 {
        stage.put("/app/1", &number.to_string()).await;
    }
    stage.resource("a.toml", "");
    stage.start();
    stage.wait_text("out/a", "49\n");
    stage.etcd.wipe("another").await.unwrap();
    let revision = stage.put("/app/1", "new").await;
    assert!(revision < 50);
    assert!(stage.wait_text("out/a", "new\n") < CONVERGED);
    stage.put("/app/2", "and on").await;
    stage.wait_text("out/a", "new\nand on\n");
}

#[tokio::test]
async fn b7_a_store_that_is_away_is_said_costs_nothing_and_changes_nothing() {
    let mut stage = Stage::new().await;
    stage.put("/app/1", "one").await;
    stage.resource("a.toml", "");
    stage.start();
    stage.wait_text("out/a", "one\n");
    stage.etcd.member(0).kill().unwrap();
    stage.wait_log("the store can't be reached; all files stay as they are", 1);
    let before = cpu(stage.pid());
    tokio::time::sleep(Duration::from_secs(3)).await;
    let used = cpu(stage.pid()) - before;
    assert!(used <= 30, "{used} hundredths of a second of CPU in 3 s");
    assert_eq!(stage.read("out/a"), "one\n");
    stage.etcd.member(0).restart().await.unwrap();
    stage.put("/app/1", "two").await;
    // B10: and it is found again at once.
    assert!(stage.wait_text("out/a", "two\n") < CONVERGED);
}

/// User and system time of a process, in hundredths of a second (proc_pid_stat(5)).
fn cpu(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
    fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
}

#[tokio::test]
async fn b8_a_token_that_is_not_valid_any_more_is_renewed() {
    let mut stage = Stage::new().await;
    stage.put("/app/1", "one").await;
    stage.etcd.enable_auth("reader", "secret", "/").await.unwrap();
    stage.resource("a.toml", "");
    stage.start_with(&["-basic-auth", "-username", "reader", "-password", "secret"]);
    stage.wait_text("out/a", "one\n");
    // Its simple tokens are forgotten with a restart.
    stage.etcd.member(0).kill().unwrap();
    stage.wait_log("the store can't be reached", 1);
    stage.etcd.member(0).restart().await.unwrap();
    let settings = convoy_store::StoreSettings {
        endpoints: stage.etcd.endpoints(),
        user: Some(("reader".into(), "secret".into())),
        ..convoy_store::StoreSettings::default()
    };
    convoy_store::Store::new(settings).unwrap().put("/app/1", b"two").await.unwrap();
    assert!(stage.wait_text("out/a", "two\n") < CONVERGED);
}

#[tokio::test(flavor = "multi_thread")]
async fn b9_what_was_compacted_meanwhile_is_listed_again() {
    let mut stage = Stage::new().await;
    stage.put("/app/1", "one").await;
    let proxy = Proxy::start(stage.etcd.member(0).address()).await.unwrap();
    stage.by_way_of(proxy.endpoint());
    stage.resource("a.toml", "");
    stage.start();
    stage.wait_text("out/a", "one\n");
    proxy.cut();
    stage.wait_log("the store can't be reached", 1);
    let mut last = 0;
    for number in 0..20 {
        last = stage.put("/app/1", &number.to_string()).await;
    }
    stage.etcd.compact(last).await.unwrap();
    proxy.resume();
    assert!(stage.wait_text("out/a", "19\n") < CONVERGED);
}

#[tokio::test]
async fn b14_no_answer_is_not_an_empty_answer() {
    let mut stage = Stage::new().await;
    stage.put("/app/1", "one").await;
    stage.etcd.member(0).kill().unwrap();
    stage.write("out/a", "from before\n");
    stage.resource("a.toml", "reload_cmd = \"echo r >> {dir}/reloads\"\n");
    let (good, text) = stage.told(&["-onetime"]);
    assert!(!good && text.contains("nothing was changed"), "{text}");
    stage.start();
    stage.wait_log("the store can't be reached", 1);
    assert_eq!((stage.read("out/a").as_str(), stage.lines("reloads")), ("from before\n", 0));
    stage.etcd.member(0).restart().await.unwrap();
    stage.wait_text("out/a", "one\n");
}

#[tokio::test]
async fn b15_the_last_upstream_of_a_service_is_held_for_a_while_and_one_that_drained_is_not() {
    let mut stage = Stage::new().await;
    stage.write("etc/10.toml", "[lb-watcher]\nremoval_grace = \"3s\"\n");
    stage.write("confd/templates/lines.tmpl", "{{range gets \"/services/a/upstream/*\"}}{{.Value}}\n{{end}}");
    for number in 1..=2 {
        stage.put(&format!("/services/a/upstream/{number}"), &format!("10.0.0.{number}:80")).await;
    }
    stage.resource("a.toml", "keys = [\"/services/a/upstream\"]\n");
    stage.start();
    stage.wait_text("out/a", "10.0.0.1:80\n10.0.0.2:80\n");
    let store = stage.store();
    store.delete("/services/a/upstream/1").await.unwrap();
    stage.wait_text("out/a", "10.0.0.2:80\n");
    store.delete("/services/a/upstream/2").await.unwrap();
    stage.wait_log("too many upstreams vanished at once", 1);
    assert_eq!(stage.read("out/a"), "10.0.0.2:80\n");
    stage.wait_text("out/a", "");

    stage.put("/services/a/upstream/3", "10.0.0.3:80").await;
    stage.wait_text("out/a", "10.0.0.3:80\n");
    let record = r#"{"state":"draining","machine_id":"m","unit":"a@3.service","since":1}"#;
    let drained = convoy_store::Transaction::new().put("/convoy/instances/a/3", record);
    store.commit(drained.delete("/services/a/upstream/3")).await.unwrap();
    assert!(stage.wait_text("out/a", "") < Duration::from_secs(2));
}

#[tokio::test]
async fn b15_a_start_with_a_store_that_has_lost_its_upstreams_serves_them_for_a_while() {
    let mut stage = Stage::new().await;
    stage.write("etc/10.toml", "[lb-watcher]\nremoval_grace = \"3s\"\n");
    stage.write("confd/templates/lines.tmpl", "{{range gets \"/services/a/upstream/*\"}}{{.Value}}\n{{end}}");
    stage.put("/services/a/upstream/1", "10.0.0.1:80").await;
    stage.resource("a.toml", "keys = [\"/services/a/upstream\"]\n");
    stage.start();
    stage.wait_text("out/a", "10.0.0.1:80\n");
    stage.stop();
    stage.store().delete("/services/a/upstream/1").await.unwrap();
    stage.start();
    stage.wait_log("too many upstreams vanished at once", 1);
    assert_eq!(stage.read("out/a"), "10.0.0.1:80\n");
    stage.wait_text("out/a", "");
}

#[tokio::test]
async fn what_is_loaded_is_announced_for_those_who_wait_for_it_and_withdrawn_at_the_end() {
    let mut stage = Stage::new().await;
    stage.write("confd/templates/lines.tmpl", "{{range gets \"/services/a/upstream/*\"}}{{.Value}}\n{{end}}");
    stage.resource("a.toml", "keys = [\"/services/a/upstream\"]\n");
    stage.start();
    let revision = stage.put("/services/a/upstream/1", "10.0.0.1:80").await;
    stage.wait_text("out/a", "10.0.0.1:80\n");
    let store = stage.store();
    let announced = |wanted: Option<String>| {
        let store = store.clone();
        async move {
            let limit = tokio::time::Instant::now() + SOON;
            loop {
                let entries = store.list("/convoy/applied/a/").await.unwrap().entries;
                let found =
                    entries.values().next().map(|entry| String::from_utf8(entry.value.clone()).unwrap());
                if found == wanted {
                    return;
                }
                assert!(tokio::time::Instant::now() < limit, "{found:?} instead of {wanted:?}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    };
    announced(Some(revision.to_string())).await;
    // At rest nothing is written.
    let before = store.revision().await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(store.revision().await.unwrap(), before);
    stage.stop();
    announced(None).await;
}
