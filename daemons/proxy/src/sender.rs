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

/// How much of an answer a target may send ahead of a slow client. The connection has no limit of its own: a few clients
/// that read slowly would stop all others at this target.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// What small frames may cost that wait for their clients, beyond what is in them. The library ends a connection that is
/// over this, and here it is one that others share.
const FRAMES_BUDGET: usize = 64 << 20;
/// How much of a request's body waits for the connection.
const SEND_BUFFER: usize = 64 * 1024;
/// Longest list of fields, as from clients.
const FIELDS_MAX: u32 = 64 * 1024;
/// So many requests that were taken back are remembered, as what the target still sends of their answers is no fault of it.
const RESETS_REMEMBERED: usize = 1000;
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
        let moved = Rc::<Cell<u32>>::default();
        let (requests, mut connection) = Builder::new()
            .enable_push(false)
            .initial_max_send_streams(STREAMS_AT_FIRST)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .data_frame_budget(FRAMES_BUDGET)
            .max_send_buffer_size(SEND_BUFFER)
            .max_header_list_size(FIELDS_MAX)
            .max_concurrent_reset_streams(RESETS_REMEMBERED)
            .max_local_error_reset_streams(None)
            .handshake::<_, Bytes>(ToTarget { stream, moved: Rc::clone(&moved) })
            .await?;
        let state = Rc::new(State::default());
        let sender = Self { requests, state: Rc::clone(&state) };
        let mut keep_alive = connection.ping_pong().map(|pings| KeepAlive::new(pings, PING));
        tokio::task::spawn_local(async move {
            poll_fn(|cx| {
                // Those that serve gRPC take it ill when they are asked for no reason.
                let is_busy = state.calls.get() > 0;
                if keep_alive
                    .as_mut()
                    .is_some_and(|pings| pings.poll_gone(cx, is_busy, moved.get()).is_ready())
                {
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

    /// Whether it has as many requests as the target wants at a time.
    pub(crate) fn is_full(&self) -> bool {
        self.state.calls.get() >= self.requests.current_max_send_streams()
    }

    /// It takes no more requests.
    pub(crate) fn close(&self) {
        self.state.is_closed.set(true);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.is_closed.get()
    }
}
