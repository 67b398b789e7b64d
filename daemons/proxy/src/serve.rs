//! A request is read: answer it, by a target or ourselves.

use std::convert::Infallible;
use std::rc::Rc;

use convoy_hygiene::{X_REQUEST_ID, check_answer, prepare_answer};
use http::header::{CONNECTION, SET_COOKIE, STRICT_TRANSPORT_SECURITY};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::{Body, Incoming};
use hyper::upgrade::OnUpgrade;

use crate::answer::{refusal, wants_page};
use crate::body::AnswerBody;
use crate::connection::Client;
use crate::control::Phase;
use crate::exchange::Exchange;
use crate::forward::{Answered, forward};
use crate::reason::Reason;
use crate::tunnel;

const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// Answers one request.
pub(crate) async fn serve(
    client: Rc<Client>,
    mut request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    let worker = Rc::clone(&client.worker);
    let started = worker.clock.refresh();
    let version = request.version();
    let stream = (version == Version::HTTP_2).then(|| client.begin_stream());
    stream.as_ref().map_or(&client.control, |stream| &stream.control).enter(Phase::Request);
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let (parts, body) = request.into_parts();
    let looped = worker.is_own_id(parts.headers.get(X_REQUEST_ID));
    let trusted_id = parts.headers.get(X_REQUEST_ID).filter(|_| client.origin.trusted && !looped);
    let request_id = trusted_id.cloned().unwrap_or_else(|| worker.next_request_id());
    let page = wants_page(&parts.headers);
    let mut exchange = Exchange::begin(Rc::clone(&client), stream, started, request_id, &parts);
    let outcome = if looped {
        Err(Reason::Loop)
    } else if client.shed {
        Err(Reason::Overload)
    } else {
        forward(&mut exchange, parts, body).await
    };
    let mut response = match outcome {
        Ok(Answered::ByTarget { response, websocket, cookie }) => {
            let upgrade = upgrade.filter(|_| websocket);
            let (parts, body) = response.into_parts();
            match check_answer(&parts, upgrade.is_some()) {
                Ok(()) => pass_on(exchange, Response::from_parts(parts, body), upgrade, cookie),
                // Whatever is wrong with it, it is the target's fault.
                Err(_) => refuse(exchange, Reason::Protocol, page),
            }
        }
        Ok(Answered::ByUs(response)) => {
            exchange.said(response.status(), response.body().size_hint().exact().unwrap_or(0));
            response
        }
        Err(reason) => refuse(exchange, reason, page),
    };
    if (client.shed || worker.is_draining())
        && version != Version::HTTP_2
        && response.status() != StatusCode::SWITCHING_PROTOCOLS
    {
        response.headers_mut().insert(CONNECTION, CLOSE);
    }
    Ok(response)
}

fn refuse(exchange: Box<Exchange>, reason: Reason, page: bool) -> Response<AnswerBody> {
    let mut response = refusal(reason, &exchange.request_id, page);
    if (reason.ends_connection() || exchange.body_is_incomplete()) && !exchange.has_own_control() {
        exchange.client.control.set_lingers();
        response.headers_mut().insert(CONNECTION, CLOSE);
    }
    exchange.refused(reason, response.body().size_hint().exact().unwrap_or(0));
    response
}

fn pass_on(
    mut exchange: Box<Exchange>,
    mut response: Response<Incoming>,
    upgrade: Option<OnUpgrade>,
    cookie: Option<HeaderValue>,
) -> Response<AnswerBody> {
    let status = response.status();
    let upgrade = upgrade.filter(|_| status == StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    prepare_answer(headers, status, upgrade.is_some());
    if let Some(route) = &exchange.route {
        route.rule.response_fields.apply(headers);
        if let Some(hsts) = &route.rule.hsts
            && exchange.client.door.tls.is_some()
        {
            headers.insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
    }
    if let Some(cookie) = cookie {
        headers.append(SET_COOKIE, cookie);
    }
    *response.version_mut() = exchange.version().max(Version::HTTP_11);
    if let Some(client) = upgrade {
        let target = hyper::upgrade::on(&mut response);
        exchange.answered(status, None);
        tokio::task::spawn_local(tunnel::run(client, target, exchange));
        return response.map(|_| AnswerBody::Empty);
    }
    if exchange.body_is_incomplete() && !exchange.has_own_control() {
        // Answered before it was asked in full: the answer is sent, then the connection ends.
        exchange.client.control.set_lingers();
        response.headers_mut().insert(CONNECTION, CLOSE);
    }
    response.map(|body| {
        if body.is_end_stream() {
            exchange.complete();
            AnswerBody::Empty
        } else {
            exchange.control().enter(Phase::Answer);
            AnswerBody::Stream(body, Some(exchange))
        }
    })
}
