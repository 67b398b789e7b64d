//! An answer on its way to a client of HTTP/1.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use convoy_http1::{Answer, Body, Delimit, Space, write_field, write_status_line};
use convoy_hygiene::{AnswerLength, Asked, Field};
use http::header::STRICT_TRANSPORT_SECURITY;
use http::{Version, response};

use crate::asker::Asker;
use crate::buffer::Buffers;
use crate::control::{Phase, Verdict};
use crate::exchange::Exchange;
use crate::fields::{Lines, Ruled, listed};
use crate::forward::Outgoing;
use crate::front::Front;
use crate::link::Link;
use crate::outlet::Failure;
use crate::reason::Reason;
use crate::serve_http1::After;
use crate::source::{Frames, Source};
use crate::turn::{End, Manner, Turn};

/// An answer's head that is on its way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    /// The connection becomes a tunnel.
    pub(crate) switches: bool,
    /// The client's connection ends behind it.
    closes: bool,
}

/// Reads an answer's head of so many bytes, and writes it for the client.
pub(crate) fn head_from_link(
    exchange: &Exchange,
    front: &mut Front,
    link: &mut Link,
    length: usize,
    websocket: bool,
    manner: Manner,
    cookie: Option<String>,
) -> Result<Written, Reason> {
    let bytes = link.inlet.bytes().get(..length).unwrap_or_default();
    let mut space = Space::default();
    let answer = Answer::parse(bytes, &mut space).map_err(|_| Reason::Protocol)?;
    let asked = Asked { head: manner.head, websocket };
    let checked = convoy_hygiene::Answer::check(answer.status, answer.version, answer.fields(), asked)?;
    let (body, end) = match (checked.length, checked.content_length) {
        (AnswerLength::None, Some(length)) => (Body::none(), End::Length(length)),
        (AnswerLength::None, None) => (Body::none(), End::Head),
        (AnswerLength::Exactly(length), _) => (Body::of_length(length), End::Length(length)),
        (AnswerLength::Chunked, _) => (Body::chunked(), manner.open_end()),
        (AnswerLength::ToTheEnd, _) => (Body::to_the_end(), manner.open_end()),
    };
    link.keeps = checked.keeps && checked.length != AnswerLength::ToTheEnd;
    let written = write_head(exchange, front, (answer.status, answer.reason), &checked, end, manner, cookie);
    drop(checked);
    link.inlet.begin_body(length, body);
    Ok(written)
}

/// The same for an answer over HTTP/2.
pub(crate) fn head_from_http2(
    exchange: &Exchange,
    front: &mut Front,
    parts: &response::Parts,
    frames: &Frames,
    manner: Manner,
    cookie: Option<String>,
) -> Result<Written, Reason> {
    let fields = listed(&parts.headers);
    let asked = Asked { head: manner.head, websocket: false };
    let status = parts.status;
    let checked =
        convoy_hygiene::Answer::check(status.as_u16(), Version::HTTP_2, fields.iter().copied(), asked)?;
    let end = match (checked.length, checked.content_length) {
        (AnswerLength::None, None) => End::Head,
        (_, Some(length)) => End::Length(length),
        _ if frames.is_last() => End::Length(0),
        _ => manner.open_end(),
    };
    let line = (status.as_u16(), status.canonical_reason().unwrap_or_default());
    Ok(write_head(exchange, front, line, &checked, end, manner, cookie))
}

fn write_head<'a, F: Iterator<Item = Field<'a>> + Clone>(
    exchange: &Exchange,
    front: &mut Front,
    (status, reason): (u16, &str),
    answer: &convoy_hygiene::Answer<'a, F>,
    end: End,
    manner: Manner,
    cookie: Option<String>,
) -> Written {
    let worker = &exchange.client.worker;
    front.outlet.lend(|| worker.buffers.take_head());
    let out = front.outlet.staged();
    write_status_line(out, status, reason);
    let rule = exchange.route.as_ref().map(|route| &route.rule);
    let hsts = rule.and_then(|rule| rule.hsts.as_ref()).filter(|_| exchange.client.door.tls.is_some());
    let mut sink = Ruled::new(Lines(out), rule.map(|rule| &rule.response_fields));
    sink.replace(hsts.map(|hsts| (&STRICT_TRANSPORT_SECURITY, hsts)));
    answer.pass(&mut sink);
    sink.finish();
    if let Some(cookie) = cookie {
        write_field(out, ("set-cookie", cookie.as_bytes()));
    }
    if !answer.has_date {
        write_field(out, ("date", worker.date().as_bytes()));
    }
    let switches = status == 101;
    // Answered before it was asked in full: the answer is sent, then the connection ends.
    let closes = manner.closes || end == End::Connection || exchange.body_is_incomplete();
    if switches {
        out.extend_from_slice(b"\r\n");
    } else {
        manner.finish_head(out, end, closes);
    }
    let delimit = if end == End::Chunks { Delimit::Chunks } else { Delimit::Plain };
    front.outlet.begin(delimit, manner.trailers);
    Written { switches, closes }
}

