//! Targets that refuse, break off, or vanish.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{Backend, Edge, eventually, refusing};

const POST: &str = "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";

#[test]
fn a_refused_connection_is_retried_elsewhere_whatever_the_method() {
    let backend = Backend::echo();
    let edge = Edge::start(&[("a/lb/1", refusing()), ("a/lb/2", backend.address), ("a/lb/3", refusing())]);
    for _ in 0..6 {
        let answer = edge.client().ask(POST);
        assert_eq!((answer.status, answer.body.as_str()), (200, "/p"));
    }
    assert_eq!(edge.proxy.metrics().totals().ejections, 2, "each was found out once, then left alone");
}

#[test]
fn instances_are_asked_when_every_load_balancer_refuses() {
    let instance = Backend::echo();
    let edge =
        Edge::start(&[("a/lb/1", refusing()), ("a/lb/2", refusing()), ("a/upstream/1", instance.address)]);
    assert_eq!(edge.get("a", "/").status, 200);
    assert!(edge.log_line().contains("a/direct"));
}

#[test]
fn when_nobody_can_be_reached_it_is_said_and_tried_again_next_time() {
    let address = refusing();
    let edge = Edge::start(&[("a/lb/1", address)]);
    let answer = edge.get("a", "/");
    assert_eq!(answer.status, 502);
    assert!(answer.body.contains("reason connect,"), "{}", answer.body);
    // It comes up: although it is ejected it is the only one, so it is asked.
    let listener = std::net::TcpListener::bind(address).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = String::new();
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(std::io::BufRead::read_line(&mut reader, &mut head).unwrap(), 0);
        }
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    });
    assert_eq!(edge.get("a", "/").status, 204);
    server.join().unwrap();
}

/// Closes its second request's connection at the moment at which the request arrives, as a server does whose
/// keep-alive time is just over.
fn closes_when_reused() -> Backend {
    Backend::start(|peer| {
        let head = peer.head()?.unwrap();
        peer.body(&head)?;
        peer.reply("first")?;
        if peer.number == 0 {
            peer.head()?;
            return Ok(());
        }
        while let Some(head) = peer.head()? {
            peer.body(&head)?;
            peer.reply("again")?;
        }
        Ok(())
    })
}

#[test]
fn a_kept_connection_that_is_closed_under_a_request_costs_a_retry_and_no_failure() {
    let backend = closes_when_reused();
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    let mut client = edge.client();
    assert_eq!(client.get("a", "/").body, "first");
    assert_eq!(client.get("a", "/").body, "first", "on a new connection");
    assert_eq!(backend.connections(), 2);
    edge.log_line();
    assert!(edge.log_line().contains("retries=1"));
}

#[test]
fn a_request_that_may_have_been_done_is_not_done_twice() {
    let backend = closes_when_reused();
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    let mut client = edge.client();
    assert_eq!(client.get("a", "/").body, "first");
    let answer = client.ask(POST);
    assert_eq!(answer.status, 502);
    assert!(answer.body.contains("reason reset"), "{}", answer.body);
    assert_eq!(backend.heads().iter().filter(|head| head.starts_with("POST")).count(), 1);
}

#[test]
fn a_connection_that_was_closed_while_idle_is_not_used() {
    let closed = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&closed);
    let backend = Backend::start(move |peer| {
        let head = peer.head()?.unwrap();
        peer.body(&head)?;
        peer.reply("once")?;
        peer.stream().shutdown(std::net::Shutdown::Both)?;
        counter.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    let mut client = edge.client();
    for round in 1..=20 {
        // With a body, so that a retry after sending would be an error.
        let answer = client.ask(POST);
        assert_eq!((answer.status, answer.body.as_str()), (200, "once"), "round {round}");
        eventually("the target closes", || closed.load(Ordering::SeqCst) == round);
    }
}

#[test]
fn an_idempotent_request_survives_a_target_that_dies_with_it() {
    let dying = Backend::start(|peer| peer.head().map(drop));
    let sound = Backend::echo();
    let edge = Edge::start(&[("a/lb/1", dying.address), ("a/lb/2", sound.address)]);
    for _ in 0..4 {
        assert_eq!(edge.get("a", "/x").body, "/x");
    }
    assert!(dying.connections() > 0);
    let alone = Edge::start(&[("a/lb/1", dying.address)]);
    let answer = alone.get("a", "/");
    assert_eq!(answer.status, 502);
    assert!(answer.body.contains("reason reset"), "{}", answer.body);
}

#[test]
fn an_answer_that_is_no_http_is_a_bad_gateway() {
    let backend = Backend::start(|peer| {
        peer.head()?;
        peer.send(b"SSH-2.0-OpenSSH_9.2\r\n")?;
        peer.wait_for_end().map(drop)
    });
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    let answer = edge.client().ask(POST);
    assert_eq!(answer.status, 502);
    assert!(answer.body.contains("reason protocol"), "{}", answer.body);
}

#[test]
fn an_answer_that_breaks_off_breaks_off_at_the_client_too() {
    for head in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let backend = Backend::start(move |peer| {
            peer.head()?;
            peer.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n5\r\nhello\r\n").as_bytes())
        });
        let edge = Edge::start(&[("a/lb/1", backend.address)]);
        let mut client = edge.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        // A part of it, or nothing at all.
        let answer = client.try_answer(false);
        assert!(matches!(answer, Err(_) | Ok(None)), "{head}: it must not look complete: {answer:?}");
        assert!(edge.log_line().ends_with("reset"), "{head}");
    }
}

#[test]
fn a_client_that_leaves_takes_its_request_along() {
    let (sender, ended) = std::sync::mpsc::channel();
    let backend = Backend::start(move |peer| {
        peer.head()?;
        peer.wait_for_end()?;
        sender.send(()).unwrap();
        Ok(())
    });
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    let mut client = edge.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the target has the request", || backend.heads().len() == 1);
    drop(client);
    ended.recv_timeout(crate::support::PATIENCE).expect("the target's connection is closed");
    assert!(edge.log_line().contains(" 499 "));
}
