//! One client connection.

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use http::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::net::TcpStream;

use crate::client_io::ClientIo;
use crate::control::{Control, Verdict};
use crate::forward;
use crate::worker::Worker;

/// Longest head of a request, and how far a read buffer grows.
const BUFFER_MAX: usize = 64 * 1024;

/// Who is at the other end. The connection counts as open until the last one lets go of it, a tunnel included.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) worker: Rc<Worker>,
    pub(crate) control: Arc<Control>,
    pub(crate) address: IpAddr,
    /// The address as it goes into `X-Forwarded-For`, made once.
    pub(crate) forwarded_for: HeaderValue,
    pub(crate) trusted: bool,
    /// One too many: it is told so, and closed.
    pub(crate) shed: bool,
    number: u64,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.worker.closed(self.number);
    }
}

/// Serves the connection until it ends.
pub(crate) async fn run(worker: Rc<Worker>, stream: TcpStream, peer: SocketAddr, shed: bool) {
    let address = peer.ip().to_canonical();
    let control = Arc::new(Control::new(Arc::clone(&worker.clock)));
    let number = worker.opened(Arc::clone(&control));
    let client = Rc::new(Client {
        control: Arc::clone(&control),
        address,
        forwarded_for: HeaderValue::from_str(&address.to_string())
            .unwrap_or_else(|_| HeaderValue::from_static("unknown")),
        trusted: worker.settings.trusts(address),
        shed,
        number,
        worker: Rc::clone(&worker),
    });
    let io = ClientIo::new(stream, Arc::clone(&control));
    let service = service_fn(move |request| forward::serve(Rc::clone(&client), request));
    let mut builder = http1::Builder::new();
    // The control watches the time; hyper's own limit would set a timer with every request.
    builder.header_read_timeout(None).max_buf_size(BUFFER_MAX);
    let mut connection = pin!(builder.serve_connection(io, service).with_upgrades());
    let ended = poll_fn(|cx| {
        control.register(cx.waker());
        match control.verdict() {
            Verdict::Cut => return Poll::Ready(Ok(())),
            Verdict::Close => connection.as_mut().graceful_shutdown(),
            Verdict::Fine | Verdict::TargetSlow | Verdict::ClientSlow => {}
        }
        connection.as_mut().poll(cx)
    })
    .await;
    if let Err(error) = ended
        && error.is_parse()
    {
        worker.counters.malformed.add(1);
        tracing::debug!(CLIENT = %address, %error, "a request is no HTTP");
    }
}
