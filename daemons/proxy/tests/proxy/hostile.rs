//! Requests that mean two things, or nothing.

use crate::support::{Backend, Edge, field};

#[test]
fn what_is_malformed_or_ambiguous_is_refused_before_a_target_sees_it() {
    let backend = Backend::echo();
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: \r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a:http\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http://x@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 405),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n folded: x\r\n\r\n", 400),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/3.0\r\nHost: a\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", 400),
        ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("\x16\x03\x01\x02\r\n\r\n", 400),
    ] {
        let answer = edge.client().ask(request);
        assert_eq!(answer.status, status, "{request:?} got {}", answer.head);
    }
    assert_eq!(backend.heads(), [""; 0]);
}

#[test]
fn a_length_beside_a_transfer_coding_never_reaches_the_target() {
    let backend = Backend::mirror();
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    for fields in
        ["Content-Length: 4\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 4"]
    {
        let mut client = edge.client();
        let answer = client.ask(&format!(
            "POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        ));
        // Either way is safe: refused, or passed on with one meaning and the connection closed behind it.
        if answer.status == 200 {
            assert_eq!(field(&answer.body, "content-length"), None, "{}", answer.body);
            assert_eq!(field(&answer.body, "transfer-encoding"), Some("chunked"));
        } else {
            assert_eq!(answer.status, 400);
        }
        assert!(client.is_at_end(), "nothing after an ambiguous request is served");
    }
    assert!(!backend.heads().iter().any(|head| head.contains("smuggled")));
}

#[test]
fn an_absolute_target_wins_over_host_and_is_passed_on_in_origin_form() {
    let backend = Backend::mirror();
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    let answer = edge.client().ask("GET http://a.d.example/x?y HTTP/1.1\r\nHost: other\r\n\r\n");
    assert!(answer.body.starts_with("GET /x?y HTTP/1.1\r\n"), "{}", answer.body);
    assert_eq!(field(&answer.body, "host"), Some("a.d.example"));
    let answer = edge.client().ask("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.body.starts_with("OPTIONS * HTTP/1.1\r\n"), "{}", answer.body);
}

#[test]
fn requests_sent_ahead_are_answered_in_order() {
    let backend = Backend::echo();
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    let mut client = edge.client();
    let requests: Vec<_> =
        (0..20).map(|number| format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    client.send(&requests.concat());
    for number in 0..20 {
        assert_eq!(client.answer(false).body, format!("/{number}"));
    }
}

#[test]
fn an_old_client_is_served() {
    let backend = Backend::mirror();
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    let mut client = edge.client();
    let answer = client.ask("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!(answer.status, 200);
    assert!(answer.body.starts_with("GET / HTTP/1.1\r\n"), "targets are always asked in 1.1");
    assert!(client.is_at_end());
}

#[test]
fn an_old_client_may_keep_its_connection() {
    let backend = Backend::start(|peer| {
        while peer.head()?.is_some() {
            peer.reply("ok")?;
            if peer.head()?.is_some() {
                peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")?;
            }
        }
        Ok(())
    });
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    let mut client = edge.client();
    let ask = "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
    let answer = client.ask(ask);
    assert_eq!((answer.body.as_str(), answer.field("connection")), ("ok", Some("keep-alive")));
    let answer = client.ask(ask);
    assert_eq!((answer.body.as_str(), answer.field("connection")), ("ok", Some("close")));
    assert_eq!(answer.field("transfer-encoding"), None, "it knows no chunks");
}

#[test]
fn a_target_that_is_the_router_itself_is_noticed() {
    let mut edge = Edge::start(&[]);
    edge.put("a/lb/1", edge.address);
    let answer = edge.get("a", "/");
    assert_eq!(answer.status, 508);
    assert!(answer.body.contains("reason loop"), "{}", answer.body);
}

#[test]
fn a_large_head_is_refused_and_does_no_harm() {
    let backend = Backend::echo();
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    let many = (0..150).map(|number| format!("X-{number}: y\r\n")).collect::<Vec<_>>().concat();
    let answer = edge.client().ask(&format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"));
    assert_eq!(answer.status, 431);
    let long = "x".repeat(30_000);
    assert_eq!(edge.get("a", &format!("/{long}")).status, 200, "30 kB are fine");
    assert_eq!(edge.get("a", "/").status, 200);
}
