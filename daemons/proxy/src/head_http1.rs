//! The head of an answer for a client of HTTP/1.

use convoy_http1::{Answer, Body, Delimit, Space, write_field, write_status_line};
use convoy_hygiene::{AnswerLength, Asked, Field};
use http::header::STRICT_TRANSPORT_SECURITY;
use http::{Version, response};

use crate::exchange::Exchange;
use crate::fields::{Lines, Ruled, listed};
use crate::frames::Frames;
use crate::front::Front;
use crate::link::Link;
use crate::reason::Reason;
use crate::source::Source;
use crate::turn::{End, Manner};

/// An answer's head that is on its way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    /// The connection becomes a tunnel.
    pub(crate) switches: bool,
    /// The client's connection ends behind it.
    pub(crate) closes: bool,
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
    frames: &mut Frames,
    manner: Manner,
    cookie: Option<String>,
) -> Result<Written, Reason> {
    let fields = listed(&parts.headers);
    let asked = Asked { head: manner.head, websocket: false };
    let status = parts.status;
    let checked =
        convoy_hygiene::Answer::check(status.as_u16(), Version::HTTP_2, fields.iter().copied(), asked)?;
    if checked.length == AnswerLength::None {
        frames.end();
    }
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
