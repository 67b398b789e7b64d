//! Clients of HTTP/2, frame by frame: what a library would hide.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use convoy_proxy::Settings;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http::{HeaderMap, Request, Response};

use crate::http2_support::{all, background, before, connect, interim, post, run, target};
use crate::support::{Backend, Edge, field};

/// Sends its body when it is told to.
fn asks_first(sender: &mut SendRequest<Bytes>) -> (ResponseFuture, SendStream<Bytes>) {
    let mut request = post();
    request.headers_mut().insert("expect", "100-continue".parse().unwrap());
    request.headers_mut().insert("content-length", "2".parse().unwrap());
    sender.send_request(request, false).unwrap()
}

#[test]
fn hints_reach_the_client_before_the_answer() {
    let backend = Backend::start(|peer| {
        while let Some(head) = peer.head()? {
            assert_eq!(field(&head, "expect"), None, "{head}");
            peer.body(&head)?;
            peer.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")?;
            peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nConnection: x\r\nX: y\r\n\r\n")?;
            peer.byte()?;
        }
        Ok(())
    });
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    run(async {
        let mut sender = connect(edge.address, 65_535).await;
        let (mut answer, mut body) = asks_first(&mut sender);
        assert_eq!(interim(&mut answer).await.status(), 100, "somebody listens");
        body.send_data(Bytes::from_static(b"ab"), true).unwrap();
        assert_eq!(interim(&mut answer).await.status(), 102, "and one word is enough");
        let hint = interim(&mut answer).await;
        let names: Vec<_> = hint.headers().iter().map(|(name, value)| (name.as_str(), value)).collect();
        assert_eq!((hint.status().as_u16(), &names[..]), (103, &[("link", &"</x>".parse().unwrap())][..]));
    });
}

#[test]
fn whoever_sends_hints_without_end_is_heard_to_a_point() {
    let backend = Backend::start(|peer| {
        peer.head()?;
        for _ in 0..10_000 {
            peer.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")?;
        }
        peer.reply("ok")
    });
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    run(async {
        let mut sender = connect(edge.address, 65_535).await;
        let (mut answer, _) = sender.send_request(post(), true).unwrap();
        let mut hints = 0;
        while let Some(hint) = poll_fn(|cx| answer.poll_informational(cx)).await {
            assert_eq!(hint.unwrap().status(), 103);
            hints += 1;
        }
        assert_eq!(hints, 100);
        assert_eq!(all(answer.await.unwrap().into_body()).await.unwrap().0, b"ok");
    });
}

#[test]
fn bodies_of_any_size_arrive_through_windows_of_any_size() {
    let echo = Backend::start(|peer| {
        while let Some(head) = peer.head()? {
            let body = peer.body(&head)?;
            peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            for piece in body.chunks(10_000) {
                peer.send(format!("{:x}\r\n", piece.len()).as_bytes())?;
                peer.send(piece)?;
                peer.send(b"\r\n")?;
            }
            peer.send(b"0\r\nX-Sum: 1\r\n\r\n")?;
        }
        Ok(())
    });
    let runtime = background();
    let http2 = runtime.block_on(target(|request, mut respond| async move {
        let mut answer = respond.send_response(Response::new(()), false).unwrap();
        let mut body = request.into_body();
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            answer.send_data(data, false).unwrap();
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "1".parse().unwrap());
        answer.send_trailers(trailers).unwrap();
    }));
    for (kind, edge) in [("HTTP/1.1", Edge::start(&[("a/lb/1", echo.address)])), ("HTTP/2", before(http2))] {
        for (size, window) in
            [(0, 65_535), (1, 1), (3000, 7), (100_000, 1000), (1 << 21, 65_535), (1 << 21, 1 << 20)]
        {
            run(async {
                let mut sender = connect(edge.address, window).await;
                let (answer, mut body) = sender.send_request(post(), false).unwrap();
                let sent: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect();
                body.send_data(Bytes::from(sent.clone()), true).unwrap();
                let (bytes, trailers) = all(answer.await.unwrap().into_body()).await.unwrap();
                assert!(bytes == sent, "{kind}, {size} bytes through {window}: {} came", bytes.len());
                assert_eq!(trailers.unwrap()["x-sum"], "1", "{kind}, {size} bytes through {window}");
            });
        }
    }
}

#[test]
fn our_own_answer_to_head_has_no_body() {
    let edge = Edge::start(&[]);
    run(async {
        let mut sender = connect(edge.address, 65_535).await;
        let lengths = ["HEAD", "GET"].map(|method| {
            let request = Request::builder().method(method).uri("http://a.d.example/").body(()).unwrap();
            sender.send_request(request, true).unwrap().0
        });
        let mut seen = Vec::new();
        for answer in lengths {
            let answer = answer.await.unwrap();
            assert_eq!(answer.status(), 404);
            assert!(answer.headers().contains_key("date"));
            let length: usize = answer.headers()["content-length"].to_str().unwrap().parse().unwrap();
            seen.push((length > 0, all(answer.into_body()).await.unwrap().0.len() == length));
        }
        assert_eq!(seen, [(true, false), (true, true)]);
    });
}

#[test]
fn a_request_that_was_cut_short_is_no_complete_one() {
    let complete = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&complete);
    let backend = Backend::start(move |peer| {
        let Some(head) = peer.head()? else { return Ok(()) };
        peer.body(&head)?;
        seen.fetch_add(1, Ordering::SeqCst);
        peer.reply("ok")
    });
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    run(async {
        for reason in [Reason::CANCEL, Reason::NO_ERROR] {
            let mut sender = connect(edge.address, 65_535).await;
            let (_answer, mut body) = sender.send_request(post(), false).unwrap();
            body.send_data(Bytes::from_static(b"half"), false).unwrap();
            body.send_reset(reason);
            drop(edge.log_line());
        }
    });
    assert_eq!(complete.load(Ordering::SeqCst), 0);
}

#[test]
fn uploads_that_are_taken_back_are_counted_like_other_requests() {
    let backend = Backend::silent();
    let edge = Edge::with(Settings { threads: 1, ..Settings::default() }, &[("a/lb/1", backend.address)]);
    run(async {
        let mut sender = connect(edge.address, 65_535).await;
        // Each is taken back as soon as it is there; the limit is a hundred.
        for sent in 0..1000 {
            let Ok((_answer, mut body)) = sender.send_request(post(), false) else { break };
            while backend.heads().len() <= sent {
                tokio::time::sleep(Duration::from_millis(1)).await;
                if edge.proxy.metrics().totals().rapid_resets > 0 {
                    return;
                }
            }
            body.send_reset(Reason::CANCEL);
            let line = edge.log_line();
            assert!(line.contains(" 499 "), "nobody is there to be told: {line}");
        }
    });
    assert_eq!(edge.proxy.metrics().totals().rapid_resets, 1);
}
