//! Targets that speak HTTP/2, and take liberties.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use convoy_proxy::Settings;
use h2::Reason;
use http::{HeaderMap, Request, Response};

use crate::http2_support::{all, background, before, connect, hint, interim, listening, post, run, target};
use crate::support::{Edge, eventually};

#[test]
fn hints_of_a_target_that_speaks_http2_reach_every_client() {
    let runtime = background();
    let target = runtime.block_on(target(|_, mut respond| async move {
        respond.send_informational(hint(103)).unwrap();
        respond.send_informational(hint(102)).unwrap();
        respond.send_response(Response::new(()), true).unwrap();
    }));
    let edge = before(target);
    run(async {
        let mut sender = connect(edge.address, 65_535).await;
        let (mut answer, _) = sender.send_request(post(), true).unwrap();
        for status in [103, 102] {
            let interim = interim(&mut answer).await;
            assert_eq!(interim.status(), status);
            assert_eq!(interim.headers()["link"], "</x>");
        }
        assert_eq!(answer.await.unwrap().status(), 200);
    });
    let mut client = edge.client();
    let hint = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((hint.status, hint.field("link")), (103, Some("</x>")));
    assert_eq!([client.answer(false).status, client.answer(false).status], [102, 200]);
}

#[test]
fn what_a_target_refuses_goes_to_another_one_even_if_it_is_a_post() {
    let runtime = background();
    let refusing = runtime.block_on(target(|_, mut respond| async move {
        respond.send_reset(Reason::REFUSED_STREAM);
    }));
    let taking = runtime.block_on(target(|_, mut respond| async move {
        respond.send_response(Response::new(()), true).unwrap();
    }));
    let mut edge = before(refusing);
    edge.put("a/lb/2", taking);
    run(async {
        let mut sender = connect(edge.address, 65_535).await;
        for _ in 0..10 {
            let (answer, _) = sender.send_request(post(), true).unwrap();
            assert_eq!(answer.await.unwrap().status(), 200);
        }
    });
}

#[test]
fn a_target_that_ends_its_connections_gets_the_next_request_on_a_new_one() {
    let runtime = background();
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    let address = runtime.block_on(listening(move |stream| {
        counter.fetch_add(1, Ordering::SeqCst);
        async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            // One request each, then good-bye.
            let (_, mut respond) = connection.accept().await.unwrap().unwrap();
            respond.send_response(Response::new(()), true).unwrap();
            connection.graceful_shutdown();
            while connection.accept().await.is_some() {}
        }
    }));
    let edge = before(address);
    run(async {
        let mut sender = connect(edge.address, 65_535).await;
        for _ in 0..10 {
            let (answer, _) = sender.send_request(post(), true).unwrap();
            assert_eq!(answer.await.unwrap().status(), 200);
        }
    });
    eventually("connections are new ones", || connections.load(Ordering::SeqCst) >= 10);
}

#[test]
fn an_answer_with_too_many_fields_is_no_answer_and_harms_nobody() {
    let runtime = background();
    let target = runtime.block_on(target(|_, mut respond| async move {
        let mut answer = Response::new(());
        for number in 0..20_000 {
            let name: http::HeaderName = format!("x-{number}").parse().unwrap();
            answer.headers_mut().insert(name, "".parse().unwrap());
        }
        // Fails when the other side ends the connection before that.
        let _ = respond.send_response(answer, true);
    }));
    let edge = before(target);
    run(async {
        let mut sender = connect(edge.address, 65_535).await;
        for _ in 0..3 {
            let (answer, _) = sender.send_request(post(), true).unwrap();
            assert_eq!(answer.await.unwrap().status(), 502);
        }
    });
    assert_eq!(edge.get("a", "/").status, 502);
}

#[test]
fn a_target_that_refuses_a_request_is_not_asked_again_and_again() {
    static REFUSED: AtomicUsize = AtomicUsize::new(0);
    let runtime = background();
    let refusing = runtime.block_on(target(|_, mut respond| async move {
        REFUSED.fetch_add(1, Ordering::SeqCst);
        respond.send_reset(Reason::REFUSED_STREAM);
    }));
    let edge = before(refusing);
    run(async {
        let mut sender = connect(edge.address, 65_535).await;
        for round in 1..4 {
            let (answer, _) = sender.send_request(post(), true).unwrap();
            assert_eq!(answer.await.unwrap().status(), 502);
            assert_eq!(REFUSED.load(Ordering::SeqCst), round);
        }
    });
}

/// Says half of an answer, or all of it, and ends the stream without an error.
async fn ending(is_complete: bool) -> SocketAddr {
    if is_complete {
        return target(|request, mut respond| async move {
            let mut answer = respond.send_response(Response::new(()), false).unwrap();
            answer.send_data(Bytes::from_static(b"whole"), true).unwrap();
            // The rest of the request is not wanted.
            drop(request);
        })
        .await;
    }
    target(|_, mut respond| async move {
        let head = Response::builder().header("content-length", "10").body(()).unwrap();
        let mut answer = respond.send_response(head, false).unwrap();
        answer.send_data(Bytes::from_static(b"half"), false).unwrap();
        // Not before that is on its way.
        tokio::time::sleep(Duration::from_millis(50)).await;
        answer.send_reset(Reason::NO_ERROR);
    })
    .await
}

