//! From a request to its rule and its service, and into the form in which a target sees it.

use std::rc::Rc;

use convoy_hygiene::{check_request, host, may_repeat, prepare_request, wants_websocket};
use convoy_routing::{Action, Canary, Protocol};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, TRANSFER_ENCODING};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Request, Response, Uri, Version, request};
use hyper::body::{Body, Incoming};

use crate::answer::{maintenance, redirect, text, to_https};
use crate::attempts::Attempts;
use crate::body::{AnswerBody, RequestBody};
use crate::exchange::Exchange;
use crate::pool::{Pool, Route};
use crate::reason::Reason;
use crate::worker::Worker;

const CHUNKED: HeaderValue = HeaderValue::from_static("chunked");

/// Where an answer comes from.
pub(crate) enum Answered {
    /// With the cookie that keeps the client there, and whether a WebSocket was asked for.
    ByTarget { response: Response<Incoming>, websocket: bool, cookie: Option<HeaderValue> },
    /// Because its rule says so.
    ByUs(Response<AnswerBody>),
}

/// Gives the answer.
pub(crate) async fn forward(
    exchange: &mut Exchange,
    mut parts: request::Parts,
    body: Incoming,
) -> Result<Answered, Reason> {
    let client = Rc::clone(&exchange.client);
    let worker = &client.worker;
    check_request(&mut parts)?;
    let (route, normal_path) = {
        let host = host(&parts.headers).map_err(|_| Reason::BadHost)?;
        if let Some(proof) = client.door.proof(host.as_str(), parts.uri.path()) {
            return Ok(Answered::ByUs(text(&proof)));
        }
        if client.is_misdirected(host.as_str()) {
            return Err(Reason::Misdirected);
        }
        let found = worker.find(host.as_str(), parts.uri.path()).map_err(|_| Reason::BadTarget)?;
        found.ok_or(Reason::NoRoute)?
    };
    exchange.route = Some(Rc::clone(&route));
    if let Some(path) = normal_path {
        set_path(&mut parts, &path)?;
    }
    if let Some(response) = answer_by_rule(exchange, &route, &parts) {
        return Ok(Answered::ByUs(response));
    }
    exchange.control().set_limits(&route.rule.timeouts);

    let pool = pool_for(worker, &route, &parts.headers);
    exchange.pool = Some(Rc::clone(&pool));
    pool.deposit();
    let limit = route.rule.body_max.or(worker.settings.body_max);
    if let Some(limit) = limit
        && body.size_hint().lower() > limit
    {
        return Err(Reason::TooLarge);
    }
    if let Some(gate) = &pool.gate {
        exchange.place = Some(Box::pin(gate.enter()).await.ok_or(Reason::Busy)?);
    }

    let has_body = !body.is_end_stream();
    let http2 = speaks_http2(&pool, &parts);
    let websocket = !http2 && wants_websocket(&parts, has_body);
    let repeatable = may_repeat(&parts.method, has_body) && !websocket;
    let preference = pool.preference(&parts.headers, parts.uri.path(), client.origin.address.as_bytes());
    prepare_request(&mut parts.headers, &client.origin, &exchange.request_id, websocket);
    by_rule(&mut parts, &route)?;
    by_version(&mut parts, http2, has_body)?;
    let (body, transfer) = RequestBody::new(body, exchange.control(), limit);
    exchange.transfer = transfer;

    let connect = route.rule.timeouts.connect.unwrap_or(worker.settings.timeouts.connect);
    let request = Request::from_parts(parts, body);
    let attempts = Attempts { http2, tunnel: websocket, repeatable, preference, connect };
    let (response, cookie) = attempts.send(exchange, pool, request).await?;
    Ok(Answered::ByTarget { response, websocket, cookie })
}

