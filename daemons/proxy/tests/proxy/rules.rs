//! What the rules of an app do to its requests.

use std::time::{Duration, Instant};

use convoy_proxy::{Listener, Proofs, Settings};

use crate::support::{Backend, Edge, eventually, field};

#[test]
fn paths_and_hosts_lead_to_their_apps() {
    let (shop, api) = (Backend::named("shop"), Backend::named("api"));
    let mut edge = Edge::start(&[("shop/lb/1", shop.address), ("api/lb/1", api.address)]);
    edge.document("shop", r#"{"host": ["shop.example", "*.shop.example"]}"#);
    edge.document("api", r#"{"routes": [{"host": "shop.example", "path": "/api"}]}"#);
    for (host, path, app) in [
        ("shop.example", "/", "shop"),
        ("SHOP.example:8080", "/apis", "shop"),
        ("shop.example", "/api", "api"),
        ("shop.example", "/x/../api/y?z", "api"),
        ("shop.example", "/%61pi", "api"),
        ("de.shop.example", "/api", "shop"),
        ("api.d.example", "/", "api"),
    ] {
        assert_eq!(edge.get(host, path).body, app, "{host}{path}");
    }
    assert_eq!(edge.get("a.b.shop.example", "/").status, 404);
    let seen = api.heads();
    assert!(
        seen.iter().any(|head| head.starts_with("GET /api/y?z ")),
        "what was compared is what is sent: {seen:?}"
    );
}

#[test]
fn a_target_sees_what_the_rule_wants() {
    let backend = Backend::mirror();
    let mut edge = Edge::start(&[("a/lb/1", backend.address)]);
    edge.document(
        "a",
        r#"{"routes": [{"path": "/api", "rewrite": "/v1", "host_header": "inner.example",
            "request_headers": {"set": {"X-Key": "k"}, "remove": ["Cookie"]},
            "response_headers": {"set": {"X-Frame-Options": "DENY"}, "remove": ["Server"]}},
            {"path": "/strip", "strip_path": true}]}"#,
    );
    let answer = edge.client().ask("GET /api/x?y HTTP/1.1\r\nHost: a\r\nCookie: a=b\r\nX-Key: mine\r\n\r\n");
    assert!(answer.body.starts_with("GET /v1/x?y HTTP/1.1\r\n"), "{}", answer.body);
    for (name, value) in [
        ("host", Some("inner.example")),
        ("x-key", Some("k")),
        ("cookie", None),
        ("x-forwarded-host", Some("a")),
    ] {
        assert_eq!(field(&answer.body, name), value, "{name}");
    }
    assert_eq!(answer.field("x-frame-options"), Some("DENY"));
    assert!(edge.get("a", "/strip/x").body.starts_with("GET /x HTTP/1.1\r\n"));
    assert!(edge.get("a", "/strip").body.starts_with("GET / HTTP/1.1\r\n"));
    assert!(edge.get("a", "/other").body.starts_with("GET /other HTTP/1.1\r\n"));
}

#[test]
fn clients_are_sent_elsewhere_without_a_target() {
    let mut edge = Edge::start(&[]);
    edge.document(
        "a",
        r#"{"host": "a.example", "https": true, "routes": [
            {"host": "old.example", "redirect": "https://a.example"},
            {"host": "old.example", "path": "/docs", "redirect": {"to": "/manual", "status": 301, "keep_path": false}}]}"#,
    );
    for (host, path, status, location) in [
        ("a.example:8080", "/x?y", 308, "https://a.example/x?y"),
        ("old.example", "/x?y", 308, "https://a.example/x?y"),
        ("old.example", "/docs/x", 301, "/manual"),
    ] {
        let answer = edge.get(host, path);
        assert_eq!((answer.status, answer.field("location")), (status, Some(location)), "{host}{path}");
    }
    assert_eq!(edge.log_line(), "GET a.example:8080/x?y 308 a/- - bytes=0 retries=0 ");
}

#[test]
fn a_service_that_is_worked_on_has_a_page() {
    let backend = Backend::echo();
    let mut edge = Edge::start(&[("a/lb/1", backend.address)]);
    edge.document("a", r#"{"maintenance": {"page": "<p>back at noon", "retry_after": 60}}"#);
    let answer = edge.get("a", "/");
    assert_eq!((answer.status, answer.body.as_str()), (503, "<p>back at noon"));
    assert_eq!(
        (answer.field("retry-after"), answer.field("content-type")),
        (Some("60"), Some("text/html; charset=utf-8"))
    );
    edge.document("a", "{}");
    assert_eq!(edge.get("a", "/").body, "/");
    assert_eq!(backend.heads().len(), 1);
}

#[test]
fn a_body_that_is_too_large_is_refused_by_its_length_or_when_it_is_too_much() {
    let backend = Backend::echo();
    let mut edge = Edge::start(&[("a/lb/1", backend.address)]);
    edge.document("a", r#"{"body_max": 10}"#);
    for (request, status) in [
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789", 200),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n01234567890", 413),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n", 200),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n",
            413,
        ),
    ] {
        let answer = edge.client().ask(request);
        assert_eq!(answer.status, status, "{request:?}: {}", answer.body);
        if status == 413 {
            assert!(answer.body.contains("reason too-large"), "{}", answer.body);
            assert_eq!(answer.field("connection"), Some("close"));
        }
    }
}

