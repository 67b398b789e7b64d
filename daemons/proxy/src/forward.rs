//! From a request to its rule and its service, and into the form in which a target sees it.

use std::rc::Rc;

use bytes::Bytes;
use convoy_http1::{Delimit, write_decimal, write_field, write_request_line};
use convoy_hygiene::{Field, Length, Request, Survey, Target};
use convoy_routing::{Action, Canary, Protocol};
use http::header::CONTENT_LENGTH;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Response, Uri, Version};

use crate::answer::{maintenance, redirect, text, to_https};
use crate::attempts::Attempts;
use crate::exchange::Exchange;
use crate::fields::{Lines, Map, Ruled};
use crate::outlet::Outlet;
use crate::over_http2::FrameRequest;
use crate::pool::{Pool, Route};
use crate::reason::Reason;
use crate::transfer::Transfer;

/// Where an answer is to come from.
pub(crate) enum Decision {
    /// Because the rule says so.
    Answer(Response<Bytes>),
    Forward(Plan),
}

/// How a target gets a request.
pub(crate) struct Plan {
    pub(crate) pool: Rc<Pool>,
    pub(crate) attempts: Attempts,
    pub(crate) request: Outgoing,
    /// Whether the client waits for a word before it sends its body.
    pub(crate) waits: bool,
}

/// A request as a target gets it.
pub(crate) enum Outgoing {
    /// The head is in it.
    Http1(Outlet),
    Http2(Box<FrameRequest>),
}

/// Decides what becomes of a request.
pub(crate) fn decide<'a, F: Iterator<Item = Field<'a>> + Clone>(
    exchange: &mut Exchange,
    method: &'a str,
    target: Target<'a>,
    survey: &Survey<'a, F>,
) -> Result<Decision, Reason> {
    let client = Rc::clone(&exchange.client);
    let worker = &client.worker;
    if worker.is_own_id(survey.request_id) {
        return Err(Reason::Loop);
    }
    if client.shed {
        return Err(Reason::Overload);
    }
    let request = Request::check(method, target, exchange.version, survey)?;
    let host = request.host.as_str();
    if let Some(proof) = client.door.proof(host, request.path) {
        return Ok(Decision::Answer(text(&proof)));
    }
    if client.is_misdirected(host) {
        return Err(Reason::Misdirected);
    }
    let found = worker.find(host, request.path).map_err(|_| Reason::BadTarget)?;
    let (route, normal_path) = found.ok_or(Reason::NoRoute)?;
    let path = normal_path.as_deref().unwrap_or(request.path);
    exchange.route = Some(Rc::clone(&route));
    if let Some(response) = answer_by_rule(exchange, &route, &request, path, survey) {
        return Ok(Decision::Answer(response));
    }
    exchange.control().set_limits(&route.rule.timeouts);

    let pool = pool_for(exchange, &route, survey);
    exchange.pool = Some(Rc::clone(&pool));
    pool.deposit();
    let limit = route.rule.body_max.or(worker.settings.body_max);
    if let (Some(limit), Length::Exactly(length)) = (limit, request.length)
        && length > limit
    {
        return Err(Reason::TooLarge);
    }
    let has_body = !matches!(request.length, Length::None | Length::Exactly(0));
    exchange.transfer = has_body.then(|| Transfer::new(exchange.control(), limit));

    let http2 = speaks_http2(&pool, exchange.version, survey);
    let tunnel = request.websocket && !http2;
    let attempts = Attempts {
        tunnel,
        repeatable: request.may_repeat(),
        preference: pool.preference(survey, path, client.origin().address.as_bytes()),
        connect: route.rule.timeouts.connect.unwrap_or(worker.settings.timeouts.connect),
    };
    let rewritten = route.rule.rewritten(path);
    let path = rewritten.as_deref().unwrap_or(path);
    let waits = request.waits && has_body;
    let request = if http2 {
        let head = for_http2(exchange, &route, &request, path)?;
        Outgoing::Http2(Box::new(FrameRequest { head, has_body, body: None }))
    } else {
        Outgoing::Http1(for_http1(exchange, &route, &request, path, tunnel))
    };
    Ok(Decision::Forward(Plan { pool, attempts, request, waits }))
}

/// The answer that the rule gives itself, where it does.
fn answer_by_rule<'a, F: Iterator<Item = Field<'a>> + Clone>(
    exchange: &Exchange,
    route: &Route,
    request: &Request<'a, '_, F>,
    path: &str,
    survey: &Survey<'a, F>,
) -> Option<Response<Bytes>> {
    let client = &exchange.client;
    let rule = &route.rule;
    if rule.https && !client.is_secure(survey) {
        let port = client.worker.settings.https_port;
        return Some(to_https(request.host.as_str(), port, path, request.query));
    }
    match &rule.action {
        Action::Forward => None,
        Action::Redirect(wanted) => {
            Some(redirect(wanted.status, &rule.location(wanted, path, request.query)))
        }
        Action::Maintenance(wanted) => {
            client.worker.counters.refused(Reason::Maintenance);
            Some(maintenance(wanted, exchange.request_id()))
        }
    }
}

