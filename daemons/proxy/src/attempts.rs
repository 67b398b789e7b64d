//! Sends a request to a target, and to another one where nothing is lost by it.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::asker::Asker;
use crate::body::RequestBody;
use crate::control::Verdict;
use crate::exchange::Exchange;
use crate::forward::Outgoing;
use crate::inlet::InletError;
use crate::link::Link;
use crate::outlet::{Failure, Outlet};
use crate::pool::{Pool, Preference};
use crate::reason::Reason;
use crate::sender::Sender;
use crate::upstream::{Connection, Upstream};
use crate::worker::Worker;

/// Tries of any kind; a stop for a table that changes faster than we try.
const TRIES_MAX: u32 = 64;
/// All connection attempts of one request may take so many times what one may.
const CONNECTS: u32 = 3;

/// How a request is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempts {
    /// It wants to become a tunnel.
    pub(crate) tunnel: bool,
    /// It may arrive more than once.
    pub(crate) repeatable: bool,
    pub(crate) preference: Preference,
    /// For one connection to a target.
    pub(crate) connect: Duration,
}

/// An answer, of which there is the head.
#[derive(Debug)]
pub(crate) enum Arrived {
    /// On a connection of HTTP/1.1, where it has so many bytes.
    Http1(Box<Link>, usize),
    Http2(Box<Response<Incoming>>),
}

/// Why there is none.
struct Unanswered {
    reason: Reason,
    /// The target has seen nothing of the request.
    unsent: bool,
}

impl Attempts {
    /// Gives the answer, and the cookie that keeps the client at the target.
    pub(crate) async fn send(
        &self,
        exchange: &mut Exchange,
        mut pool: Rc<Pool>,
        request: &mut Outgoing,
        asker: &mut impl Asker,
    ) -> Result<(Arrived, Option<String>), Reason> {
        let client = Rc::clone(&exchange.client);
        let worker = &client.worker;
        let mut tried = Vec::new();
        let mut sends = 0;
        // It may have arrived already, so that sending it is a repeat, which has to be paid for.
        let mut is_repeat = false;
        let mut failure = Reason::NoTarget;
        let connect_until =
            exchange.started + worker.settings.timeouts.connect_total.max(self.connect * CONNECTS);
        while exchange.retries < TRIES_MAX {
            let Some(upstream) = pool.choose(worker.clock.now(), &tried, self.preference) else {
                // Everything was tried, but the table may know of others by now, or soon.
                pool = match worker.newer(&pool) {
                    Some(newer) => newer,
                    None if tried.is_empty() => {
                        let other = Box::pin(another_target(worker, &pool, exchange.started));
                        attended(exchange, asker, other).await?.ok_or(failure)?
                    }
                    None => return Err(failure),
                };
                exchange.pool = Some(Rc::clone(&pool));
                exchange.retries += 1;
                continue;
            };
            if std::mem::take(&mut is_repeat)
                && !(sends <= pool.service.policy().retries.repeats && pool.withdraw())
            {
                return Err(failure);
            }
            exchange.turn_to(Rc::clone(&upstream));
            let idle = self.idle(&upstream, request);
            let reused = idle.is_some();
            let connected = if let Some(connection) = idle {
                Ok(connection)
            } else {
                let http2 = matches!(request, Outgoing::Http2(_));
                // In a box: connecting is rare and its state large, and every request would carry the room for it.
                let connecting = Box::pin(upstream.connect(worker, http2, self.connect));
                attended(exchange, asker, connecting).await?
            };
            let connection = match connected {
                Ok(connection) => connection,
                Err(reason) => {
                    failure = reason;
                    tried.push(upstream.target.id());
                    exchange.retries += 1;
                    if worker.clock.refresh() >= connect_until {
                        return Err(failure);
                    }
                    continue;
                }
            };
            // Nothing was waited for, as a rule, and looking at the clock is not free.
            let at_once = reused && exchange.retries == 0 && exchange.place.is_none();
            exchange.sending(if at_once { exchange.started } else { worker.clock.refresh() });
            sends += 1;
            asker.invite();
            let outcome = match (connection, &mut *request) {
                (Connection::Http1(link), Outgoing::Http1(outlet)) => {
                    over_link(exchange, link, outlet, asker).await?
                }
                (Connection::Http2(sender), Outgoing::Http2(held)) => {
                    Box::pin(over_http2(exchange, sender, held, self.repeatable, asker)).await?
                }
                _ => return Err(Reason::Protocol),
            };
            let unanswered = match outcome {
                Ok((arrived, status)) => {
                    upstream.target.ejection().succeeded();
                    let cookie = pool.cookie_for(&upstream, self.preference);
                    exchange.answered(status);
                    return Ok((arrived, cookie));
                }
                Err(unanswered) => unanswered,
            };
            if let Some(transfer) = &exchange.transfer {
                transfer.outcome()?;
            }
            failure = unanswered.reason;
            tracing::debug!(
                TARGET_ADDRESS = upstream.target.address_text(),
                reason = failure.as_str(),
                "a request was not answered"
            );
            if !(unanswered.unsent || self.repeatable) {
                return Err(failure);
            }
            is_repeat = !unanswered.unsent;
            exchange.retries += 1;
            if !reused {
                // A connection that was idle tells nothing about the target; a new one does.
                tried.push(upstream.target.id());
            }
        }
        Err(failure)
    }

