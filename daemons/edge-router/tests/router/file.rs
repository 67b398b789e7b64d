//! Routes from a file, without a store.

use std::fmt::Write;
use std::net::SocketAddr;

use crate::support::{Client, Door, outcome, target, until_answer};

fn routes(entries: &[(&str, &str, SocketAddr)]) -> String {
    let mut text = String::from(r#"{"routes":["#);
    for (number, (host, path, target)) in entries.iter().enumerate() {
        let comma = if number > 0 { "," } else { "" };
        write!(text, r#"{comma}{{"host":"{host}","path":"{path}","targets":["{target}"]}}"#).unwrap();
    }
    text + "]}"
}

#[test]
fn a_file_is_followed_and_a_broken_one_changes_nothing() {
    let (one, two, three) = (target("one"), target("two"), target("three"));
    let door = Door::new();
    let path = door.folder.path().join("routes.json");
    std::fs::write(
        &path,
        routes(&[("a.d.example", "/", one), ("a.d.example", "/two", two), ("*", "/", three)]),
    )
    .unwrap();
    let router = door.open_with_file(&path);
    let ready = door.wait_for("READY=1");
    assert!(ready.contains("serving 3 services, 3 targets"), "{ready}");
    let mut client = Client::new(door.address);
    assert_eq!(client.get("a"), (200, "one".to_owned()));
    assert_eq!(client.get("b"), (200, "three".to_owned()));

    std::fs::write(&path, routes(&[("a.d.example", "/", two), ("*", "/", three)])).unwrap();
    until_answer(&mut client, "a", (200, "two"));

    std::fs::write(&path, "{\"routes\": [").unwrap();
    router.wait_for_log("the routes file is of no use; requests are routed as before");
    assert_eq!(client.get("a"), (200, "two".to_owned()));

    let bad =
        r#"{"routes":[{"host":"a.d.example","targest":[]},{"host":"c.d.example","targets":["#.to_owned();
    std::fs::write(&path, format!("{bad}\"{one}\"]}}]}}")).unwrap();
    until_answer(&mut client, "c", (200, "one"));
    assert_eq!(client.get("a"), (200, "two".to_owned()), "what a broken entry was for stays as it was");
    router.wait_for_log("entry 1 of the routes file is unusable and is skipped: unknown field `targest`");
    let (status, log) = router.stop();
    assert!(status.success(), "{log}");
}

#[test]
fn a_file_is_checked_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("routes.json");
    let file = path.to_str().unwrap();
    for (text, code, expected) in [
        (
            r#"{"routes":[{"host":"a.example","targets":["127.0.0.1:1"]}]}"#,
            0,
            "is fine: 1 entries, 1 targets",
        ),
        (
            r#"{"routes":[{"host":"a","targets":[]},{"host":"http://b"}]}"#,
            78,
            "entry 2 (\"http://b\"): \"http://b\" is no host",
        ),
        ("{", 78, "line 1 column 1"),
        (
            r#"{"routes":[{"host":"a","app":"x"},{"host":"a","app":"y"}]}"#,
            0,
            "x and y both want a /; x gets it",
        ),
    ] {
        std::fs::write(&path, text).unwrap();
        let (found, said) = outcome(&["check", "--routes", file], folder.path());
        assert_eq!(found, Some(code), "{said}");
        assert!(said.contains(expected), "{said}");
    }
    let (code, said) = outcome(&["--routes", "/nowhere", "--listen", "http=127.0.0.1:0"], folder.path());
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("/nowhere: No such file"), "{said}");
}
