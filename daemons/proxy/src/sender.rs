//! A connection to a target, in either version of HTTP.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Waker};

use futures_util::future::Either;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::TokioIo;

use crate::body::RequestBody;
use crate::metrics::WorkerCounters;
use crate::wire::ToTarget;

/// Starts tasks on this thread's event loop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}

/// A connection to a target, as it is counted.
#[derive(Debug)]
pub(crate) struct Open(Arc<WorkerCounters>);

impl Open {
    pub(crate) fn count(counters: &Arc<WorkerCounters>) -> Self {
        counters.upstream_open.fetch_add(1, Relaxed);
        Self(Arc::clone(counters))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.upstream_open.fetch_sub(1, Relaxed);
    }
}

/// A connection of HTTP/1.1. It has no task of its own: whoever has a request on it drives it along with that. A request
/// and its answer then pass in one go, instead of waiting twice for their turn among all other tasks, and what they touch
/// is still in the processor's caches.
#[derive(Debug)]
pub(crate) struct Link {
    sender: http1::SendRequest<RequestBody>,
    connection: http1::Connection<TokioIo<ToTarget>, RequestBody>,
    ended: bool,
    open: Open,
}

impl Link {
    pub(crate) fn new(
        sender: http1::SendRequest<RequestBody>,
        connection: http1::Connection<TokioIo<ToTarget>, RequestBody>,
        open: Open,
    ) -> Self {
        Self { sender, connection, ended: false, open }
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        // How it ended is told to whoever waits for an answer on it; an idle one's end is no event.
        if !self.ended && Pin::new(&mut self.connection).poll(cx).is_ready() {
            self.ended = true;
        }
    }

    /// Whether it can take a request. Sees what the event loop has seen, such as a close.
    pub(crate) fn is_usable(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        !self.ended && self.sender.is_ready()
    }

    /// Goes on by itself, since it is to become a tunnel.
    fn set_free(self) -> http1::SendRequest<RequestBody> {
        let Self { sender, connection, open, .. } = self;
        tokio::task::spawn_local(async move {
            let _ = connection.with_upgrades().await;
            drop(open);
        });
        sender
    }
}

#[derive(Debug)]
pub(crate) enum Sender {
    Http1(Box<Link>),
    /// HTTP/1.1 for one request that switches to another protocol.
    Tunnel(http1::SendRequest<RequestBody>),
    Http2(http2::SendRequest<RequestBody>),
}

pub(crate) type Sent = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>;

impl Sender {
    /// For a request that switches protocols.
    pub(crate) fn for_tunnel(self) -> Self {
        match self {
            Self::Http1(link) => Self::Tunnel(link.set_free()),
            other => other,
        }
    }

    /// Whether it can take a request.
    pub(crate) fn is_usable(&mut self) -> bool {
        match self {
            Self::Http1(link) => link.is_usable(),
            Self::Tunnel(sender) => sender.is_ready(),
            Self::Http2(sender) => sender.is_ready(),
        }
    }

    /// Moves what is on its way. To be called wherever an answer is waited for.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        if let Self::Http1(link) = self {
            link.drive(cx);
        }
    }

    /// Gives the request back when it was not sent.
    pub(crate) fn send(&mut self, request: Request<RequestBody>) -> impl Future<Output = Sent> + use<> {
        match self {
            Self::Http1(link) => Either::Left(link.sender.try_send_request(request)),
            Self::Tunnel(sender) => Either::Left(sender.try_send_request(request)),
            Self::Http2(sender) => Either::Right(sender.try_send_request(request)),
        }
    }
}
