//! A request over a connection of HTTP/2.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::SendStream;
use h2::client::ResponseFuture;
use http::Request;

use crate::asker::Asker;
use crate::attempts::{Arrived, Unanswered, attended, over_time};
use crate::exchange::Exchange;
use crate::fields::listed;
use crate::frames::{FrameOutlet, Frames};
use crate::outlet::Failure;
use crate::reason::Reason;
use crate::sender::Sender;

/// A request as a target gets it that speaks HTTP/2.
#[derive(Debug)]
pub(crate) struct FrameRequest {
    pub(crate) head: Request<()>,
    pub(crate) has_body: bool,
    /// Where its body goes, while it is on its way.
    pub(crate) body: Option<FrameOutlet>,
}

/// Sends the request, and waits for the head of its answer. Interim answers are passed on.
pub(crate) async fn over_http2(
    exchange: &Exchange,
    mut sender: Sender,
    request: &mut FrameRequest,
    asker: &mut impl Asker,
) -> Result<Result<(Arrived, u16), Unanswered>, Reason> {
    let call = sender.call();
    let (mut answer, stream) = match begin(exchange, &mut sender, request, asker).await? {
        Ok(begun) => begun,
        Err(unanswered) => return Ok(Err(unanswered)),
    };
    request.body = request.has_body.then(|| FrameOutlet::new(stream));
    let mut is_sent = !request.has_body;
    let outcome = poll_fn(|cx| {
        exchange.control().register(cx.waker());
        if let Some(reason) = over_time(exchange) {
            return Poll::Ready(Err(reason));
        }
        if let Some(body) = request.body.as_mut().filter(|_| !is_sent) {
            is_sent = match asker.poll_request(cx, body) {
                Poll::Ready(Err(Failure::Source(reason))) => return Poll::Ready(Err(reason)),
                // It may have answered before it refused the rest.
                Poll::Ready(Ok(()) | Err(Failure::Write)) => true,
                Poll::Pending => false,
            };
        }
        if poll_interim(cx, &mut answer, asker).is_err() {
            return Poll::Ready(Err(Reason::ClientClosed));
        }
        match Pin::new(&mut answer).poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Ok(answer)),
            Poll::Pending => asker.poll_left(cx).map(|()| Err(Reason::ClientClosed)),
        }
    })
    .await?;
    let error = match outcome {
        Ok(answer) => {
            let status = answer.status().as_u16();
            let answer = answer.map(|body| Frames::of_answer(body, call));
            return Ok(Ok((Arrived::Http2(Box::new(answer)), status)));
        }
        Err(error) => error,
    };
    if is_of_connection(&error) {
        sender.close();
    }
    let reason = if error.is_library() { Reason::Protocol } else { Reason::Reset };
    let has_begun = request.body.take().is_some_and(|body| body.has_begun());
    let by_target = error.is_reset() && error.is_remote();
    Ok(Err(Unanswered { reason, unsent: is_refused(&error) && !has_begun, by_target }))
}

/// Sends the head. Who can't because the connection takes no more tries another one.
async fn begin(
    exchange: &Exchange,
    sender: &mut Sender,
    request: &FrameRequest,
    asker: &mut impl Asker,
) -> Result<Result<(ResponseFuture, SendStream<Bytes>), Unanswered>, Reason> {
    let ready = poll_fn(|cx| sender.requests.poll_ready(cx));
    if attended(exchange, asker, ready).await?.is_ok() {
        // A copy, should it be sent once more.
        match sender.requests.send_request(request.head.clone(), !request.has_body) {
            Ok(begun) => return Ok(Ok(begun)),
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                tracing::debug!(%error, "a request can't be said in HTTP/2");
                return Err(Reason::Protocol);
            }
        }
    }
    sender.close();
    Ok(Err(Unanswered { reason: Reason::Reset, unsent: true, by_target: false }))
}

fn is_of_connection(error: &h2::Error) -> bool {
    error.is_go_away() || error.is_io()
}

/// However many interim answers come: one after the other, and those that come while the client has not heard the last one
/// are passed over. An error when it can't be told.
fn poll_interim(
    cx: &mut Context<'_>,
    answer: &mut ResponseFuture,
    asker: &mut impl Asker,
) -> std::io::Result<()> {
    while let Poll::Ready(told) = asker.poll_told(cx) {
        told?;
        let Poll::Ready(Some(Ok(interim))) = answer.poll_informational(cx) else { break };
        let (status, fields) = (interim.status(), listed(interim.headers()));
        if status != 100 {
            let reason = status.canonical_reason().unwrap_or_default();
            asker.interim(status.as_u16(), reason, fields.iter().copied());
        }
    }
    Ok(())
}

/// The target says that it has not looked at the request (RFC 9113, section 8.7), or ended the connection before it.
fn is_refused(error: &h2::Error) -> bool {
    error.reason() == Some(h2::Reason::REFUSED_STREAM) || error.is_go_away() && error.is_remote()
}
