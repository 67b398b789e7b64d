//! Sends a request to a target, and to another one where nothing is lost by it.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Response;
use tokio::time::Instant;

use crate::asker::Asker;
use crate::control::Verdict;
use crate::exchange::Exchange;
use crate::forward::Outgoing;
use crate::frames::Frames;
use crate::link::Link;
use crate::over_http2::over_http2;
use crate::over_link::over_link;
use crate::pool::{Pool, Preference};
use crate::reason::Reason;
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
    Http2(Box<Response<Frames>>),
}

/// Why there is none.
pub(crate) struct Unanswered {
    pub(crate) reason: Reason,
    /// The target has done nothing for the request.
    pub(crate) unsent: bool,
    /// It says so itself, so that another connection to it would tell nothing new.
    pub(crate) by_target: bool,
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
                (Connection::Http2(sender), Outgoing::Http2(request)) => {
                    Box::pin(over_http2(exchange, sender, request, asker)).await?
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
            if !reused || unanswered.by_target {
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
pub(crate) fn over_time(exchange: &Exchange) -> Option<Reason> {
    match exchange.control().verdict() {
        Verdict::TargetSlow => Some(Reason::Timeout),
        Verdict::ClientSlow => Some(Reason::ClientTimeout),
        Verdict::Cut if exchange.has_own_control() => Some(Reason::Timeout),
        Verdict::Cut => Some(Reason::ClientClosed),
        Verdict::Fine | Verdict::Close => None,
    }
}
