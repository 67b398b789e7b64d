//! Routes follow the store, and outlive it.

use std::time::Duration;

use crate::support::{Client, Door, Keys, target, until_answer};

#[test]
fn a_change_of_a_key_routes_the_next_requests() {
    let keys = Keys::start();
    let door = Door::new();
    let router = door.open(&keys.endpoints());
    door.wait_for("READY=1");
    let mut client = Client::new(door.address);
    assert_eq!(client.get("a").0, 404);

    let (one, two) = (target("one"), target("two"));
    let mut times = Vec::new();
    for round in 0..20 {
        let (name, address) = if round % 2 == 0 { ("one", one) } else { ("two", two) };
        keys.put("a/lb/1", &address);
        times.push(until_answer(&mut client, "a", (200, name)));
    }
    times.sort();
    // From the acknowledgement of the write. `make bench` has the numbers; this is the bound for a busy machine.
    assert!(times[10] < Duration::from_millis(500), "{times:?}");
    keys.delete("a/lb/1");
    until_answer(&mut client, "a", (503, "no-target"));
    keys.put("a/upstream/1", &one);
    until_answer(&mut client, "a", (200, "one"));
    router.wait_for_log("a has 0 load balancers and 1 instances");
}

#[test]
fn an_unusable_value_is_skipped_told_and_counted_and_harms_nobody() {
    let keys = Keys::start();
    let good = target("good");
    keys.put("a/upstream/1", &good);
    for (key, value) in [
        ("a/upstream/2", "10.0.0.1"),
        ("a/upstream/3", "$(reboot)"),
        ("a/lb/1", "http://10.0.0.1:80"),
        ("b c/upstream/1", "10.0.0.1:80"),
    ] {
        keys.put(key, &value);
    }
    let door = Door::new();
    let router = door.open(&keys.endpoints());
    door.wait_for("READY=1");
    let mut client = Client::new(door.address);
    for _ in 0..8 {
        assert_eq!(client.get("a"), (200, "good".to_owned()));
    }
    assert_eq!(door.metric("edge_router_skipped_values_total"), "4");
    router.wait_for_log("the key /services/a/upstream/3 is unusable and is skipped");
    keys.put("a/upstream/1", &"nonsense");
    until_answer(&mut client, "a", (503, "no-target"));
    keys.put("a/upstream/1", &good);
    until_answer(&mut client, "a", (200, "good"));
}

#[test]
fn a_store_that_hangs_stops_changes_and_nothing_else() {
    let keys = Keys::start();
    let (one, two) = (target("one"), target("two"));
    keys.put("a/lb/1", &one);
    let door = Door::new();
    let router = door.open(&keys.endpoints());
    door.wait_for("READY=1");
    let mut client = Client::new(door.address);
    keys.etcd.member(0).freeze().unwrap();
    door.wait_for("store away for");
    for _ in 0..50 {
        assert_eq!(client.get("a"), (200, "one".to_owned()));
    }
    assert_eq!(door.metric("edge_router_store_up"), "0");
    router.wait_for_log("the store can't be reached; requests are routed as before");
    keys.etcd.member(0).thaw().unwrap();
    keys.put("a/lb/1", &two);
    until_answer(&mut client, "a", (200, "two"));
    router.wait_for_log("the store answers again");
}

#[test]
fn it_starts_without_a_store_from_the_last_table() {
    let keys = Keys::start();
    keys.put("a/lb/1", &target("one"));
    keys.put("gone/lb/1", &target("gone"));
    let door = Door::new();
    let first = door.open(&keys.endpoints());
    door.wait_for("READY=1");
    keys.delete("gone/lb/1");
    until_answer(&mut Client::new(door.address), "gone", (503, "no-target"));
    drop(Client::new(door.address));
    assert!(first.stop().0.success());

    keys.etcd.member(0).kill().unwrap();
    let second = door.open(&keys.endpoints());
    let ready = door.wait_for("READY=1");
    assert!(ready.contains("1 service, 1 target") && ready.contains("table from disk"), "{ready}");
    let mut client = Client::new(door.address);
    assert_eq!(client.get("a"), (200, "one".to_owned()));
    assert_eq!(client.get("gone").0, 503, "what had no targets is still known");
    second.wait_for_log("the table of an earlier run");

    // What is on disk may be damaged: then it waits for the store, and doesn't fall over.
    assert!(second.stop().0.success());
    std::fs::write(door.folder.path().join("table.json"), "{\"format\":1").unwrap();
    let third = door.open(&keys.endpoints());
    door.wait_for("waiting for the store: ");
    third.wait_for_log("is of no use");
    assert!(third.stop().0.success(), "it can be stopped while it waits");
}

