//! A request is read: find its target, send it there, and try another one where nothing is lost by it.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode, Version, request};
use hyper::body::{Body, Incoming};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::SendRequest;
use hyper::upgrade::OnUpgrade;

use crate::answer::{X_REQUEST_ID, refusal, wants_page};
use crate::body::{AnswerBody, RequestBody};
use crate::connection::Client;
use crate::control::{Phase, Verdict};
use crate::exchange::Exchange;
use crate::headers::{Origin, prepare_answer, prepare_request};
use crate::reason::Reason;
use crate::request::{check, check_host, is_websocket, may_repeat, wants_websocket};
use crate::tunnel;
use crate::upstream::Upstream;

/// A request that may be repeated is sent so many times at most before it is known that it never arrived.
const SENDS_MAX: u32 = 4;
/// Further tries of any kind; a stop for a table that changes faster than we try.
const TRIES_MAX: u32 = 64;

const HTTP: HeaderValue = HeaderValue::from_static("http");
const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// Answers one request.
pub(crate) async fn serve(
    client: Rc<Client>,
    mut request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    let worker = Rc::clone(&client.worker);
    let started = worker.clock.refresh();
    client.control.enter(Phase::Request);
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let (parts, body) = request.into_parts();
    let looped = worker.is_own_id(parts.headers.get(X_REQUEST_ID));
    let trusted_id = parts.headers.get(X_REQUEST_ID).filter(|_| client.trusted && !looped);
    let request_id = trusted_id.cloned().unwrap_or_else(|| worker.next_request_id());
    let page = wants_page(&parts.headers);
    let mut exchange = Exchange::begin(Rc::clone(&client), started, request_id, &parts);
    let outcome = if looped {
        Err(Reason::Loop)
    } else if client.shed {
        Err(Reason::Overload)
    } else {
        forward(&mut exchange, parts, body).await
    };
    let outcome = outcome.and_then(|(response, websocket)| {
        let upgrade = upgrade.filter(|_| websocket);
        is_asked_for(&response, upgrade.is_some()).map(|()| (response, upgrade))
    });
    let mut response = match outcome {
        Ok((response, upgrade)) => pass_on(exchange, response, upgrade),
        Err(reason) => {
            let response = refusal(reason, &exchange.request_id, page);
            exchange.refused(reason, response.body().size_hint().exact().unwrap_or(0));
            response
        }
    };
    if (client.shed || worker.is_draining()) && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, CLOSE);
    }
    Ok(response)
}

