//! A request of HTTP/1 is read: answer it, by a target or ourselves.

use std::rc::Rc;

use bytes::Bytes;
use convoy_http1::{Body, HeadError, Request, Space, write_field, write_status_line};
use convoy_hygiene::{Length, Survey, Target};
use http::{Response, StatusCode, Version};

use crate::answer::{refusal, wants_page};
use crate::attempts::{Arrived, attended};
use crate::connection::Client;
use crate::control::Phase;
use crate::exchange::{Exchange, FirstLine};
use crate::forward::{Decision, Outgoing, Plan, decide};
use crate::front::Front;
use crate::head_http1::{Written, head_from_http2, head_from_link};
use crate::pass_on::{ByFrames, ByLink, Ended, pass_on};
use crate::reason::Reason;
use crate::tunnel;
use crate::turn::{End, Manner, Turn};

/// What becomes of the connection behind an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    Keep,
    Close,
    /// The client may still be sending.
    Linger,
    /// At once: somebody broke off.
    Cut,
}

/// A request, read and decided upon.
struct Begun {
    exchange: Box<Exchange>,
    decision: Result<Decision, Reason>,
    manner: Manner,
    /// The client is a browser.
    page: bool,
    /// Where the body ends, nobody can say.
    endless: bool,
}

/// Answers the request whose head has so many bytes.
pub(crate) async fn serve(client: &Rc<Client>, front: &mut Front, head: usize) -> After {
    let Begun { mut exchange, decision, mut manner, page, endless } = match begin(client, front, head) {
        Ok(begun) => begun,
        Err(error) => {
            client.worker.counters.malformed.add(1);
            tracing::debug!(CLIENT = %client.address, %error, "a request is no HTTP");
            return Box::pin(reject(client, front, error)).await;
        }
    };
    manner.closes |= client.shed || client.worker.is_draining();
    let reason = match decision {
        Ok(Decision::Forward(plan)) => match forward(exchange, front, plan, manner).await {
            Ok(after) => return after,
            Err((given_back, reason)) => {
                exchange = given_back;
                reason
            }
        },
        Ok(Decision::Answer(response)) => {
            manner.closes |= !front.inlet.discard_body();
            let size = response.body().len() as u64;
            exchange.said(response.status(), size);
            return Box::pin(say(client, front, response, manner)).await;
        }
        Err(reason) => reason,
    };
    if reason == Reason::ClientClosed {
        return After::Cut;
    }
    let response = refusal(reason, exchange.request_id(), page);
    manner.closes |= endless || reason.ends_connection() || !front.inlet.discard_body();
    exchange.refused(reason, response.body().len() as u64);
    Box::pin(say(client, front, response, manner)).await
}

/// Reads the head, and decides.
fn begin(client: &Rc<Client>, front: &mut Front, head: usize) -> Result<Begun, HeadError> {
    let bytes = front.inlet.bytes().get(..head).unwrap_or_default();
    let (begun, body) = read(client, bytes)?;
    front.inlet.begin_body(head, body);
    front.inlet.rest(&client.worker.buffers);
    Ok(begun)
}

fn read(client: &Rc<Client>, head: &[u8]) -> Result<(Begun, Body), HeadError> {
    let mut space = Space::default();
    let request = Request::parse(head, &mut space)?;
    let started = client.worker.clock.refresh();
    client.control.enter(Phase::Request);
    let version = request.version;
    let survey = Survey::of(request.fields());
    let path = path(request.target);
    let line = FirstLine { method: request.method, authority: None, path, version };
    let mut exchange = Exchange::begin(Rc::clone(client), None, started, line, &survey);
    let decision = decide(&mut exchange, request.method, Target::Line(request.target), &survey);
    let length = survey.length(version);
    let manner = Manner {
        version,
        head: request.method == "HEAD",
        closes: survey.wants_close(version),
        trailers: survey.takes_trailers,
    };
    let page = wants_page(survey.accept);
    let body = match length {
        Ok(Length::None) | Err(_) => Body::none(),
        Ok(Length::Exactly(length)) => Body::of_length(length),
        Ok(Length::Unknown) => Body::chunked(),
    };
    Ok((Begun { exchange, decision, manner, page, endless: length.is_err() }, body))
}

