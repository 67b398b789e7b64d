//! A request over a connection of HTTP/1.1.

use std::future::poll_fn;
use std::task::Poll;

use convoy_http1::{Answer, Space};

use crate::asker::Asker;
use crate::attempts::{Arrived, Unanswered, over_time};
use crate::exchange::Exchange;
use crate::inlet::InletError;
use crate::link::Link;
use crate::outlet::{Failure, Outlet, OutletTo};
use crate::reason::Reason;

/// Sends the request, and waits for the head of its answer. Interim answers are passed on.
pub(crate) async fn over_link(
    exchange: &Exchange,
    mut link: Box<Link>,
    outlet: &mut Outlet,
    asker: &mut impl Asker,
) -> Result<Result<(Arrived, u16), Unanswered>, Reason> {
    let buffers = &exchange.client.worker.buffers;
    outlet.rewind();
    let mut is_sent = false;
    let outcome = poll_fn(|cx| {
        exchange.control().register(cx.waker());
        if let Some(reason) = over_time(exchange) {
            return Poll::Ready(Err(reason));
        }
        if !is_sent {
            let mut to = OutletTo { outlet: &mut *outlet, io: &mut link.stream };
            is_sent = match asker.poll_request(cx, &mut to) {
                Poll::Ready(Err(Failure::Source(reason))) => return Poll::Ready(Err(reason)),
                // It may have answered before it closed.
                Poll::Ready(Ok(()) | Err(Failure::Write)) => true,
                Poll::Pending => false,
            };
        }
        loop {
            // However many interim answers come: one after the other.
            match asker.poll_told(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Reason::ClientClosed)),
                Poll::Pending => break,
            }
            match link.poll_head(cx, buffers) {
                Poll::Ready(Ok(Some(length))) => {
                    let head = link.inlet.bytes().get(..length).unwrap_or_default();
                    let status = status(head);
                    if !matches!(status, 100..=199) || status == 101 {
                        return Poll::Ready(Ok(Ok((length, status))));
                    }
                    tell(asker, head);
                    link.inlet.skip(length);
                }
                Poll::Ready(Ok(None) | Err(InletError::Io(_))) => {
                    return Poll::Ready(Ok(Err(Reason::Reset)));
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Ok(Err(Reason::Protocol))),
                Poll::Pending => break,
            }
        }
        asker.poll_left(cx).map(|()| Err(Reason::ClientClosed))
    })
    .await?;
    Ok(match outcome {
        Ok((length, status)) => Ok((Arrived::Http1(link, length), status)),
        Err(reason) => Err(Unanswered { reason, unsent: !outlet.was_sent(), by_target: false }),
    })
}

/// The digits of a status line that is read in full later.
fn status(head: &[u8]) -> u16 {
    let digits = head.get(9..12).and_then(|digits| str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or_default()
}

fn tell(asker: &mut impl Asker, head: &[u8]) {
    let mut space = Space::default();
    // Nobody asked the target for a 100: that is between the client and us.
    if let Ok(answer) = Answer::parse(head, &mut space)
        && answer.status != 100
    {
        asker.interim(answer.status, answer.reason, answer.fields());
    }
}
