//! Sends a request to a target, and to another one where nothing is lost by it.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::time::Instant;

use crate::body::RequestBody;
use crate::control::Verdict;
use crate::exchange::Exchange;
use crate::pool::{Pool, Preference};
use crate::reason::Reason;
use crate::sender::Sender;
use crate::upstream::Upstream;
use crate::worker::Worker;

/// Tries of any kind; a stop for a table that changes faster than we try.
const TRIES_MAX: u32 = 64;
/// All connection attempts of one request may take so many times what one may.
const CONNECTS: u32 = 3;

/// How a request is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempts {
    pub(crate) http2: bool,
    /// It wants to become a tunnel.
    pub(crate) tunnel: bool,
    /// It may arrive more than once.
    pub(crate) repeatable: bool,
    pub(crate) preference: Preference,
    /// For one connection to a target.
    pub(crate) connect: Duration,
}

impl Attempts {
    /// Gives the answer, and the cookie that keeps the client at the target.
    pub(crate) async fn send(
        &self,
        exchange: &mut Exchange,
        mut pool: Rc<Pool>,
        mut request: Request<RequestBody>,
    ) -> Result<(Response<Incoming>, Option<HeaderValue>), Reason> {
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
                        Box::pin(another_target(worker, &pool, exchange.started)).await.ok_or(failure)?
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
            let (mut sender, reused) = match self.connection(worker, &upstream).await {
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
            let copy = self.repeatable.then(|| copy_head(&request));
            // Nothing was waited for, as a rule, and looking at the clock is not free.
            let at_once = reused && exchange.retries == 0 && exchange.place.is_none();
            exchange.sending(if at_once { exchange.started } else { worker.clock.refresh() });
            sends += 1;
            let sent = sender.send(request);
            let failed = match answer(exchange, &mut sender, sent).await? {
                Ok(response) => {
                    upstream.target.ejection().succeeded();
                    let cookie = pool.cookie_for(&upstream, self.preference);
                    exchange.answered(response.status(), Some(sender));
                    return Ok((response, cookie));
                }
                Err(failed) => failed,
            };
            if let Some(transfer) = &exchange.transfer {
                transfer.outcome()?;
            }
            failure = class(failed.error());
            tracing::debug!(
                TARGET_ADDRESS = upstream.target.address_text(),
                error = %failed.error(),
                "a request was not answered"
            );
            (request, is_repeat) = unanswered(failed, copy).ok_or(failure)?;
            exchange.retries += 1;
            if !reused {
                // A connection that was idle tells nothing about the target; a new one does.
                tried.push(upstream.target.id());
            }
        }
        Err(failure)
    }

    /// An idle connection, or a new one. Tells whether it was used before.
    async fn connection(&self, worker: &Rc<Worker>, upstream: &Upstream) -> Result<(Sender, bool), Reason> {
        if let Some(sender) = idle(upstream, self.http2, self.repeatable).await {
            return Ok((self.prepared(sender), true));
        }
        // In a box: connecting is rare and its state large, and every request would carry the room for it.
        let connected = Box::pin(upstream.connect(worker, self.http2, self.connect)).await;
        connected.map(|sender| (self.prepared(sender), false))
    }

    fn prepared(&self, sender: Sender) -> Sender {
        if self.tunnel { sender.for_tunnel() } else { sender }
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

/// The request, when it may be sent again, and whether that would be a repeat: one that never left is none.
fn unanswered(
    mut failed: TrySendError<Request<RequestBody>>,
    copy: Option<Request<RequestBody>>,
) -> Option<(Request<RequestBody>, bool)> {
    failed.take_message().map(|request| (request, false)).or_else(|| copy.map(|request| (request, true)))
}

/// An idle connection.
///
/// A target may close an idle connection at the moment at which we use it. A request that can be repeated doesn't
/// mind. For one that can't, the event loop looks at the sockets once more first, so that only a close that is still on
/// the wire goes unnoticed.
async fn idle(upstream: &Upstream, http2: bool, repeatable: bool) -> Option<Sender> {
    while let Some(mut sender) = upstream.take_idle(http2) {
        if !repeatable {
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            if !sender.is_usable() {
                continue;
            }
        }
        return Some(sender);
    }
    None
}

/// Waits for the answer, or for the verdict that it takes too long.
async fn answer<T>(
    exchange: &Exchange,
    sender: &mut Sender,
    answer: impl Future<Output = T>,
) -> Result<T, Reason> {
    let control = exchange.control();
    let own = exchange.has_own_control();
    let mut answer = pin!(answer);
    poll_fn(|cx| {
        if own {
            control.register(cx.waker());
        }
        match control.verdict() {
            Verdict::TargetSlow => Poll::Ready(Err(Reason::Timeout)),
            Verdict::ClientSlow => Poll::Ready(Err(Reason::ClientTimeout)),
            Verdict::Cut if own => Poll::Ready(Err(Reason::Timeout)),
            Verdict::Fine | Verdict::Close | Verdict::Cut => {
                sender.drive(cx);
                answer.as_mut().poll(cx).map(Ok)
            }
        }
    })
    .await
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

fn class(error: &hyper::Error) -> Reason {
    if error.is_parse() { Reason::Protocol } else { Reason::Reset }
}
