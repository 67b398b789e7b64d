//! A request of HTTP/2 is read: answer it, by a target or ourselves.

use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use convoy_http1::{Answer, Body as Framing, Space};
use convoy_hygiene::{AnswerLength, Asked, Field, Survey, Target};
use http::header::{CONTENT_LENGTH, DATE, SET_COOKIE, STRICT_TRANSPORT_SECURITY};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::{Body, Incoming};
use tokio::net::TcpStream;

use crate::answer::{refusal, wants_page};
use crate::asker::{Asker, Limited};
use crate::attempts::{Arrived, attended};
use crate::body::{AnswerBody, RequestBody};
use crate::connection::Client;
use crate::control::Phase;
use crate::exchange::{Exchange, FirstLine};
use crate::fields::{Map, Ruled, listed};
use crate::forward::{Decision, Outgoing, Plan, decide};
use crate::link::Link;
use crate::link_body::LinkBody;
use crate::outlet::{Failure, Outlet};
use crate::reason::Reason;
use crate::source::Frames;
use crate::transfer::Transfer;

/// Most answers have no more fields.
const FIELDS: usize = 16;

/// A client of HTTP/2 while its request is answered. What concerns its connection, hyper does.
#[derive(Debug)]
pub(crate) struct Streaming {
    /// Where the target speaks HTTP/1.1.
    frames: Option<Frames>,
    transfer: Option<Rc<Transfer>>,
}

