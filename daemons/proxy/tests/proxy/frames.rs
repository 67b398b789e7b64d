//! HTTP/2 frame by frame: what a library for clients would hide.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use convoy_proxy::Settings;
use h2::client::{ResponseFuture, SendRequest};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::support::{Backend, Edge, PATIENCE, eventually, field};

/// Connections go on while a test waits for something else.
fn background() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn run<T>(test: impl Future<Output = T>) -> T {
    background().block_on(async { tokio::time::timeout(PATIENCE, test).await.expect("in time") })
}

/// A client with so many bytes of room for each answer.
async fn connect(address: SocketAddr, window: u32) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.unwrap();
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(window).data_frame_budget(64 << 20);
    let (sender, connection) = builder.handshake::<_, Bytes>(stream).await.unwrap();
    tokio::spawn(connection);
    sender.ready().await.unwrap()
}

fn post() -> Request<()> {
    Request::post("http://a.d.example/").body(()).unwrap()
}

/// A target that speaks HTTP/2.
async fn target<F: Future<Output = ()> + Send + 'static>(
    answer: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Copy + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut builder = h2::server::Builder::new();
                builder.data_frame_budget(64 << 20);
                let mut connection = builder.handshake::<_, Bytes>(stream).await.unwrap();
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tokio::spawn(answer(request, respond));
                }
            });
        }
    });
    address
}

/// An edge before a target that speaks HTTP/2 to everybody.
fn before(target: SocketAddr) -> Edge {
    let mut edge = Edge::start(&[("a/lb/1", target)]);
    edge.document("a", r#"{"protocol": "http2"}"#);
    edge
}

async fn interim(answer: &mut ResponseFuture) -> Response<()> {
    poll_fn(|cx| answer.poll_informational(cx)).await.unwrap().unwrap()
}

async fn all(mut body: RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok((bytes, body.trailers().await?))
}

fn hint(status: u16) -> Response<()> {
    Response::builder().status(status).header("link", "</x>").body(()).unwrap()
}

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
    let (address, connections) = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(stream).await.unwrap();
                    // One request each, then good-bye.
                    let (_, mut respond) = connection.accept().await.unwrap().unwrap();
                    respond.send_response(Response::new(()), true).unwrap();
                    connection.graceful_shutdown();
                    while connection.accept().await.is_some() {}
                });
            }
        });
        (address, connections)
    });
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
fn uploads_that_are_taken_back_are_counted_like_other_requests() {
    let backend = Backend::start(|peer| {
        while peer.head()?.is_some() {
            peer.wait_for_end()?;
        }
        Ok(())
    });
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
    let address = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let mut builder = h2::server::Builder::new();
                    let mut connection =
                        builder.max_concurrent_streams(2).handshake::<_, Bytes>(stream).await.unwrap();
                    let mut held = Vec::new();
                    while let Some(Ok((_, mut respond))) = connection.accept().await {
                        held.push(respond.send_response(Response::new(()), false).unwrap());
                    }
                });
            }
        });
        address
    });
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