/// Path and query of a target, for the log.
fn path(target: &str) -> &str {
    if target.starts_with('/') || target == "*" {
        return target;
    }
    let rest = target.split_once("://").and_then(|(_, rest)| rest.get(rest.find(['/', '?'])?..));
    rest.unwrap_or("/")
}

/// Answers what is no request.
pub(crate) async fn reject(client: &Client, front: &mut Front, error: HeadError) -> After {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = match error {
        HeadError::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        HeadError::Malformed | HeadError::BareLineFeed => StatusCode::BAD_REQUEST,
    };
    let manner = Manner { version: Version::HTTP_11, head: false, closes: true, trailers: false };
    say(client, front, response, manner).await
}

/// Sends an answer of our own.
async fn say(client: &Client, front: &mut Front, response: Response<Bytes>, manner: Manner) -> After {
    let worker = &client.worker;
    front.outlet.lend(|| worker.buffers.take_head());
    let out = front.outlet.staged();
    let status = response.status();
    write_status_line(out, status.as_u16(), status.canonical_reason().unwrap_or_default());
    for (name, value) in response.headers() {
        write_field(out, (name.as_str(), value.as_bytes()));
    }
    write_field(out, ("date", worker.date().as_bytes()));
    manner.finish_head(out, End::Length(response.body().len() as u64), manner.closes);
    if !manner.head {
        out.extend_from_slice(response.body());
    }
    match front.flush(&client.control).await {
        Ok(()) if manner.closes => After::Linger,
        Ok(()) => After::Keep,
        Err(_) => After::Cut,
    }
}

/// Lets a target answer. Gives the exchange back when none does.
async fn forward(
    mut exchange: Box<Exchange>,
    front: &mut Front,
    plan: Plan,
    manner: Manner,
) -> Result<After, (Box<Exchange>, Reason)> {
    let client = Rc::clone(&exchange.client);
    let Plan { pool, attempts, mut request, waits } = plan;
    let buffers = &client.worker.buffers;
    let mut turn = Turn::new(front, buffers, manner, exchange.transfer.clone(), waits);
    if let Some(gate) = &pool.gate {
        let place = attended(&exchange, &mut turn, Box::pin(gate.enter())).await;
        exchange.place = match place {
            Ok(Some(place)) => Some(place),
            Ok(None) => return Err((exchange, Reason::Busy)),
            Err(reason) => return Err((exchange, reason)),
        };
    }
    let sent = attempts.send(&mut exchange, pool, &mut request, &mut turn).await;
    let after = match (sent, &mut request) {
        (Ok((Arrived::Http1(mut link, head), cookie)), Outgoing::Http1(request)) => {
            let written =
                head_from_link(&exchange, turn.front, &mut link, head, attempts.tunnel, manner, cookie);
            match written {
                Ok(written) if written.switches => {
                    Ok(Box::pin(tunnel::run(exchange, turn.front, link)).await)
                }
                Ok(written) => {
                    let behind = ByLink { link, request, buffers };
                    Ok(written.after(pass_on(exchange, &mut turn, behind).await))
                }
                // Whatever is wrong with it, it is the target's fault.
                Err(_) => Err((exchange, Reason::Protocol)),
            }
        }
        (Ok((Arrived::Http2(response), cookie)), Outgoing::Http2(request)) => {
            let (parts, mut answer) = response.into_parts();
            match head_from_http2(&exchange, turn.front, &parts, &mut answer, manner, cookie) {
                Ok(written) => {
                    let behind = ByFrames { answer, request: request.body.as_mut() };
                    Ok(written.after(Box::pin(pass_on(exchange, &mut turn, behind)).await))
                }
                Err(_) => Err((exchange, Reason::Protocol)),
            }
        }
        (Ok(_), _) => Err((exchange, Reason::Protocol)),
        (Err(reason), _) => Err((exchange, reason)),
    };
    if let Outgoing::Http1(outlet) = &mut request {
        buffers.give_head(outlet.finish());
    }
    after
}

impl Written {
    /// What becomes of the connection when the answer has ended like this.
    fn after(self, ended: Ended) -> After {
        match ended {
            Ended::Complete { is_early: true } => After::Linger,
            Ended::Complete { is_early: false } if self.closes => After::Close,
            Ended::Complete { is_early: false } => After::Keep,
            Ended::BrokeOff | Ended::Cut => After::Cut,
        }
    }
}
