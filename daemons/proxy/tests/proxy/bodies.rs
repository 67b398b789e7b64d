//! Bodies: streamed both ways, at the pace of the slower side, and never misread.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Backend, Edge, PATIENCE, eventually};

#[test]
fn chunks_pass_both_ways() {
    let backend = Backend::start(|peer| {
        while let Some(head) = peer.head()? {
            let body = peer.body(&head)?;
            peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            for byte in body {
                peer.send(format!("1\r\n{}\r\n", char::from(byte)).as_bytes())?;
            }
            peer.send(b"0\r\n\r\n")?;
        }
        Ok(())
    });
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    let mut client = edge.client();
    for method in ["POST", "PUT", "GET", "DELETE"] {
        let answer = client.ask(&format!(
            "{method} / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"
        ));
        assert_eq!((answer.status, answer.body.as_str()), (200, "abcde"), "{method}");
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn an_answer_reaches_the_client_while_it_is_made() {
    let (sender, go_on) = std::sync::mpsc::channel::<()>();
    let go_on = std::sync::Mutex::new(go_on);
    let backend = Backend::start(move |peer| {
        peer.head()?;
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")?;
        go_on.lock().unwrap().recv_timeout(PATIENCE).map_err(std::io::Error::other)?;
        peer.send(b"4\r\nlast\r\n0\r\n\r\n")
    });
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    let mut client = edge.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    while client.line() != "\r\n" {}
    assert_eq!(client.bytes(10), b"5\r\nfirst\r\n");
    sender.send(()).unwrap();
    assert_eq!(client.bytes(14), b"4\r\nlast\r\n0\r\n\r\n");
}

/// Waits until a count has not moved for a while.
fn settled(count: &AtomicUsize) -> usize {
    let mut last = (count.load(Ordering::SeqCst), Instant::now());
    let deadline = Instant::now() + PATIENCE;
    while last.1.elapsed() < Duration::from_millis(300) {
        assert!(Instant::now() < deadline, "it never settles");
        std::thread::park_timeout(Duration::from_millis(10));
        let now = count.load(Ordering::SeqCst);
        if now != last.0 {
            last = (now, Instant::now());
        }
    }
    last.0
}

const LARGE: usize = 64 * 1024 * 1024;

#[test]
fn a_client_that_does_not_read_stops_the_target() {
    let written = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&written);
    let backend = Backend::start(move |peer| {
        peer.head()?;
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n").as_bytes())?;
        let block = vec![b'x'; 64 * 1024];
        for _ in 0..LARGE / block.len() {
            peer.send(&block)?;
            counter.fetch_add(block.len(), Ordering::SeqCst);
        }
        Ok(())
    });
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    let mut client = edge.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let held = settled(&written);
    assert!(held < LARGE / 2, "{held} bytes were taken for a client that reads nothing");
    while client.line() != "\r\n" {}
    let mut left = LARGE;
    while left > 0 {
        left -= client.bytes(left.min(1 << 20)).len();
    }
    eventually("all is sent", || written.load(Ordering::SeqCst) == LARGE);
}

#[test]
fn a_target_that_does_not_read_stops_the_client() {
    let read = Arc::new(AtomicUsize::new(0));
    let (sender, go_on) = std::sync::mpsc::channel::<()>();
    let (counter, go_on) = (Arc::clone(&read), std::sync::Mutex::new(go_on));
    let backend = Backend::start(move |peer| {
        let head = peer.head()?.unwrap();
        go_on.lock().unwrap().recv_timeout(PATIENCE).map_err(std::io::Error::other)?;
        let body = peer.body(&head)?;
        counter.store(body.len(), Ordering::SeqCst);
        peer.reply("done")
    });
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    let mut client = edge.client();
    client.send(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n"));
    let sent = Arc::new(AtomicUsize::new(0));
    let (counter, mut stream) = (Arc::clone(&sent), client.stream().try_clone().unwrap());
    let writer = std::thread::spawn(move || {
        let block = vec![b'x'; 64 * 1024];
        for _ in 0..LARGE / block.len() {
            stream.write_all(&block).unwrap();
            counter.fetch_add(block.len(), Ordering::SeqCst);
        }
    });
    let held = settled(&sent);
    assert!(held < LARGE / 2, "{held} bytes were taken for a target that reads nothing");
    sender.send(()).unwrap();
    assert_eq!(client.answer(false).body, "done");
    writer.join().unwrap();
    assert_eq!(read.load(Ordering::SeqCst), LARGE);
}

#[test]
fn answers_without_content_are_not_waited_for() {
    let backend = Backend::start(|peer| {
        while let Some(head) = peer.head()? {
            let answer: &[u8] = match head.split(' ').nth(1).unwrap() {
                "/204" => b"HTTP/1.1 204 No Content\r\n\r\n",
                "/304" => b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nETag: x\r\n\r\n",
                "/head" => b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
                "/head-chunked" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                _ => b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            };
            peer.send(answer)?;
        }
        Ok(())
    });
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    let mut client = edge.client();
    for (method, path, status, length) in [
        ("GET", "/204", 204, None),
        ("GET", "/304", 304, Some("9")),
        ("HEAD", "/head", 200, Some("9")),
        ("HEAD", "/head-chunked", 200, None),
        ("GET", "/empty", 200, Some("0")),
    ] {
        let answer = client.ask(&format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!((answer.status, answer.field("content-length")), (status, length), "{method} {path}");
    }
    assert_eq!(backend.connections(), 1, "the connection was in step all the time");
}

#[test]
fn lengths_that_contradict_a_coding_or_repeat_are_put_right() {
    let backend = Backend::start(|peer| {
        while let Some(head) = peer.head()? {
            let answer: &[u8] = match head.split(' ').nth(1).unwrap() {
                "/both" => b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
                "/twice" => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
                _ => b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
            };
            peer.send(answer)?;
        }
        Ok(())
    });
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    for path in ["/both", "/twice", "/list"] {
        let answer = edge.get("a", path);
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"), "{path} {}", answer.head);
        assert_eq!(
            answer.head.to_lowercase().matches("content-length").count(),
            usize::from(path != "/both")
        );
    }
}

#[test]
fn an_answer_without_length_ends_with_its_connection() {
    let backend = Backend::start(|peer| {
        peer.head()?;
        peer.send(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")
    });
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    let answer = edge.get("a", "/");
    assert_eq!((answer.status, answer.body.as_str()), (200, "until the end"));
    assert!(answer.head.starts_with("HTTP/1.1 200"), "{}", answer.head);
}

#[test]
fn a_client_that_asks_first_is_told_to_go_on_only_when_somebody_listens() {
    let backend = Backend::start(|peer| {
        while let Some(head) = peer.head()? {
            assert!(!head.to_lowercase().contains("expect"), "{head}");
            let body = String::from_utf8(peer.body(&head)?).map_err(std::io::Error::other)?;
            peer.reply(&body)?;
        }
        Ok(())
    });
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    let mut client = edge.client();
    let ask = |host| {
        format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
    };
    assert_eq!(client.ask(&ask("a")).status, 100);
    assert_eq!(client.ask("body").body, "body");
    assert_eq!(edge.client().ask(&ask("nobody")).status, 404, "without an invitation to send the body");
}

#[test]
fn an_answer_that_comes_early_reaches_a_client_that_is_still_sending() {
    let backend = Backend::start(|peer| {
        peer.head()?;
        peer.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge")?;
        // As servers do it: the answer is complete, and what still comes is thrown away.
        peer.stream().shutdown(std::net::Shutdown::Write)?;
        peer.wait_for_end().map(drop)
    });
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    for _ in 0..10 {
        let mut client = edge.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n");
        let mut stream = client.stream().try_clone().unwrap();
        let writer = std::thread::spawn(move || {
            // It may well be cut off; what counts is that the answer was there before.
            let _ = stream.write_all(&vec![b'x'; 4_000_000]);
            stream
        });
        let answer = client.answer(false);
        assert_eq!((answer.status, answer.body.as_str()), (413, "large"));
        drop(writer.join().unwrap());
    }
}

#[test]
fn a_body_that_is_malformed_or_breaks_off_is_the_clients_fault() {
    let backend = Backend::start(|peer| {
        let head = peer.head()?.unwrap();
        peer.body(&head)?;
        peer.reply("must not happen")
    });
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    let mut client = edge.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    eventually("the target has the head", || backend.heads().len() == 1);
    let answer = client.ask("zz\r\nnonsense\r\n");
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("reason client-body"), "{}", answer.body);

    let mut client = edge.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    eventually("the target has the head", || backend.heads().len() == 2);
    client.stream().shutdown(std::net::Shutdown::Write).unwrap();
    let mut rest = String::new();
    client.stream().read_to_string(&mut rest).unwrap();
    assert!(!rest.contains("must not happen"), "{rest}");
}

#[test]
fn what_comes_behind_a_body_passes_where_somebody_wants_it() {
    let backend = Backend::start(|peer| {
        while peer.head()?.is_some() {
            let mut body = Vec::new();
            while !body.ends_with(b"\r\n\r\n") {
                body.extend(peer.byte()?);
            }
            assert_eq!(String::from_utf8_lossy(&body), "3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n");
            peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n")?;
            peer.send(b"X-Sum: 9\r\nSet-Cookie: late=1\r\n\r\n")?;
        }
        Ok(())
    });
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    let mut client = edge.client();
    for (wants, end) in [("TE: trailers\r\n", "0\r\nX-Sum: 9\r\n\r\n"), ("", "0\r\n\r\n")] {
        client.send(&format!(
            "POST / HTTP/1.1\r\nHost: a\r\n{wants}Transfer-Encoding: chunked\r\n\r\n\
             3\r\nabc\r\n0\r\nX-Sum: 7\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"
        ));
        while client.line() != "\r\n" {}
        let expected = format!("2\r\nok\r\n{end}");
        assert_eq!(String::from_utf8_lossy(&client.bytes(expected.len())), expected);
    }
}

#[test]
fn both_may_talk_at_once() {
    let backend = Backend::start(|peer| {
        peer.head()?;
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        // Each chunk goes back as soon as it is there.
        loop {
            let mut chunk = Vec::new();
            while !chunk.ends_with(b"\r\n") {
                chunk.extend(peer.byte()?);
            }
            let size = chunk[0] - b'0';
            for _ in 0..size + 2 {
                chunk.extend(peer.byte()?);
            }
            peer.send(&chunk)?;
            if size == 0 {
                return Ok(());
            }
        }
    });
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    let mut client = edge.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    while client.line() != "\r\n" {}
    for chunk in ["3\r\nabc\r\n", "1\r\nd\r\n", "0\r\n\r\n"] {
        client.send(chunk);
        assert_eq!(String::from_utf8_lossy(&client.bytes(chunk.len())), chunk);
    }
    assert!(client.is_at_end(), "an answer before its request was over ends the connection");
}
