//! A client's connection that speaks HTTP/2, from its first words to the last.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::server::Builder;

use crate::client_io::ClientIo;
use crate::connection::{Client, watched};
use crate::control::{Phase, Verdict};
use crate::keep_alive::KeepAlive;
use crate::serve_http2::serve;

/// Longest list of fields.
const FIELDS_MAX: u32 = 64 * 1024;
/// How much of a request's body a client may send ahead of a slow target, per request and per connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What small frames may cost that wait for their targets, beyond what is in them: full windows of gRPC messages of 30 bytes
/// are within it.
const FRAMES_BUDGET: usize = 8 << 20;
/// How much of an answer waits for the connection. The kernel has as much again.
const SEND_BUFFER: usize = 64 * 1024;
/// A client is asked whether it is there.
const PING: Duration = Duration::from_secs(30);

pub(crate) async fn run(client: Rc<Client>, io: ClientIo) {
    let ended = Box::pin(converse(&client, io)).await;
    // What ends with the connection was not taken back one by one.
    client.control.cut();
    if let Err(error) = ended
        && error.is_library()
    {
        client.worker.counters.malformed.add(1);
        tracing::debug!(CLIENT = %client.address, %error, "a request is no HTTP");
    }
}

async fn converse(client: &Rc<Client>, io: ClientIo) -> Result<(), h2::Error> {
    let control = &client.control;
    // It may take its time with the first request, as between two of them.
    control.enter(Phase::NoStreams);
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(client.worker.settings.max_streams)
        .max_header_list_size(FIELDS_MAX)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .data_frame_budget(FRAMES_BUDGET)
        .max_send_buffer_size(SEND_BUFFER);
    let Some(connection) = watched(control, builder.handshake::<_, Bytes>(io)).await else { return Ok(()) };
    let mut connection = connection?;
    let mut keep_alive = connection.ping_pong().map(|pings| KeepAlive::new(pings, PING));
    let mut ending = false;
    poll_fn(|cx| {
        control.register(cx.waker());
        match control.verdict() {
            Verdict::Cut => return Poll::Ready(Ok(())),
            Verdict::Close if !ending => {
                ending = true;
                connection.graceful_shutdown();
            }
            Verdict::Fine | Verdict::Close | Verdict::TargetSlow | Verdict::ClientSlow => {}
        }
        if keep_alive.as_mut().is_some_and(|pings| pings.poll_gone(cx, true, control.moved()).is_ready()) {
            return Poll::Ready(Ok(()));
        }
        loop {
            match connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    tokio::task::spawn_local(serve(Rc::clone(client), request, respond));
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    client.note_unsent(connection.has_streams());
                    return Poll::Pending;
                }
            }
        }
    })
    .await
}