#[test]
fn what_is_served_is_acknowledged_per_app_and_nothing_is_written_at_rest() {
    let keys = Keys::start();
    let (one, two) = (target("one"), target("two"));
    keys.put("a/upstream/1", &one);
    keys.put("b/upstream/1", &two);
    let door = Door::new();
    let router = door.open(&keys.endpoints());
    door.wait_for("READY=1");
    let applied = |app: &str| keys.applied(app).and_then(|text| text.parse::<i64>().ok()).unwrap_or_default();
    crate::support::eventually("both are acknowledged", || applied("a") > 0 && applied("b") > 0);
    let (before, other) = (applied("a"), applied("b"));
    let withdrawn = keys.delete("a/upstream/1");
    crate::support::eventually("the withdrawal is acknowledged", || applied("a") >= withdrawn);
    assert!(applied("a") > before);
    assert_eq!(applied("b"), other, "nothing is written for an app that did not change");
    let revision = keys.revision();
    let mut client = Client::new(door.address);
    for _ in 0..100 {
        assert_eq!(client.get("b").0, 200);
    }
    assert_eq!(keys.revision(), revision, "requests write nothing");
    assert!(router.stop().0.success());
    crate::support::eventually("nobody waits for one that is gone", || keys.applied("b").is_none());
}

#[test]
fn documents_in_the_store_are_followed_and_explained() {
    let keys = Keys::start();
    keys.put("a/upstream/1", &target("one"));
    keys.put_at(
        "/convoy/routes/a",
        r#"{"host": "x.d.example", "routes": [{"path": "/old", "redirect": "/new"}]}"#,
    );
    let door = Door::new();
    let router = door.open(&keys.endpoints());
    door.wait_for("READY=1");
    let mut client = Client::new(door.address);
    assert_eq!(client.get("x"), (200, "one".to_owned()));
    keys.put_at("/convoy/routes/a", r#"{"host": "y.d.example"}"#);
    until_answer(&mut client, "y", (200, "one"));
    assert_eq!(client.get("x").0, 404);
    keys.put_at("/convoy/routes/a", r#"{"hots": "z.d.example"}"#);
    router.wait_for_log("the key /convoy/routes/a is unusable and is skipped: unknown field `hots`");
    assert_eq!(client.get("y"), (200, "one".to_owned()), "the one before stays in force");

    let folder = door.folder.path().to_str().unwrap().to_owned();
    let explain =
        |url: &str| crate::support::outcome(&["explain", url, "--runtime-dir", &folder], door.folder.path());
    let (code, text) = explain("http://y.d.example/x");
    assert_eq!(code, Some(0), "{text}");
    for expected in [
        "y.d.example/x is for a",
        "by the rule y.d.example /",
        "(direct)",
        "/convoy/routes/a: unknown field `hots`",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    assert!(explain("nobody.example").1.contains("is answered with 404"));
    // A restart follows the last text that made sense, from the disk or from nobody.
    assert!(router.stop().0.success());
}

#[test]
fn keys_of_another_proxy_are_followed_where_it_is_wanted() {
    let keys = Keys::start();
    let one = target("one");
    keys.put_at("/vulcand/backends/b/servers/s1", &format!(r#"{{"URL":"http://{one}"}}"#));
    keys.put_at("/vulcand/frontends/f/frontend", r#"{"BackendId":"b","Route":"Host(\"old.d.example\")"}"#);
    let door = Door::new();
    let config = door.folder.path().join("config.d");
    std::fs::create_dir(&config).unwrap();
    std::fs::write(config.join("10-a.toml"), "[edge-router]\nimport = ['vulcand']\n").unwrap();
    let router = door.open_configured(&keys.endpoints(), &config);
    door.wait_for("READY=1");
    let mut client = Client::new(door.address);
    assert_eq!(client.get("old"), (200, "one".to_owned()));
    keys.put_at("/vulcand/frontends/f/frontend", r#"{"BackendId":"b","Route":"Host(\"new.d.example\")"}"#);
    until_answer(&mut client, "new", (200, "one"));
    keys.put_at("/vulcand/frontends/f/middlewares/m", "{}");
    router.wait_for_log("the key /vulcand/frontends/f/middlewares/m is not followed");
    assert!(router.stop().0.success());
}