#[test]
fn an_answer_that_ends_without_an_error_before_its_end_is_none() {
    let runtime = background();
    let edge = before(runtime.block_on(ending(false)));
    run(async {
        let mut sender = connect(edge.address, 65_535).await;
        let (answer, _body) = sender.send_request(post(), false).unwrap();
        assert!(all(answer.await.unwrap().into_body()).await.is_err());
    });
    let mut client = edge.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    while client.line() != "\r\n" {}
    assert_eq!(client.bytes(4), b"half");
    assert!(client.is_at_end(), "what is not complete ends with the connection");
}

#[test]
fn an_answer_may_be_complete_before_the_request_is() {
    let runtime = background();
    let edge = before(runtime.block_on(ending(true)));
    run(async {
        let mut sender = connect(edge.address, 65_535).await;
        let (answer, _body) = sender.send_request(post(), false).unwrap();
        assert_eq!(all(answer.await.unwrap().into_body()).await.unwrap().0, b"whole");
    });
}

#[test]
fn what_comes_behind_an_answer_without_a_body_goes_nowhere() {
    let runtime = background();
    let target = runtime.block_on(target(|_, mut respond| async move {
        let head = Response::builder().status(304).body(()).unwrap();
        let mut answer = respond.send_response(head, false).unwrap();
        let smuggled = Bytes::from_static(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        // Fails when nobody listens any more.
        let _ = answer.send_data(smuggled, true);
    }));
    let edge = before(target);
    let mut client = edge.client();
    for _ in 0..3 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.answer(true).status, 304);
    }
    run(async {
        let mut sender = connect(edge.address, 65_535).await;
        let (answer, _) = sender.send_request(post(), true).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 304);
        assert_eq!(all(answer.into_body()).await.unwrap().0, b"");
    });
}

#[test]
fn slow_clients_hold_up_nobody_else_at_a_target() {
    let runtime = background();
    let target = runtime.block_on(target(|request, mut respond| async move {
        let mut answer = respond.send_response(Response::new(()), false).unwrap();
        let size = if request.uri().path() == "/large" { 8 << 20 } else { 2 };
        answer.send_data(Bytes::from(vec![b'x'; size]), true).unwrap();
    }));
    let mut edge = Edge::with(Settings { threads: 1, ..Settings::default() }, &[("a/lb/1", target)]);
    edge.document("a", r#"{"protocol": "http2"}"#);
    run(async {
        let mut held = Vec::new();
        for _ in 0..20 {
            let mut sender = connect(edge.address, 1000).await;
            let request = Request::get("http://a.d.example/large").body(()).unwrap();
            let (answer, _) = sender.send_request(request, true).unwrap();
            held.push((answer.await.unwrap(), sender));
        }
        let mut sender = connect(edge.address, 65_535).await;
        let (answer, _) = sender.send_request(post(), true).unwrap();
        assert_eq!(all(answer.await.unwrap().into_body()).await.unwrap().0, b"xx");
    });
}

#[test]
fn a_burst_of_small_messages_arrives_in_both_directions() {
    const MESSAGES: usize = 20_000;
    let runtime = background();
    let target = runtime.block_on(target(|request, mut respond| async move {
        let mut answer = respond.send_response(Response::new(()), false).unwrap();
        let (mut body, mut count) = (request.into_body(), 0);
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            count += data.len();
            body.flow_control().release_capacity(data.len()).unwrap();
        }
        assert_eq!(count, MESSAGES * 20);
        for _ in 0..MESSAGES {
            answer.send_data(Bytes::from_static(&[b'x'; 20]), false).unwrap();
        }
        answer.send_trailers(HeaderMap::new()).unwrap();
    }));
    let edge = before(target);
    run(async {
        let mut sender = connect(edge.address, 1 << 20).await;
        let (answer, mut body) = sender.send_request(post(), false).unwrap();
        for number in 1..=MESSAGES {
            body.send_data(Bytes::from_static(&[b'y'; 20]), number == MESSAGES).unwrap();
        }
        assert_eq!(all(answer.await.unwrap().into_body()).await.unwrap().0.len(), MESSAGES * 20);
    });
}

#[test]
fn a_target_that_takes_few_requests_at_a_time_gets_more_connections() {
    let runtime = background();
    let address = runtime.block_on(listening(|stream| async move {
        let mut builder = h2::server::Builder::new();
        let mut connection = builder.max_concurrent_streams(2).handshake::<_, Bytes>(stream).await.unwrap();
        let mut held = Vec::new();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            held.push(respond.send_response(Response::new(()), false).unwrap());
        }
    }));
    let mut edge = Edge::with(Settings { threads: 1, ..Settings::default() }, &[("a/lb/1", address)]);
    edge.document("a", r#"{"protocol": "http2"}"#);
    run(async {
        let mut sender = connect(edge.address, 65_535).await;
        let mut held = Vec::new();
        for _ in 0..7 {
            let (answer, _) = sender.send_request(post(), true).unwrap();
            held.push(answer.await.unwrap());
        }
    });
}