impl Asker for Streaming {
    fn poll_left(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    fn poll_told(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_request(
        &mut self,
        cx: &mut Context<'_>,
        outlet: &mut Outlet,
        target: &mut TcpStream,
    ) -> Poll<Result<(), Failure<Reason>>> {
        let Some(frames) = &mut self.frames else { return Poll::Ready(Ok(())) };
        let mut source = Limited { source: frames, transfer: self.transfer.as_deref() };
        ready!(outlet.poll(cx, target, &mut source))?;
        if let Some(transfer) = &self.transfer {
            transfer.complete();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_hand_over(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Reason>> {
        Poll::Ready(Ok(()))
    }

    fn invite(&mut self) {}

    // hyper sends none.
    fn interim(&mut self, _: &[u8]) {}
}

/// A request, read and decided upon.
struct Begun {
    exchange: Box<Exchange>,
    decision: Result<Decision, Reason>,
    body: Incoming,
    /// The client is a browser.
    page: bool,
    /// It wants the head alone.
    head: bool,
}

/// Answers one request.
pub(crate) async fn serve(
    client: Rc<Client>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    let Begun { exchange, decision, body, page, head } = begin(client, request);
    let outcome = match decision {
        Ok(Decision::Answer(response)) => {
            let size = response.body().len() as u64;
            exchange.said(response.status(), size);
            return Ok(response.map(|body| AnswerBody::Full(Some(body))));
        }
        Ok(Decision::Forward(plan)) => forward(exchange, body, plan, head).await,
        Err(reason) => Err((exchange, reason)),
    };
    Ok(outcome.unwrap_or_else(|(exchange, reason)| {
        let response = refusal(reason, exchange.request_id(), page);
        exchange.refused(reason, response.body().len() as u64);
        response.map(|body| AnswerBody::Full(Some(body)))
    }))
}

/// Looks at the head, and decides.
fn begin(client: Rc<Client>, request: Request<Incoming>) -> Begun {
    let started = client.worker.clock.refresh();
    let stream = client.begin_stream();
    stream.control.enter(Phase::Request);
    let (parts, body) = request.into_parts();
    let fields = listed(&parts.headers);
    let survey = Survey::of(fields.iter().copied());
    let (method, uri) = (parts.method.as_str(), &parts.uri);
    let authority = uri.authority().map(http::uri::Authority::as_str);
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let line = FirstLine { method, authority, path, version: Version::HTTP_2 };
    let mut exchange = Exchange::begin(client, Some(stream), started, line, &survey);
    let target = Target::Pseudo { scheme: uri.scheme_str(), authority, path, streams: !body.is_end_stream() };
    let decision = decide(&mut exchange, method, target, &survey);
    Begun { exchange, decision, page: wants_page(survey.accept), head: method == "HEAD", body }
}

type Outcome = Result<Response<AnswerBody>, (Box<Exchange>, Reason)>;

/// Lets a target answer. Gives the exchange back when none does.
async fn forward(mut exchange: Box<Exchange>, body: Incoming, plan: Plan, head: bool) -> Outcome {
    let Plan { pool, attempts, mut request, .. } = plan;
    let mut asker = Streaming { frames: None, transfer: exchange.transfer.clone() };
    if let Some(gate) = &pool.gate {
        exchange.place = match attended(&exchange, &mut asker, Box::pin(gate.enter())).await {
            Ok(Some(place)) => Some(place),
            Ok(None) => return Err((exchange, Reason::Busy)),
            Err(reason) => return Err((exchange, reason)),
        };
    }
    match (&mut request, &exchange.transfer) {
        (Outgoing::Http2(Some(request)), Some(transfer)) => {
            *request.body_mut() = RequestBody::Stream(body, Rc::clone(transfer));
        }
        (Outgoing::Http1(_), _) => asker.frames = Some(Frames::new(body)),
        (Outgoing::Http2(_), _) => {}
    }
    match attempts.send(&mut exchange, pool, &mut request, &mut asker).await {
        Ok((Arrived::Http1(link, length), cookie)) => {
            let Outgoing::Http1(outlet) = request else { return Err((exchange, Reason::Protocol)) };
            from_link(exchange, link, length, head, cookie, (outlet, asker))
        }
        Ok((Arrived::Http2(response), cookie)) => {
            let (parts, body) = response.into_parts();
            let fields = listed(&parts.headers);
            let fields = fields.iter().copied();
            let made = answer_head(
                &exchange,
                parts.status.as_u16(),
                Version::HTTP_2,
                fields,
                &Bytes::new(),
                head,
                cookie,
            );
            let Ok((response, ..)) = made else { return Err((exchange, Reason::Protocol)) };
            if body.is_end_stream() {
                exchange.complete(None);
                return Ok(response.map(|()| AnswerBody::Empty));
            }
            exchange.control().enter(Phase::Answer);
            Ok(response.map(|()| AnswerBody::Stream(body, Some(exchange))))
        }
        Err(reason) => Err((exchange, reason)),
    }
}

/// The answer that a target gives over HTTP/1.1, with a head of so many bytes.
fn from_link(
    mut exchange: Box<Exchange>,
    mut link: Box<Link>,
    length: usize,
    head: bool,
    cookie: Option<String>,
    (mut outlet, asker): (Outlet, Streaming),
) -> Outcome {
    let bytes = Bytes::copy_from_slice(link.inlet.bytes().get(..length).unwrap_or_default());
    let mut space = Space::default();
    let Ok(answer) = Answer::parse(&bytes, &mut space) else { return Err((exchange, Reason::Protocol)) };
    let made = answer_head(&exchange, answer.status, answer.version, answer.fields(), &bytes, head, cookie);
    let Ok((response, length_of_body, keeps)) = made else { return Err((exchange, Reason::Protocol)) };
    let framing = match length_of_body {
        AnswerLength::None => Framing::none(),
        AnswerLength::Exactly(length) => Framing::of_length(length),
        AnswerLength::Chunked => Framing::chunked(),
        AnswerLength::ToTheEnd => Framing::to_the_end(),
    };
    link.keeps = keeps && length_of_body != AnswerLength::ToTheEnd;
    link.inlet.begin_body(length, framing);
    if !exchange.body_is_incomplete() {
        exchange.client.worker.buffers.give_head(outlet.finish());
        // All of it is here, as a rule.
        if let Some(body) = link.inlet.take_body() {
            exchange.passed(body.len() as u64);
            exchange.complete(Some(link));
            let body = if body.is_empty() { AnswerBody::Empty } else { AnswerBody::Full(Some(body)) };
            return Ok(response.map(|()| body));
        }
    }
    exchange.control().enter(Phase::Answer);
    let body = LinkBody::new(exchange, link, outlet, asker);
    Ok(response.map(|()| AnswerBody::Link(Box::new(body))))
}

/// The head of the answer for the client, how its body is delimited, and whether the target's connection is kept.
fn answer_head<'a, F: Iterator<Item = Field<'a>> + Clone>(
    exchange: &Exchange,
    status: u16,
    version: Version,
    fields: F,
    read_from: &Bytes,
    head: bool,
    cookie: Option<String>,
) -> Result<(Response<()>, AnswerLength, bool), Reason> {
    let asked = Asked { head, websocket: false };
    let answer = convoy_hygiene::Answer::check(status, version, fields, asked)?;
    let mut headers = HeaderMap::with_capacity(FIELDS);
    let rule = exchange.route.as_ref().map(|route| &route.rule);
    let hsts = rule.and_then(|rule| rule.hsts.as_ref()).filter(|_| exchange.client.door.tls.is_some());
    let mut sink =
        Ruled::new(Map { headers: &mut headers, head: read_from }, rule.map(|rule| &rule.response_fields));
    sink.replace(hsts.map(|hsts| (&STRICT_TRANSPORT_SECURITY, hsts)));
    answer.pass(&mut sink);
    sink.finish();
    if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::from_maybe_shared(Bytes::from(cookie)).ok()) {
        headers.append(SET_COOKIE, cookie);
    }
    if !answer.has_date
        && let Ok(date) = HeaderValue::from_str(&exchange.client.worker.date())
    {
        headers.insert(DATE, date);
    }
    if let Some(length) = answer.content_length {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).map_err(|_| Reason::Protocol)?;
    *response.headers_mut() = headers;
    Ok((response, answer.length, answer.keeps))
}
