//! The head of an answer for a client of HTTP/2.

use bytes::Bytes;
use convoy_hygiene::{AnswerLength, Asked, Field};
use http::header::{CONTENT_LENGTH, DATE, SET_COOKIE, STRICT_TRANSPORT_SECURITY};
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version};

use crate::exchange::Exchange;
use crate::fields::{Map, Ruled};
use crate::reason::Reason;

/// Most answers have no more fields.
const FIELDS: usize = 16;

/// The head of the answer for the client, how its body is delimited, and whether the target's connection is kept.
pub(crate) fn answer_head<'a, F: Iterator<Item = Field<'a>> + Clone>(
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
