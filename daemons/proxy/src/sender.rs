//! A connection to a target that speaks HTTP/2.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use tokio::net::TcpStream;

use crate::keep_alive::KeepAlive;
use crate::metrics::WorkerCounters;
use crate::wire::ToTarget;

/// How much of an answer a target may send ahead of a slow client, per request and per connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Requests at a time, until the target says how many it takes.
const STREAMS_AT_FIRST: usize = 100;
/// A target that has requests is asked whether it is there.
const PING: Duration = Duration::from_secs(20);

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

/// How a connection stands, for its task and for those who send on it.
#[derive(Debug, Default)]
struct State {
    is_closed: Cell<bool>,
    calls: Cell<usize>,
}

/// A request on its way, or its answer.
#[derive(Debug)]
pub(crate) struct Call(Rc<State>);

impl Drop for Call {
    fn drop(&mut self) {
        self.0.calls.set(self.0.calls.get().saturating_sub(1));
    }
}

/// One connection carries all requests of a worker. It ends when nobody holds this any more.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    pub(crate) requests: SendRequest<Bytes>,
    state: Rc<State>,
}

impl Sender {
    /// Says the first words. The connection has a task of its own.
    pub(crate) async fn begin(stream: TcpStream, open: Open) -> Result<Self, h2::Error> {
        let (requests, mut connection) = Builder::new()
            .enable_push(false)
            .initial_max_send_streams(STREAMS_AT_FIRST)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake::<_, Bytes>(ToTarget(stream))
            .await?;
        let state = Rc::new(State::default());
        let sender = Self { requests, state: Rc::clone(&state) };
        let mut keep_alive = connection.ping_pong().map(|pings| KeepAlive::new(pings, PING));
        tokio::task::spawn_local(async move {
            poll_fn(|cx| {
                // Those that serve gRPC take it ill when they are asked for no reason.
                let is_busy = state.calls.get() > 0;
                if keep_alive.as_mut().is_some_and(|pings| pings.poll_gone(cx, is_busy).is_ready()) {
                    return Poll::Ready(());
                }
                Pin::new(&mut connection).poll(cx).map(drop)
            })
            .await;
            state.is_closed.set(true);
            drop(open);
        });
        Ok(sender)
    }

    /// To be held until the answer is over.
    pub(crate) fn call(&self) -> Call {
        self.state.calls.set(self.state.calls.get() + 1);
        Call(Rc::clone(&self.state))
    }

    /// It takes no more requests.
    pub(crate) fn close(&self) {
        self.state.is_closed.set(true);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.is_closed.get()
    }
}
