//! What an ordinary request goes through.

use crate::support::{Backend, Edge, eventually, field};

#[test]
fn a_request_reaches_its_app_and_connections_are_kept_on_both_sides() {
    let backend = Backend::echo();
    let edge = Edge::start(&[("someapp/lb/1", backend.address)]);
    let mut client = edge.client();
    for path in ["/", "/a?b=c", "/a/%2e%2e/x"] {
        let answer = client.get("SomeApp.D.example.:80", path);
        assert_eq!((answer.status, answer.body.as_str()), (200, path));
    }
    assert_eq!(backend.connections(), 1);
    assert_eq!(client.get("someapp", "/bare").status, 200, "the app's bare name is a host too");
}

#[test]
fn the_target_learns_who_asks_and_nothing_the_client_invents() {
    let backend = Backend::mirror();
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    let answer = edge.client().ask(
        "GET /x HTTP/1.1\r\nHost: a.d.example:8080\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n\
         Forwarded: for=1.2.3.4\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nAccept: */*\r\n\r\n",
    );
    let seen = answer.body.as_str();
    assert!(seen.starts_with("GET /x HTTP/1.1\r\n"), "{seen}");
    for (name, value) in [
        ("host", Some("a.d.example:8080")),
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-host", Some("a.d.example:8080")),
        ("accept", Some("*/*")),
        ("forwarded", Some("for=127.0.0.1;proto=http;host=\"a.d.example:8080\"")),
        ("x-hop", None),
        ("connection", None),
    ] {
        assert_eq!(field(seen, name), value, "{name} in {seen}");
    }
    let id = field(seen, "x-request-id").unwrap();
    assert_eq!(id.len(), 20, "{id}");
    assert_eq!(answer.field("connection"), Some("close"), "the client asked for it");
}

#[test]
fn hosts_without_an_app_and_apps_without_targets_are_told_apart() {
    let backend = Backend::echo();
    let mut edge = Edge::start(&[("a/upstream/1", backend.address)]);
    assert_eq!(edge.get("a.d.example", "/").status, 200);
    edge.delete("a/upstream/1");
    let answer = edge.get("a.d.example", "/");
    assert_eq!((answer.status, answer.field("retry-after")), (503, Some("5")));
    assert!(answer.body.contains("reason no-target"), "{}", answer.body);
    let answer = edge.get("b.d.example", "/");
    assert_eq!(answer.status, 404);
    assert!(answer.body.contains("reason no-route"), "{}", answer.body);
    let page = edge.client().ask("GET / HTTP/1.1\r\nHost: b\r\nAccept: text/html\r\n\r\n");
    assert!(page.body.contains("<h1>404 Not Found</h1>"), "{}", page.body);
}

#[test]
fn requests_take_turns_and_load_balancers_come_before_instances() {
    let balancers = [Backend::echo(), Backend::echo()];
    let instance = Backend::echo();
    let mut edge = Edge::start(&[
        ("a/lb/1", balancers[0].address),
        ("a/lb/2", balancers[1].address),
        ("a/upstream/1", instance.address),
    ]);
    let mut client = edge.client();
    for _ in 0..10 {
        assert_eq!(client.get("a", "/").status, 200);
    }
    assert_eq!((balancers[0].heads().len(), balancers[1].heads().len()), (5, 5));
    assert_eq!(instance.heads().len(), 0);
    edge.delete("a/lb/1");
    edge.delete("a/lb/2");
    assert_eq!(client.get("a", "/").status, 200);
    assert_eq!(instance.heads().len(), 1);
}

#[test]
fn connections_to_a_target_are_closed_when_its_key_leaves() {
    let (sender, ended) = std::sync::mpsc::channel();
    let backend = Backend::start(move |peer| {
        peer.head()?;
        peer.reply("1")?;
        peer.wait_for_end()?;
        sender.send(()).unwrap();
        Ok(())
    });
    let mut edge = Edge::start(&[("a/lb/1", backend.address), ("b/lb/1", backend.address)]);
    assert_eq!(edge.get("a", "/").status, 200);
    edge.delete("a/lb/1");
    ended.recv_timeout(crate::support::PATIENCE).expect("the idle connection is closed at once");
    edge.put("a/lb/1", backend.address);
    assert_eq!(edge.get("a", "/").status, 200);
    assert_eq!(backend.connections(), 2);
}

#[test]
fn a_target_written_anew_is_not_reached_over_old_connections() {
    let backend = Backend::echo();
    let mut edge = Edge::start(&[("a/lb/1", backend.address)]);
    let mut client = edge.client();
    assert_eq!(client.get("a", "/").status, 200);
    // The same address under the same key, but another incarnation.
    edge.put("a/lb/1", backend.address);
    assert_eq!(client.get("a", "/").status, 200);
    assert_eq!(backend.connections(), 2);
}

#[test]
fn every_request_is_logged_and_counted() {
    let backend = Backend::echo();
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    assert_eq!(edge.get("a.d.example", "/x?y").status, 200);
    assert_eq!(
        edge.log_line(),
        format!("GET a.d.example/x?y 200 a/lb {} bytes=4 retries=0 ", backend.address)
    );
    assert_eq!(edge.get("nobody", "/").status, 404);
    let line = edge.log_line();
    assert!(line.starts_with("GET nobody/ 404 -/- - bytes=") && line.ends_with("no-route"), "{line}");
    let totals = edge.proxy.metrics().route_totals();
    let (_, totals) = totals.iter().next().unwrap();
    assert_eq!((totals.classes[2], totals.bytes), (1, 4));
    eventually("all connections are closed", || edge.proxy.open_connections() == 0);
}