    /// A connection that is there already.
    ///
    /// A target may close an idle one at the moment at which we use it. A request that can be repeated doesn't mind. For
    /// one that can't, the kernel is asked first, so that only a close that is still on the wire goes unnoticed.
    fn idle(&self, upstream: &Upstream, request: &Outgoing) -> Option<Connection> {
        if matches!(request, Outgoing::Http2(_)) {
            return upstream.sender().map(Connection::Http2);
        }
        while let Some(link) = upstream.take_link() {
            if self.repeatable || link.is_usable_now() {
                return Some(Connection::Http1(link));
            }
        }
        None
    }
}

/// A service that has just lost its last target gets another one soon, as a rule: a container is restarted. Waits for it.
async fn another_target(worker: &Worker, pool: &Pool, started: Instant) -> Option<Rc<Pool>> {
    let hold = pool.service.policy().hold;
    let lost = pool.service.empty_since()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    // Seconds are all that is known of the loss; the request's own time is exact.
    if hold.is_zero() || now.saturating_sub(lost) > hold.as_secs() + 1 {
        return None;
    }
    let deadline = started + hold;
    loop {
        let changed = worker.changed.notified();
        if let Some(newer) = worker.newer(pool) {
            return Some(newer);
        }
        tokio::time::timeout_at(deadline, changed).await.ok()?;
    }
}

/// Waits, but for no client that has left, and no longer than the request has time.
pub(crate) async fn attended<T>(
    exchange: &Exchange,
    asker: &mut impl Asker,
    future: impl Future<Output = T>,
) -> Result<T, Reason> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        exchange.control().register(cx.waker());
        if let Poll::Ready(ready) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(ready));
        }
        match over_time(exchange) {
            Some(reason) => Poll::Ready(Err(reason)),
            None => asker.poll_left(cx).map(|()| Err(Reason::ClientClosed)),
        }
    })
    .await
}

/// The verdict that it takes too long.
fn over_time(exchange: &Exchange) -> Option<Reason> {
    match exchange.control().verdict() {
        Verdict::TargetSlow => Some(Reason::Timeout),
        Verdict::ClientSlow => Some(Reason::ClientTimeout),
        Verdict::Cut if exchange.has_own_control() => Some(Reason::Timeout),
        Verdict::Cut => Some(Reason::ClientClosed),
        Verdict::Fine | Verdict::Close => None,
    }
}

/// Sends the request, and waits for the head of its answer. Interim answers are passed on.
async fn over_link(
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
            is_sent = match asker.poll_request(cx, outlet, &mut link.stream) {
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
                    asker.interim(head);
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
        Err(reason) => Err(Unanswered { reason, unsent: !outlet.was_sent() }),
    })
}

/// The digits of a status line that is read in full later.
fn status(head: &[u8]) -> u16 {
    let digits = head.get(9..12).and_then(|digits| str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or_default()
}

/// The same over HTTP/2. Takes the request out of `held`, and puts it back when it may be sent again.
async fn over_http2(
    exchange: &Exchange,
    mut sender: Sender,
    held: &mut Option<Box<Request<RequestBody>>>,
    repeatable: bool,
    asker: &mut impl Asker,
) -> Result<Result<(Arrived, u16), Unanswered>, Reason> {
    let Some(request) = held.take() else { return Err(Reason::Reset) };
    let copy = repeatable.then(|| Box::new(copy_head(&request)));
    let mut answer = pin!(sender.try_send_request(*request));
    let mut is_over = false;
    let outcome = poll_fn(|cx| {
        exchange.control().register(cx.waker());
        if let Some(reason) = over_time(exchange) {
            return Poll::Ready(Err(reason));
        }
        if let Poll::Ready(Err(_)) = asker.poll_told(cx) {
            return Poll::Ready(Err(Reason::ClientClosed));
        }
        if !is_over {
            // A fault of the client is told when the target's connection has noticed it as well.
            is_over = asker.poll_hand_over(cx).is_ready();
        }
        match answer.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Ok(answer)),
            Poll::Pending => asker.poll_left(cx).map(|()| Err(Reason::ClientClosed)),
        }
    })
    .await?;
    let mut failed = match outcome {
        Ok(response) => {
            let status = response.status().as_u16();
            return Ok(Ok((Arrived::Http2(Box::new(response)), status)));
        }
        Err(failed) => failed,
    };
    let reason = if failed.error().is_parse() { Reason::Protocol } else { Reason::Reset };
    let unsent = failed.take_message();
    let is_unsent = unsent.is_some();
    *held = unsent.map(Box::new).or(copy);
    Ok(Err(Unanswered { reason, unsent: is_unsent }))
}

/// A request without a body, to be sent again.
fn copy_head(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    copy
}
