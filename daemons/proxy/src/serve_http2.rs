//! A request of HTTP/2 is read: answer it, by a target or ourselves.

use std::rc::Rc;

use bytes::Bytes;
use convoy_http1::{Answer, Body as Framing, Space};
use convoy_hygiene::{AnswerLength, Survey, Target};
use h2::RecvStream;
use h2::server::SendResponse;
use http::{Request, Response, Version};

use crate::answer::{refusal, wants_page};
use crate::attempts::{Arrived, attended};
use crate::connection::Client;
use crate::control::Phase;
use crate::exchange::{Exchange, FirstLine};
use crate::fields::listed;
use crate::forward::{Decision, Outgoing, Plan, decide};
use crate::frames::Frames;
use crate::head_http2::answer_head;
use crate::link::Link;
use crate::outlet::Outlet;
use crate::pass_on::{ByFrames, ByLink, Ended, pass_on};
use crate::reason::Reason;
use crate::source::Source;
use crate::turn_http2::{Ahead, Http2Turn};

/// A request, read and decided upon.
struct Begun {
    exchange: Box<Exchange>,
    decision: Result<Decision, Reason>,
    body: Frames,
    /// The client is a browser.
    page: bool,
    /// It wants the head alone.
    head: bool,
}

/// Answers one request.
pub(crate) async fn serve(client: Rc<Client>, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
    let worker = Rc::clone(&client.worker);
    let Begun { exchange, decision, body, page, head } = begin(client, request);
    let mut asker = Http2Turn::new(respond, body, exchange.transfer.clone());
    let (exchange, reason) = match decision {
        Ok(Decision::Answer(response)) => {
            exchange.said(response.status(), response.body().len() as u64);
            return asker.say(response, head, &worker.date());
        }
        Ok(Decision::Forward(plan)) => match forward(exchange, &mut asker, plan, head).await {
            Ok(ended) => return end(&mut asker, ended),
            Err(given_back) => given_back,
        },
        Err(reason) => (exchange, reason),
    };
    if reason != Reason::ClientClosed {
        let response = refusal(reason, exchange.request_id(), page);
        exchange.refused(reason, response.body().len() as u64);
        asker.say(response, head, &worker.date());
    }
}

/// Tells the client of an answer that is not complete.
fn end(asker: &mut Http2Turn, ended: Ended) {
    match ended {
        Ended::Complete { .. } => {}
        Ended::BrokeOff => asker.reset(h2::Reason::INTERNAL_ERROR),
        Ended::Cut => asker.reset(h2::Reason::CANCEL),
    }
}

/// Looks at the head, and decides.
fn begin(client: Rc<Client>, request: Request<RecvStream>) -> Begun {
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
    let (page, head) = (wants_page(survey.accept), method == "HEAD");
    Begun { exchange, decision, page, head, body: Frames::of_request(body) }
}

/// Lets a target answer. Gives the exchange back when none does.
async fn forward(
    mut exchange: Box<Exchange>,
    asker: &mut Http2Turn,
    plan: Plan,
    head: bool,
) -> Result<Ended, (Box<Exchange>, Reason)> {
    let Plan { pool, attempts, mut request, waits } = plan;
    asker.set_waits(waits);
    if let Some(gate) = &pool.gate {
        exchange.place = match attended(&exchange, asker, Box::pin(gate.enter())).await {
            Ok(Some(place)) => Some(place),
            Ok(None) => return Err((exchange, Reason::Busy)),
            Err(reason) => return Err((exchange, reason)),
        };
    }
    let sent = attempts.send(&mut exchange, pool, &mut request, asker).await;
    match (sent, request) {
        (Ok((Arrived::Http1(link, length), cookie)), Outgoing::Http1(request)) => {
            by_link(exchange, asker, (link, length), request, head, cookie).await
        }
        (Ok((Arrived::Http2(response), cookie)), Outgoing::Http2(mut request)) => {
            let (parts, answer) = response.into_parts();
            let fields = listed(&parts.headers);
            let (status, fields) = (parts.status.as_u16(), fields.iter().copied());
            let elsewhere = Bytes::new();
            let made = answer_head(&exchange, status, Version::HTTP_2, fields, &elsewhere, head, cookie);
            let Ok((response, length, _)) = made else { return Err((exchange, Reason::Protocol)) };
            let is_all = length == AnswerLength::None || answer.is_last();
            let body = if is_all { Ahead::Nothing } else { Ahead::Later };
            if asker.respond(response, body).is_err() {
                return unheard(exchange, asker);
            }
            let behind = ByFrames { answer, request: request.body.as_mut() };
            Ok(Box::pin(pass_on(exchange, asker, behind)).await)
        }
        (Ok(_), _) => Err((exchange, Reason::Protocol)),
        (Err(reason), _) => Err((exchange, reason)),
    }
}

/// An answer's head could not be sent: the client has left, or it is none for HTTP/2.
fn unheard(exchange: Box<Exchange>, asker: &mut Http2Turn) -> Result<Ended, (Box<Exchange>, Reason)> {
    if asker.is_gone() { Ok(Ended::Cut) } else { Err((exchange, Reason::Protocol)) }
}

/// The answer that a target gives over HTTP/1.1, with a head of so many bytes.
async fn by_link(
    exchange: Box<Exchange>,
    asker: &mut Http2Turn,
    (mut link, length): (Box<Link>, usize),
    mut outlet: Outlet,
    head: bool,
    cookie: Option<String>,
) -> Result<Ended, (Box<Exchange>, Reason)> {
    let Ok(response) = head_from_link(&exchange, &mut link, length, head, cookie) else {
        return Err((exchange, Reason::Protocol));
    };
    let worker = Rc::clone(&exchange.client.worker);
    let body = if link.inlet.is_over() { Ahead::Nothing } else { Ahead::Later };
    if asker.respond(response, body).is_err() {
        return unheard(exchange, asker);
    }
    let behind = ByLink { link, request: &mut outlet, buffers: &worker.buffers };
    let ended = pass_on(exchange, asker, behind).await;
    worker.buffers.give_head(outlet.finish());
    Ok(ended)
}

/// Takes an answer's head of so many bytes off the link.
fn head_from_link(
    exchange: &Exchange,
    link: &mut Link,
    length: usize,
    head: bool,
    cookie: Option<String>,
) -> Result<Response<()>, Reason> {
    let bytes = Bytes::copy_from_slice(link.inlet.bytes().get(..length).unwrap_or_default());
    let mut space = Space::default();
    let answer = Answer::parse(&bytes, &mut space).map_err(|_| Reason::Protocol)?;
    let (response, length_of_body, keeps) =
        answer_head(exchange, answer.status, answer.version, answer.fields(), &bytes, head, cookie)?;
    let framing = match length_of_body {
        AnswerLength::None => Framing::none(),
        AnswerLength::Exactly(length) => Framing::of_length(length),
        AnswerLength::Chunked => Framing::chunked(),
        AnswerLength::ToTheEnd => Framing::to_the_end(),
    };
    link.keeps = keeps && length_of_body != AnswerLength::ToTheEnd;
    link.inlet.begin_body(length, framing);
    Ok(response)
}