/// The target's side of an answer on its way.
pub(crate) trait Behind {
    /// Passes the answer's body on.
    fn poll_answer(&mut self, cx: &mut Context<'_>, front: &mut Front) -> Poll<Ended>;

    /// Passes the rest of the request on.
    fn poll_request(&mut self, cx: &mut Context<'_>, turn: &mut Turn<'_>) -> Poll<Result<(), Reason>>;

    /// The connection, where it may be used again.
    fn into_link(self) -> Option<Box<Link>>;
}

/// How it ended that an answer was passed on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ended {
    Complete,
    /// The target broke off.
    BrokeOff,
    /// The client did, or its time is over.
    Cut,
}

impl Ended {
    fn of<E>(outcome: &Result<(), Failure<E>>) -> Self {
        match outcome {
            Ok(()) => Self::Complete,
            Err(Failure::Source(_)) => Self::BrokeOff,
            Err(Failure::Write) => Self::Cut,
        }
    }
}

/// A target that speaks HTTP/1.1.
pub(crate) struct ByLink<'a> {
    pub(crate) link: Box<Link>,
    pub(crate) request: &'a mut Outgoing,
    pub(crate) buffers: &'a Buffers,
}

impl Behind for ByLink<'_> {
    fn poll_answer(&mut self, cx: &mut Context<'_>, front: &mut Front) -> Poll<Ended> {
        front
            .outlet
            .poll(cx, &mut front.io, &mut self.link.source(self.buffers))
            .map(|outcome| Ended::of(&outcome))
    }

    fn poll_request(&mut self, cx: &mut Context<'_>, turn: &mut Turn<'_>) -> Poll<Result<(), Reason>> {
        let Outgoing::Http1(outlet) = &mut *self.request else { return Poll::Ready(Ok(())) };
        turn.poll_request(cx, outlet, &mut self.link.stream).map(|outcome| match outcome {
            // Who has answered need not read the rest.
            Ok(()) | Err(Failure::Write) => Ok(()),
            Err(Failure::Source(reason)) => Err(reason),
        })
    }

    fn into_link(self) -> Option<Box<Link>> {
        Some(self.link)
    }
}

impl Behind for Frames {
    fn poll_answer(&mut self, cx: &mut Context<'_>, front: &mut Front) -> Poll<Ended> {
        front.outlet.poll(cx, &mut front.io, self).map(|outcome| Ended::of(&outcome))
    }

    fn poll_request(&mut self, cx: &mut Context<'_>, turn: &mut Turn<'_>) -> Poll<Result<(), Reason>> {
        turn.poll_hand_over(cx)
    }

    fn into_link(self) -> Option<Box<Link>> {
        None
    }
}

/// Passes an answer on whose head is written.
pub(crate) async fn pass_on(
    mut exchange: Box<Exchange>,
    mut turn: Turn<'_>,
    mut behind: impl Behind,
    written: Written,
) -> After {
    let client = Rc::clone(&exchange.client);
    client.control.enter(Phase::Answer);
    let mut is_sent = !exchange.body_is_incomplete();
    let ended = poll_fn(|cx| {
        client.control.register(cx.waker());
        if client.control.verdict() == Verdict::Cut {
            return Poll::Ready(Ended::Cut);
        }
        let before = turn.front.outlet.passed();
        let polled = behind.poll_answer(cx, turn.front);
        let passed = turn.front.outlet.passed() - before;
        if passed > 0 {
            exchange.passed(passed);
        }
        if polled.is_ready() {
            return polled;
        }
        if !is_sent {
            match behind.poll_request(cx, &mut turn) {
                Poll::Ready(Err(_)) => return Poll::Ready(Ended::Cut),
                Poll::Ready(Ok(())) => is_sent = true,
                Poll::Pending => return Poll::Pending,
            }
        }
        turn.front.poll_left(cx, &client.worker.buffers).map(|()| Ended::Cut)
    })
    .await;
    match ended {
        Ended::Complete => {
            let is_incomplete = exchange.body_is_incomplete();
            exchange.complete(behind.into_link());
            match (is_incomplete, written.closes) {
                (true, _) => After::Linger,
                (false, true) => After::Close,
                (false, false) => After::Keep,
            }
        }
        Ended::BrokeOff => {
            exchange.broke_off();
            After::Cut
        }
        Ended::Cut => After::Cut,
    }
}