/// The answer that the rule gives itself, where it does.
fn answer_by_rule(
    exchange: &Exchange,
    route: &Route,
    parts: &request::Parts,
) -> Option<Response<AnswerBody>> {
    let client = &exchange.client;
    let rule = &route.rule;
    if rule.https && !client.is_secure(&parts.headers) {
        let host = host(&parts.headers).ok()?;
        return Some(to_https(host.as_str(), client.worker.settings.https_port, &parts.uri));
    }
    match &rule.action {
        Action::Forward => None,
        Action::Redirect(wanted) => {
            Some(redirect(wanted.status, &rule.location(wanted, parts.uri.path(), parts.uri.query())))
        }
        Action::Maintenance(wanted) => {
            client.worker.counters.refused(Reason::Maintenance);
            Some(maintenance(wanted, &exchange.request_id))
        }
    }
}

/// The pool of the rule's service, or of the other app that gets a share of its requests.
fn pool_for(worker: &Worker, route: &Route, headers: &HeaderMap) -> Rc<Pool> {
    route
        .rule
        .canary
        .as_ref()
        .filter(|canary| takes_part(canary, headers))
        .and_then(|canary| worker.pool_of(&canary.app))
        .filter(|pool| !pool.upstreams().is_empty())
        .unwrap_or_else(|| Rc::clone(&route.pool))
}

fn takes_part(canary: &Canary, headers: &HeaderMap) -> bool {
    let said = canary.header.as_ref().and_then(|name| headers.get(name));
    match said.map(HeaderValue::as_bytes) {
        Some(b"always") => true,
        Some(b"never") => false,
        _ => fastrand::u8(..100) < canary.percent,
    }
}

fn speaks_http2(pool: &Pool, parts: &request::Parts) -> bool {
    match pool.service.policy().protocol {
        Protocol::Http1 => false,
        Protocol::Http2 => true,
        // gRPC has no other way.
        Protocol::Automatic => {
            parts.version == Version::HTTP_2
                && parts
                    .headers
                    .get(CONTENT_TYPE)
                    .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
        }
    }
}

/// What the rule wants the target to see.
fn by_rule(parts: &mut request::Parts, route: &Route) -> Result<(), Reason> {
    let rule = &route.rule;
    if let Some(path) = rule.rewritten(parts.uri.path()) {
        set_path(parts, &path)?;
    }
    rule.request_fields.apply(&mut parts.headers);
    if let Some(host) = &rule.host_header {
        parts.headers.insert(HOST, host.clone());
    }
    Ok(())
}

fn set_path(parts: &mut request::Parts, path: &str) -> Result<(), Reason> {
    let target: PathAndQuery = match parts.uri.query() {
        Some(query) => format!("{path}?{query}").parse(),
        None => path.parse(),
    }
    .map_err(|_| Reason::BadTarget)?;
    parts.uri = Uri::from(target);
    Ok(())
}

/// Brings the request into the version that the target speaks.
fn by_version(parts: &mut request::Parts, http2: bool, has_body: bool) -> Result<(), Reason> {
    let came_in_http2 = parts.version == Version::HTTP_2;
    if http2 {
        parts.version = Version::HTTP_2;
        parts.headers.remove(TRANSFER_ENCODING);
        let host = parts.headers.remove(HOST).ok_or(Reason::BadHost)?;
        let mut uri = std::mem::take(&mut parts.uri).into_parts();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(Authority::try_from(host.as_bytes()).map_err(|_| Reason::BadHost)?);
        parts.uri = Uri::from_parts(uri).map_err(|_| Reason::BadTarget)?;
        return Ok(());
    }
    parts.version = Version::HTTP_11;
    if came_in_http2 {
        // HTTP/2 needs no word for a body of unknown length; and it takes cookies apart, which only it puts together
        // again (RFC 9113, section 8.2.3).
        if has_body && !parts.headers.contains_key(CONTENT_LENGTH) {
            parts.headers.insert(TRANSFER_ENCODING, CHUNKED);
        }
        join_cookies(&mut parts.headers);
    }
    Ok(())
}

fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let values: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&values.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}