/// The pool of the rule's service, or of the other app that gets a share of its requests.
fn pool_for<'a, F: Iterator<Item = Field<'a>> + Clone>(
    exchange: &Exchange,
    route: &Route,
    survey: &Survey<'a, F>,
) -> Rc<Pool> {
    route
        .rule
        .canary
        .as_ref()
        .filter(|canary| takes_part(canary, survey))
        .and_then(|canary| exchange.client.worker.pool_of(&canary.app))
        .filter(|pool| !pool.upstreams().is_empty())
        .unwrap_or_else(|| Rc::clone(&route.pool))
}

fn takes_part<'a, F: Iterator<Item = Field<'a>> + Clone>(canary: &Canary, survey: &Survey<'a, F>) -> bool {
    match canary.header.as_ref().and_then(|name| survey.values(name.as_str()).next()) {
        Some(b"always") => true,
        Some(b"never") => false,
        _ => fastrand::u8(..100) < canary.percent,
    }
}

fn speaks_http2<F>(pool: &Pool, version: Version, survey: &Survey<'_, F>) -> bool {
    match pool.service.policy().protocol {
        Protocol::Http1 => false,
        Protocol::Http2 => true,
        // gRPC has no other way.
        Protocol::Automatic => {
            version == Version::HTTP_2
                && survey.content_type.is_some_and(|kind| kind.starts_with(b"application/grpc"))
        }
    }
}

fn for_http1<'a, F: Iterator<Item = Field<'a>> + Clone>(
    exchange: &Exchange,
    route: &Route,
    request: &Request<'a, '_, F>,
    path: &str,
    tunnel: bool,
) -> Outlet {
    let client = &exchange.client;
    let mut outlet = Outlet::new();
    outlet.lend(|| client.worker.buffers.take_head());
    let out = outlet.staged();
    let (mark, query) = request.query.map_or(("", ""), |query| ("?", query));
    write_request_line(out, request.method, &[path, mark, query]);
    let host = route.rule.host_header.as_ref().map_or(request.authority.as_bytes(), HeaderValue::as_bytes);
    write_field(out, ("host", host));
    let mut sink = Ruled::new(Lines(out), Some(&route.rule.request_fields));
    request.pass(&mut sink, &client.origin(), exchange.request_id().as_bytes(), true, tunnel);
    sink.finish();
    let delimit = match request.length {
        Length::None => Delimit::Plain,
        Length::Exactly(length) => {
            out.extend_from_slice(b"content-length: ");
            write_decimal(out, length);
            out.extend_from_slice(b"\r\n");
            Delimit::Plain
        }
        Length::Unknown => {
            write_field(out, ("transfer-encoding", b"chunked"));
            Delimit::Chunks
        }
    };
    out.extend_from_slice(b"\r\n");
    outlet.begin(delimit, true);
    outlet
}

fn for_http2<'a, F: Iterator<Item = Field<'a>> + Clone>(
    exchange: &Exchange,
    route: &Route,
    request: &Request<'a, '_, F>,
    path: &str,
) -> Result<http::Request<()>, Reason> {
    let client = &exchange.client;
    let target: PathAndQuery = match request.query {
        Some(query) => format!("{path}?{query}").parse(),
        None => path.parse(),
    }
    .map_err(|_| Reason::BadTarget)?;
    let host = route.rule.host_header.as_ref().map_or(request.authority.as_bytes(), HeaderValue::as_bytes);
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = Some(Authority::try_from(host).map_err(|_| Reason::BadHost)?);
    uri.path_and_query = Some(target);
    let (mut headers, elsewhere) = (HeaderMap::new(), Bytes::new());
    let mut sink =
        Ruled::new(Map { headers: &mut headers, head: &elsewhere }, Some(&route.rule.request_fields));
    request.pass(&mut sink, &client.origin(), exchange.request_id().as_bytes(), false, false);
    sink.finish();
    if let Length::Exactly(length) = request.length {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    let mut made = http::Request::new(());
    *made.method_mut() = Method::from_bytes(request.method.as_bytes()).map_err(|_| Reason::Method)?;
    *made.uri_mut() = Uri::from_parts(uri).map_err(|_| Reason::BadTarget)?;
    *made.version_mut() = Version::HTTP_2;
    *made.headers_mut() = headers;
    Ok(made)
}
