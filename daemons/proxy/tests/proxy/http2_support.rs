//! Clients and targets of HTTP/2, frame by frame.

use std::future::poll_fn;
use std::net::SocketAddr;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::{ResponseFuture, SendRequest};
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::support::{Edge, PATIENCE};

/// Connections go on while a test waits for something else.
pub(crate) fn background() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    background().block_on(async { tokio::time::timeout(PATIENCE, test).await.expect("in time") })
}

/// A client with so many bytes of room for each answer.
pub(crate) async fn connect(address: SocketAddr, window: u32) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.unwrap();
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(window).data_frame_budget(64 << 20);
    let (sender, connection) = builder.handshake::<_, Bytes>(stream).await.unwrap();
    tokio::spawn(connection);
    sender.ready().await.unwrap()
}

pub(crate) fn post() -> Request<()> {
    Request::post("http://a.d.example/").body(()).unwrap()
}

/// A target that speaks HTTP/2.
pub(crate) async fn target<F: Future<Output = ()> + Send + 'static>(
    answer: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Copy + Send + Sync + 'static,
) -> SocketAddr {
    listening(move |stream| async move {
        let mut builder = h2::server::Builder::new();
        builder.data_frame_budget(64 << 20);
        let mut connection = builder.handshake::<_, Bytes>(stream).await.unwrap();
        while let Some(Ok((request, respond))) = connection.accept().await {
            tokio::spawn(answer(request, respond));
        }
    })
    .await
}

/// Somebody who takes every connection on its own.
pub(crate) async fn listening<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// An edge before a target that speaks HTTP/2 to everybody.
pub(crate) fn before(target: SocketAddr) -> Edge {
    let mut edge = Edge::start(&[("a/lb/1", target)]);
    edge.document("a", r#"{"protocol": "http2"}"#);
    edge
}

pub(crate) async fn interim(answer: &mut ResponseFuture) -> Response<()> {
    poll_fn(|cx| answer.poll_informational(cx)).await.unwrap().unwrap()
}

pub(crate) async fn all(mut body: RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok((bytes, body.trailers().await?))
}

pub(crate) fn hint(status: u16) -> Response<()> {
    Response::builder().status(status).header("link", "</x>").body(()).unwrap()
}
