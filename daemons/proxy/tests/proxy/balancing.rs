//! Who gets a request.

use std::collections::BTreeMap;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Answer, Backend, Client, Edge, eventually, refusing};

fn count(edge: &Edge, requests: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let mut client = edge.client();
    for _ in 0..requests {
        *counts.entry(client.get("a", "/").body).or_default() += 1;
    }
    counts
}

fn ask(client: &mut Client, fields: &str) -> Answer {
    client.ask(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
}

#[test]
fn weights_are_shares() {
    let (one, two) = (Backend::named("one"), Backend::named("two"));
    let mut edge = Edge::start(&[("a/upstream/1", one.address), ("a/upstream/2", two.address)]);
    edge.document("a", r#"{"balance": "round-robin", "weights": {"1": 100, "2": 25}}"#);
    assert_eq!(count(&edge, 100)["two"], 20);
    edge.document("a", r#"{"balance": "round-robin"}"#);
    edge.record("a/2", "passing", 300);
    assert_eq!(count(&edge, 100)["two"], 75, "an instance says its own weight");
}

#[test]
fn who_is_about_to_stop_gets_nothing_new_while_there_are_others() {
    let (one, two) = (Backend::named("one"), Backend::named("two"));
    let mut edge = Edge::start(&[("a/upstream/1", one.address), ("a/upstream/2", two.address)]);
    edge.record("a/1", "draining", 100);
    assert_eq!(count(&edge, 20), BTreeMap::from([("two".to_owned(), 20)]));
    edge.record("a/2", "draining", 100);
    assert_eq!(count(&edge, 20).len(), 2, "both are better than none");
}

#[test]
fn the_same_value_leads_to_the_same_target_on_every_connection() {
    let backends: Vec<_> = ["one", "two", "three"].map(Backend::named).into();
    let mut edge = Edge::start(&[]);
    for (number, backend) in backends.iter().enumerate() {
        edge.put(&format!("a/upstream/{number}"), backend.address);
    }
    edge.document("a", r#"{"balance": "hash:header:x-user"}"#);
    let target = |edge: &Edge, user: usize| ask(&mut edge.client(), &format!("X-User: {user}\r\n")).body;
    let before: Vec<_> = (0..40).map(|user| target(&edge, user)).collect();
    assert!(
        ["one", "two", "three"].iter().all(|name| before.iter().any(|found| found == name)),
        "{before:?}"
    );
    assert_eq!((0..40).map(|user| target(&edge, user)).collect::<Vec<_>>(), before);
    edge.delete("a/upstream/2");
    for (user, before) in before.iter().enumerate() {
        let after = target(&edge, user);
        assert!(after == *before || before == "three", "user {user} moved from {before} to {after}");
    }
}

#[test]
fn a_cookie_keeps_a_client_where_it_is() {
    let (one, two) = (Backend::named("one"), Backend::named("two"));
    let mut edge = Edge::start(&[("a/upstream/1", one.address), ("a/upstream/2", two.address)]);
    edge.document("a", r#"{"sticky": {"cookie": "at", "max_age": "1h", "secure": true}}"#);
    let first = ask(&mut edge.client(), "");
    let cookie = first.field("set-cookie").unwrap().to_owned();
    assert!(
        cookie.starts_with("at=")
            && cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax; Max-Age=3600; Secure"),
        "{cookie}"
    );
    let value = cookie.split(';').next().unwrap();
    for _ in 0..10 {
        let answer = ask(&mut edge.client(), &format!("Cookie: x=y; {value}\r\n"));
        assert_eq!((answer.body.as_str(), answer.field("set-cookie")), (first.body.as_str(), None));
    }
    let gone = if first.body == "one" { "1" } else { "2" };
    edge.delete(&format!("a/upstream/{gone}"));
    let moved = ask(&mut edge.client(), &format!("Cookie: {value}\r\n"));
    assert_ne!(moved.body, first.body);
    assert!(moved.field("set-cookie").is_some(), "it is told where it is now");
}

#[test]
fn a_slow_target_gets_less() {
    let fast = Backend::named("fast");
    let slow = Backend::start(|peer| {
        while peer.head()?.is_some() {
            thread::park_timeout(Duration::from_millis(30));
            peer.reply("slow")?;
        }
        Ok(())
    });
    let edge = Edge::start(&[("a/upstream/1", fast.address), ("a/upstream/2", slow.address)]);
    let counts = count(&edge, 200);
    assert!(counts["slow"] < 20, "{counts:?}");
}

#[test]
fn requests_wait_a_moment_for_a_service_that_has_just_lost_its_last_target() {
    let backend = Backend::named("back");
    let mut edge = Edge::start(&[("a/upstream/1", backend.address)]);
    edge.document("a", r#"{"hold": "10s"}"#);
    edge.delete_now("a/upstream/1");
    let mut client = edge.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| client.answer(false));
        edge.put("a/upstream/2", backend.address);
        assert_eq!(waiting.join().unwrap().body, "back");
    });
    edge.document("a", r#"{"hold": "200ms"}"#);
    edge.delete_now("a/upstream/2");
    let began = Instant::now();
    let answer = edge.get("a", "/");
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(began.elapsed() >= Duration::from_millis(190), "{:?}", began.elapsed());
}

#[test]
fn a_target_that_fails_its_checks_gets_nothing_and_comes_back() {
    let sick = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let shared = std::sync::Arc::clone(&sick);
    let checked = Backend::start(move |peer| {
        while let Some(head) = peer.head()? {
            if head.starts_with("GET /healthz") && shared.load(std::sync::atomic::Ordering::SeqCst) {
                peer.send(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")?;
            } else {
                peer.reply("checked")?;
            }
        }
        Ok(())
    });
    let other = Backend::named("other");
    let mut edge = Edge::start(&[("a/upstream/1", checked.address), ("a/upstream/2", other.address)]);
    edge.document(
        "a",
        r#"{"check": {"ask": "http:/healthz", "interval": "100ms", "timeout": "5s", "rise": 1, "fall": 2}}"#,
    );
    eventually("it is left out", || !count(&edge, 6).contains_key("checked"));
    assert_eq!(count(&edge, 20), BTreeMap::from([("other".to_owned(), 20)]));
    assert_eq!(edge.proxy.metrics().totals().check_failures, 1);
    sick.store(false, std::sync::atomic::Ordering::SeqCst);
    eventually("it is back", || count(&edge, 6).contains_key("checked"));
}

#[test]
fn a_request_that_was_not_sent_moves_on_whatever_it_is() {
    let backend = Backend::named("fine");
    let edge = Edge::start(&[
        ("a/upstream/1", refusing()),
        ("a/upstream/2", backend.address),
        ("a/upstream/3", refusing()),
    ]);
    for _ in 0..10 {
        let answer = edge.client().ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!(answer.body, "fine");
    }
}

#[test]
fn repeats_have_a_budget() {
    // Takes requests and breaks off.
    let broken = Backend::start(|peer| {
        peer.head()?;
        peer.stream().flush()
    });
    let mut edge = Edge::with(
        convoy_proxy::Settings { threads: 1, ..convoy_proxy::Settings::default() },
        &[("a/upstream/1", broken.address), ("a/upstream/2", broken.address)],
    );
    edge.document("a", r#"{"retry_budget": 10}"#);
    for _ in 0..400 {
        assert_eq!(edge.get("a", "/").status, 502);
    }
    // A hundred to begin with, and one for ten requests; without a budget there were one for each.
    let sent = broken.heads().len();
    assert!((540..=560).contains(&sent), "{sent} for 400 requests");
}
