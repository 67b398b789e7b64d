//! HTTP/2 in front and behind.

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use convoy_proxy::{DrainLimits, Settings};
use http::{HeaderMap, Request, Response, Version};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::http2_support::listening;
use crate::support::{Backend, Edge, PATIENCE, field};

type Sender = SendRequest<Full<Bytes>>;

async fn connect(address: SocketAddr) -> Sender {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("http://a.d.example{path}")).body(Full::default()).unwrap()
}

async fn text(response: Response<Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await.expect("in time") })
}

#[test]
fn a_client_may_speak_http2_to_targets_that_do_not() {
    let backend = Backend::mirror();
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    run(async {
        let mut client = connect(edge.address).await;
        let request = Request::post("http://a.d.example/x?y")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("x-forwarded-for", "1.2.3.4")
            .body(Full::from("body"))
            .unwrap();
        let response = client.send_request(request).await.unwrap();
        assert_eq!((response.status(), response.version()), (http::StatusCode::OK, Version::HTTP_2));
        let seen = text(response).await;
        assert!(seen.starts_with("POST /x?y HTTP/1.1\r\n"), "{seen}");
        for (name, value) in [
            ("host", Some("a.d.example")),
            ("cookie", Some("a=1; b=2")),
            ("content-length", Some("4")),
            ("x-forwarded-for", Some("127.0.0.1")),
        ] {
            assert_eq!(field(&seen, name), value, "{name} in {seen}");
        }
        // A body whose length nobody knows.
        let stream = TcpStream::connect(edge.address).await.unwrap();
        let (mut client, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let parts = futures_util::stream::iter(
            ["one", "two"].map(|part| Ok::<_, Infallible>(Frame::data(Bytes::from(part)))),
        );
        let request = Request::put("http://a.d.example/").body(StreamBody::new(parts)).unwrap();
        let seen = text(client.send_request(request).await.unwrap()).await;
        assert_eq!(field(&seen, "transfer-encoding"), Some("chunked"), "{seen}");
    });
}

#[test]
fn many_requests_share_a_connection_and_are_watched_one_by_one() {
    let backend = Backend::start(|peer| {
        while let Some(head) = peer.head()? {
            if head.starts_with("GET /hang") {
                peer.wait_for_end()?;
            }
            peer.reply("fine")?;
        }
        Ok(())
    });
    let mut edge = Edge::start(&[("a/lb/1", backend.address)]);
    edge.document("a", r#"{"routes": [{"path": "/hang", "timeouts": {"response": "500ms"}}]}"#);
    run(async {
        let mut client = connect(edge.address).await;
        let hanging = client.send_request(get("/hang"));
        let others: Vec<_> = (0..50).map(|_| client.send_request(get("/"))).collect();
        for other in others {
            assert_eq!(text(other.await.unwrap()).await, "fine");
        }
        let response = hanging.await.unwrap();
        assert_eq!(response.status(), 504);
        assert!(text(response).await.contains("reason timeout"));
        assert_eq!(
            text(client.send_request(get("/")).await.unwrap()).await,
            "fine",
            "the connection goes on"
        );
    });
}

#[test]
fn what_is_refused_in_http1_is_refused_in_http2() {
    let backend = Backend::echo();
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    run(async {
        let mut client = connect(edge.address).await;
        let request = |host: &str, path: &str| {
            Request::get(format!("http://a.d.example{path}"))
                .header("host", host)
                .body(Full::default())
                .unwrap()
        };
        for (host, path, status) in
            [("A.d.example", "/", 200), ("other.example", "/", 400), ("a.d.example", "/../x", 400)]
        {
            let response = client.send_request(request(host, path)).await.unwrap();
            assert_eq!(response.status(), status, "{host} {path}");
        }
        let trace =
            Request::builder().method("TRACE").uri("http://a.d.example/").body(Full::default()).unwrap();
        assert_eq!(client.send_request(trace).await.unwrap().status(), 405);
    });
}

/// A gRPC server in little: an answer that ends with trailers.
async fn grpc_server() -> (SocketAddr, Arc<AtomicUsize>) {
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    let address = listening(move |stream| {
        counter.fetch_add(1, Ordering::SeqCst);
        let service = service_fn(|request: Request<Incoming>| async move {
            assert_eq!(request.headers()["te"], "trailers");
            let authority = request.uri().authority().unwrap().to_string();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            trailers.insert("grpc-message", authority.parse().unwrap());
            trailers.insert("set-cookie", "not=here".parse().unwrap());
            let frames = [Ok::<_, Infallible>(Frame::data(body)), Ok(Frame::trailers(trailers))];
            let response = Response::builder().header("content-type", "application/grpc");
            Ok::<_, Infallible>(response.body(StreamBody::new(futures_util::stream::iter(frames))).unwrap())
        });
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let conversation = server.serve_connection(TokioIo::new(stream), service);
        // A client that goes away is no fault.
        async move { drop(conversation.await) }
    })
    .await;
    (address, connections)
}

#[test]
fn grpc_passes_with_its_trailers() {
    run(async {
        let (server, connections) = grpc_server().await;
        let edge = Edge::with(Settings { threads: 1, ..Settings::default() }, &[("a/lb/1", server)]);
        let mut client = connect(edge.address).await;
        for _ in 0..20 {
            let request = Request::post("http://a.d.example/greet.Greeter/Hello")
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .body(Full::from("\0\0\0\0\x02hi"))
                .unwrap();
            let response = client.send_request(request).await.unwrap();
            assert_eq!(response.status(), 200);
            let body = response.into_body().collect().await.unwrap();
            let trailers = body.trailers().unwrap();
            assert_eq!(
                (&trailers["grpc-status"], &trailers["grpc-message"]),
                (&"0".parse().unwrap(), &"a.d.example".parse().unwrap())
            );
            assert!(!trailers.contains_key("set-cookie"), "that is nothing to say after the fact");
            assert_eq!(body.to_bytes(), "\0\0\0\0\x02hi");
        }
        assert_eq!(connections.load(Ordering::SeqCst), 1, "requests share a connection to the target");
    });
}

/// The type of the next frame of the server, which is passed over.
fn frame(stream: &mut impl Read) -> u8 {
    let mut head = [0; 9];
    stream.read_exact(&mut head).unwrap();
    let length = u64::from(u32::from_be_bytes([0, head[0], head[1], head[2]]));
    io::copy(&mut stream.take(length), &mut io::sink()).unwrap();
    head[3]
}

#[test]
fn a_drain_does_not_wait_for_a_client_that_has_asked_nothing_yet() {
    const SETTINGS: u8 = 4;
    const GO_AWAY: u8 = 7;
    let edge = Edge::start(&[("a/lb/1", Backend::echo().address)]);
    let client = edge.client();
    let mut stream = client.stream();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    while frame(&mut stream) != SETTINGS {}
    let drained = run(edge.proxy.drain(DrainLimits::default()));
    assert_eq!(drained.cut, 0);
    assert!(drained.took < Duration::from_secs(8), "{drained:?}");
    while frame(&mut stream) != GO_AWAY {}
}

#[test]
fn a_drain_says_good_bye_and_finishes_what_is_open() {
    let backend = Backend::start(|peer| {
        while peer.head()?.is_some() {
            std::thread::park_timeout(Duration::from_millis(300));
            peer.reply("done")?;
        }
        Ok(())
    });
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    run(async {
        let mut client = connect(edge.address).await;
        let open = client.send_request(get("/"));
        // It has to be on its way.
        let open = tokio::spawn(open);
        while backend.heads().is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let limits = DrainLimits { old: PATIENCE, last: PATIENCE };
        let (drained, response) = tokio::join!(edge.proxy.drain(limits), open);
        assert_eq!(text(response.unwrap().unwrap()).await, "done");
        assert_eq!(drained.cut, 0);
        assert!(client.send_request(get("/")).await.is_err(), "nothing new on this connection");
    });
}

#[test]
fn a_client_that_takes_back_what_it_asks_for_is_cut_off_and_nobody_else() {
    let backend = Backend::start(|peer| {
        while let Some(head) = peer.head()? {
            if head.starts_with("GET /hang") {
                peer.wait_for_end()?;
                return Ok(());
            }
            peer.reply("fine")?;
        }
        Ok(())
    });
    let edge = Edge::with(Settings { threads: 1, ..Settings::default() }, &[("a/lb/1", backend.address)]);
    run(async {
        let mut other = connect(edge.address).await;
        let mut client = connect(edge.address).await;
        let mut sent = 0;
        // Each is taken back as soon as it is there; the limit is a hundred.
        while !client.is_closed() && sent < 1000 {
            let before = backend.heads().len();
            let mut request = std::pin::pin!(client.send_request(get("/hang")));
            let arrived = async {
                while backend.heads().len() == before {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            tokio::select! {
                _ = &mut request => {}
                () = arrived => {}
            }
            sent += 1;
        }
        assert!((100..300).contains(&sent), "{sent}");
        assert_eq!(text(other.send_request(get("/")).await.unwrap()).await, "fine");
    });
    assert_eq!(edge.proxy.metrics().totals().rapid_resets, 1);
}

#[test]
fn a_client_that_is_gone_with_all_that_it_asked_for_has_taken_nothing_back() {
    const REQUESTS: usize = 150;
    let backend = Backend::silent();
    let edge = Edge::with(Settings { threads: 1, ..Settings::default() }, &[("a/lb/1", backend.address)]);
    run(async {
        let client = connect(edge.address).await;
        for _ in 0..REQUESTS {
            let mut client = client.clone();
            tokio::spawn(async move { client.send_request(get("/")).await });
        }
        while backend.heads().len() < REQUESTS {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    // Its runtime is gone, and with it its connection.
    run(async {
        while edge.proxy.metrics().totals().reasons.iter().sum::<u64>() < REQUESTS as u64 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert_eq!(edge.proxy.metrics().totals().rapid_resets, 0);
}

#[test]
fn a_client_that_speaks_http1_gets_what_a_target_says_in_http2() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (server, _) = runtime.block_on(grpc_server());
    let mut edge = Edge::start(&[("a/lb/1", server)]);
    edge.document("a", r#"{"protocol": "http2"}"#);
    let mut client = edge.client();
    let head = "POST /x HTTP/1.1\r\nHost: a.d.example\r\nTE: trailers\r\n";
    for _ in 0..3 {
        for body in [
            "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\nX-T: 1\r\n\r\n",
            "Content-Length: 5\r\n\r\nhello",
        ] {
            client.send(&format!("{head}{body}"));
            while client.line() != "\r\n" {}
            let end = "5\r\nhello\r\n0\r\ngrpc-status: 0\r\ngrpc-message: a.d.example\r\n\r\n";
            assert_eq!(String::from_utf8_lossy(&client.bytes(end.len())), end);
        }
    }
}