/// Gives the target's answer, and whether a WebSocket was asked for.
async fn forward(
    exchange: &mut Exchange,
    mut parts: request::Parts,
    body: Incoming,
) -> Result<(Response<Incoming>, bool), Reason> {
    let client = Rc::clone(&exchange.client);
    let worker = &client.worker;
    check(&mut parts)?;
    let host = check_host(&parts.headers).map_err(|_| Reason::BadRequest)?;
    let mut route = worker.route(host.as_str()).ok_or(Reason::NoRoute)?;
    exchange.route = Some(Rc::clone(&route));

    let has_body = !body.is_end_stream();
    let websocket = wants_websocket(&parts, has_body);
    let repeatable = may_repeat(&parts.method, has_body) && !websocket;
    let origin = Origin { address: &client.forwarded_for, trusted: client.trusted, scheme: HTTP };
    prepare_request(&mut parts.headers, &origin, &exchange.request_id, websocket);
    parts.version = Version::HTTP_11;
    let (body, transfer) = RequestBody::new(body, &client.control);
    exchange.transfer = transfer;

    let mut request = Request::from_parts(parts, body);
    let mut tried = Vec::new();
    let mut sends = 0;
    let mut failure = Reason::NoTarget;
    let connect_until = exchange.started + worker.settings.timeouts.connect_total;
    while exchange.retries < TRIES_MAX {
        let Some(upstream) = route.choose(worker.clock.now(), &tried) else {
            // Everything was tried, but the table may know of others by now.
            match worker.newer(&route) {
                Some(newer) => route = newer,
                None => return Err(failure),
            }
            exchange.route = Some(Rc::clone(&route));
            exchange.retries += 1;
            continue;
        };
        exchange.turn_to(Rc::clone(&upstream));
        let (mut sender, reused) = match connection(&upstream, &client, repeatable).await {
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
        let copy = repeatable.then(|| copy_head(&request));
        exchange.sending(worker.clock.refresh());
        sends += 1;
        let failed = match answer(&client, sender.try_send_request(request)).await? {
            Ok(response) => {
                upstream.target.ejection().succeeded();
                exchange.answered(response.status(), Some(sender));
                return Ok((response, websocket));
            }
            Err(failed) => failed,
        };
        if exchange.transfer.as_ref().is_some_and(|transfer| transfer.broken.get()) {
            return Err(Reason::ClientBody);
        }
        failure = class(failed.error());
        tracing::debug!(
            TARGET_ADDRESS = upstream.target.address_text(),
            error = %failed.error(),
            "a request was not answered"
        );
        request = unanswered(failed, copy, sends).ok_or(failure)?;
        exchange.retries += 1;
        if !reused {
            // A connection that was idle tells nothing about the target; a new one does.
            tried.push(upstream.target.id());
        }
    }
    Err(failure)
}

/// The request, when it may be sent again: it never left, or it may be repeated.
fn unanswered(
    mut failed: TrySendError<Request<RequestBody>>,
    copy: Option<Request<RequestBody>>,
    sends: u32,
) -> Option<Request<RequestBody>> {
    failed.take_message().or_else(|| copy.filter(|_| sends < SENDS_MAX))
}

/// An idle connection, or a new one. Tells whether it was used before.
///
/// A target may close an idle connection at the moment at which we use it. A request that can be repeated doesn't
/// mind. For one that can't, the event loop looks at the sockets once more first, so that only a close that is still on
/// the wire goes unnoticed.
async fn connection(
    upstream: &Upstream,
    client: &Client,
    repeatable: bool,
) -> Result<(SendRequest<RequestBody>, bool), Reason> {
    while let Some(sender) = upstream.take_idle() {
        if !repeatable {
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            if !sender.is_ready() {
                continue;
            }
        }
        return Ok((sender, true));
    }
    upstream.connect(&client.worker).await.map(|sender| (sender, false))
}

/// Waits for the answer, or for the verdict that it takes too long.
async fn answer<T>(client: &Client, answer: impl Future<Output = T>) -> Result<T, Reason> {
    let mut answer = pin!(answer);
    poll_fn(|cx| match client.control.verdict() {
        Verdict::TargetSlow => Poll::Ready(Err(Reason::Timeout)),
        Verdict::ClientSlow => Poll::Ready(Err(Reason::ClientTimeout)),
        Verdict::Fine | Verdict::Close | Verdict::Cut => answer.as_mut().poll(cx).map(Ok),
    })
    .await
}

/// A request without a body, to be sent again.
fn copy_head(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

fn class(error: &hyper::Error) -> Reason {
    if error.is_parse() { Reason::Protocol } else { Reason::Reset }
}

/// A 101 that nobody asked for would make the client and the target disagree on what follows.
fn is_asked_for(response: &Response<Incoming>, websocket: bool) -> Result<(), Reason> {
    let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let to_websocket = response.headers().get(UPGRADE).is_some_and(is_websocket);
    if switches && !(websocket && to_websocket) { Err(Reason::Protocol) } else { Ok(()) }
}

fn pass_on(
    mut exchange: Box<Exchange>,
    mut response: Response<Incoming>,
    upgrade: Option<OnUpgrade>,
) -> Response<AnswerBody> {
    let status = response.status();
    let upgrade = upgrade.filter(|_| status == StatusCode::SWITCHING_PROTOCOLS);
    prepare_answer(response.headers_mut(), status, upgrade.is_some());
    *response.version_mut() = Version::HTTP_11;
    if let Some(client) = upgrade {
        let target = hyper::upgrade::on(&mut response);
        exchange.answered(status, None);
        tokio::task::spawn_local(tunnel::run(client, target, exchange));
        return response.map(|_| AnswerBody::Empty);
    }
    if exchange.body_is_incomplete() {
        // Answered before it was asked in full: the answer is sent, then the connection ends.
        exchange.client.control.set_lingers();
        response.headers_mut().insert(CONNECTION, CLOSE);
    }
    response.map(|body| {
        if body.is_end_stream() {
            exchange.complete();
            AnswerBody::Empty
        } else {
            exchange.client.control.enter(Phase::Answer);
            AnswerBody::Stream(body, Some(exchange))
        }
    })
}