#[test]
fn a_rule_has_its_own_patience() {
    let backend = Backend::start(|peer| {
        while let Some(head) = peer.head()? {
            if head.starts_with("GET /slow") {
                peer.wait_for_end()?;
            }
            peer.reply("fine")?;
        }
        Ok(())
    });
    let mut edge = Edge::start(&[("a/lb/1", backend.address)]);
    edge.document("a", r#"{"routes": [{"path": "/slow", "timeouts": {"response": "300ms"}}]}"#);
    let began = Instant::now();
    let answer = edge.get("a", "/slow");
    assert_eq!(answer.status, 504, "{}", answer.body);
    assert!(began.elapsed() < Duration::from_secs(10), "the ordinary limit is 60 s");
    assert_eq!(edge.get("a", "/").body, "fine");
}

#[test]
fn a_share_of_the_requests_goes_to_another_app() {
    let (old, new) = (Backend::named("old"), Backend::named("new"));
    let mut edge = Edge::start(&[("a/lb/1", old.address), ("a-next/lb/1", new.address)]);
    edge.document("a", r#"{"canary": {"app": "a-next", "percent": 30, "header": "x-canary"}}"#);
    let mut client = edge.client();
    let count = (0..400).filter(|_| client.get("a", "/").body == "new").count();
    assert!((60..180).contains(&count), "{count} of 400");
    for (value, name) in [("always", "new"), ("never", "old")] {
        for _ in 0..10 {
            assert_eq!(
                client.ask(&format!("GET / HTTP/1.1\r\nHost: a\r\nX-Canary: {value}\r\n\r\n")).body,
                name
            );
        }
    }
    edge.delete("a-next/lb/1");
    assert_eq!(
        client.ask("GET / HTTP/1.1\r\nHost: a\r\nX-Canary: always\r\n\r\n").body,
        "old",
        "nobody is there"
    );
}

#[test]
fn so_many_requests_at_a_time_and_no_more() {
    let backend = Backend::start(|peer| {
        while peer.head()?.is_some() {
            // The answer comes when the test lets it.
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")?;
            let mut byte = [0];
            let _ = std::io::Read::read(&mut peer.stream(), &mut byte)?;
            peer.send(b"ok")?;
        }
        Ok(())
    });
    // One worker reads connections in the order in which they come.
    let mut edge = Edge::with(Settings { threads: 1, ..Settings::default() }, &[("a/lb/1", backend.address)]);
    edge.document("a", r#"{"concurrency": {"limit": 1, "queue": 1, "wait": "10s"}}"#);
    let open = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n";
    let mut first = edge.client();
    first.send(open);
    eventually("the first request is there", || backend.heads().len() == 1);
    let mut second = edge.client();
    second.send(open);
    let third = edge.client().ask(open);
    assert_eq!(third.status, 503);
    assert!(third.body.contains("reason busy"), "{}", third.body);
    assert_eq!(backend.heads().len(), 1, "one at a time");
    first.send("x");
    assert_eq!(first.answer(false).body, "ok");
    eventually("the second one's turn", || backend.heads().len() == 2);
    second.send("x");
    assert_eq!(second.answer(false).body, "ok");
}

#[test]
fn an_authority_gets_its_proof_before_anything_else_is_looked_at() {
    let backend = Backend::named("shop");
    let proofs = Proofs::new(|host, token| {
        let is_known = token == "known" && (host == "shop.example" || host == "nobody.example");
        is_known.then(|| "known.thumbprint".into())
    });
    let mut edge = Edge::behind(Settings::default(), &[("shop/lb/1", backend.address)], |socket| Listener {
        proofs: Some(proofs.clone()),
        ..Listener::http(socket)
    });
    edge.document("shop", r#"{"host": "shop.example", "https": true, "routes": [{"host": "b.example"}]}"#);
    for host in ["shop.example", "SHOP.example:80", "nobody.example"] {
        let answer = edge.get(host, "/.well-known/acme-challenge/known");
        let kind = answer.field("content-type").map(str::to_owned);
        assert_eq!(
            (answer.status, &*answer.body, kind.as_deref()),
            (200, "known.thumbprint", Some("text/plain"))
        );
    }
    assert_eq!(
        edge.log_line(),
        "GET shop.example/.well-known/acme-challenge/known 200 -/- - bytes=16 retries=0 "
    );
    // What nobody waits for is routed like everything else: an app may well prove names itself.
    assert_eq!(edge.get("shop.example", "/.well-known/acme-challenge/other").status, 308);
    assert_eq!(edge.get("shop.example", "/known").status, 308);
    assert_eq!(edge.get("nobody.example", "/.well-known/acme-challenge/other").status, 404);
}
