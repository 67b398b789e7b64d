//! One request from its head to the end of its answer: who has it, how long it took, and what it comes to.

use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use http::header::{HOST, REFERER, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, Version, request};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::body::Transfer;
use crate::connection::{Client, Stream};
use crate::control::{Control, Phase};
use crate::pool::{Pool, Route};
use crate::reason::Reason;
use crate::record::Record;
use crate::sender::Sender;
use crate::upstream::Upstream;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Dropping it ends it: the target's count goes down and the request is logged, whatever the reason.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) client: Rc<Client>,
    pub(crate) request_id: HeaderValue,
    pub(crate) route: Option<Rc<Route>>,
    /// Of the service that answers, which need not be the route's.
    pub(crate) pool: Option<Rc<Pool>>,
    /// A place among those that the service works on at a time.
    pub(crate) place: Option<OwnedSemaphorePermit>,
    pub(crate) transfer: Option<Rc<Transfer>>,
    pub(crate) retries: u32,
    pub(crate) started: Instant,
    /// In HTTP/2 each request has a control; otherwise the connection's is the request's.
    stream: Option<Stream>,
    method: Method,
    uri: Uri,
    version: Version,
    host: Option<HeaderValue>,
    trace: Option<HeaderValue>,
    referer: Option<HeaderValue>,
    agent: Option<HeaderValue>,
    upstream: Option<Rc<Upstream>>,
    sent: Option<Instant>,
    upstream_time: Option<Duration>,
    sender: Option<Sender>,
    status: Option<StatusCode>,
    reason: Option<Reason>,
    bytes: u64,
    complete: bool,
}

impl Exchange {
    pub(crate) fn begin(
        client: Rc<Client>,
        stream: Option<Stream>,
        started: Instant,
        request_id: HeaderValue,
        parts: &request::Parts,
    ) -> Box<Self> {
        let wanted =
            |name: HeaderName| parts.headers.get(name).filter(|_| client.worker.wants_agent).cloned();
        let (referer, agent) = (wanted(REFERER), wanted(USER_AGENT));
        // In HTTP/2 the host is in the target; the field is made from it only later.
        let authority = || HeaderValue::from_str(parts.uri.authority()?.as_str()).ok();

        Box::new(Self {
            client,
            request_id,
            route: None,
            pool: None,
            place: None,
            stream,
            transfer: None,
            retries: 0,
            started,
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            version: parts.version,
            host: parts.headers.get(HOST).cloned().or_else(authority),
            trace: parts.headers.get(TRACEPARENT).cloned(),
            referer,
            agent,
            upstream: None,
            sent: None,
            upstream_time: None,
            sender: None,
            status: None,
            reason: None,
            bytes: 0,
            complete: false,
        })
    }

    /// This target has it now.
    pub(crate) fn turn_to(&mut self, upstream: Rc<Upstream>) {
        self.leave_upstream();
        upstream.begin();
        self.upstream = Some(upstream);
    }

    /// The request goes out at this moment.
    pub(crate) fn sending(&mut self, now: Instant) {
        self.sent = Some(now);
    }

    /// The head of the answer is there.
    pub(crate) fn answered(&mut self, status: StatusCode, sender: Option<Sender>) {
        let worker = &self.client.worker;
        self.upstream_time = self.sent.map(|sent| worker.clock.refresh().duration_since(sent));
        if let (Some(upstream), Some(took)) = (&self.upstream, self.upstream_time) {
            upstream.measured(worker.clock.now(), took);
        }
        self.status = Some(status);
        self.sender = sender;
    }

    /// Moves what is on its way from the target.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(sender) = &mut self.sender {
            sender.drive(cx);
        }
    }

    /// So many bytes of the answer's body went by.
    pub(crate) fn passed(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.control().progress();
    }

    /// What watches over the time that this request takes.
    pub(crate) fn control(&self) -> &Arc<Control> {
        self.stream.as_ref().map_or(&self.client.control, |stream| &stream.control)
    }

    /// Whether that is not the connection's.
    pub(crate) fn has_own_control(&self) -> bool {
        self.stream.is_some()
    }

    /// The version that the client speaks.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// We answer ourselves, because somebody wants it so: with this status and so many bytes.
    pub(crate) fn said(mut self: Box<Self>, status: StatusCode, bytes: u64) {
        self.bytes = bytes;
        self.status = Some(status);
        self.complete = true;
    }

    /// The answer was passed on in full.
    pub(crate) fn complete(mut self: Box<Self>) {
        self.complete = true;
    }

    /// The target broke off in the middle of its answer.
    pub(crate) fn broke_off(mut self: Box<Self>) {
        self.reason = Some(Reason::Reset);
    }

    /// A tunnel is over.
    pub(crate) fn tunnelled(mut self: Box<Self>, bytes: u64) {
        self.bytes = bytes;
        self.complete = true;
    }

    /// We answer ourselves, with so many bytes.
    pub(crate) fn refused(mut self: Box<Self>, reason: Reason, bytes: u64) {
        self.bytes = bytes;
        // Where an answer was refused, nobody knows where the next one begins.
        self.sender = None;
        self.client.worker.counters.refused(reason);
        self.reason = Some(reason);
        self.status = Some(reason.status());
        self.complete = true;
    }

    /// Whether the client's body is still on its way although the answer is there.
    pub(crate) fn body_is_incomplete(&self) -> bool {
        self.transfer.as_ref().is_some_and(|transfer| !transfer.complete.get())
    }

    fn leave_upstream(&mut self) {
        if let Some(upstream) = self.upstream.take() {
            upstream.end();
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let worker = Rc::clone(&self.client.worker);
        if self.complete
            && !self.body_is_incomplete()
            && let (Some(upstream), Some(sender)) = (&self.upstream, self.sender.take())
        {
            upstream.give_back(sender, &worker);
        }
        if !self.complete && self.reason.is_none() {
            worker.counters.refused(Reason::ClientClosed);
            self.reason = Some(Reason::ClientClosed);
            if self.stream.is_some() {
                self.client.stream_taken_back();
            }
        }
        let total_time = worker.clock.refresh().duration_since(self.started);
        let status = self.status.unwrap_or_else(|| Reason::ClientClosed.status()).as_u16();
        let pool = self.pool.as_ref().or(self.route.as_ref().map(|route| &route.pool));
        if let Some(pool) = pool {
            pool.counters.count(status, total_time, self.retries, self.bytes);
        }
        worker.log(&Record {
            request_id: self.request_id.to_str().unwrap_or("-"),
            client: self.client.address,
            method: self.method.as_str(),
            host: self.host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or("-"),
            path: self.uri.path_and_query().map_or("/", |path| path.as_str()),
            status,
            version: match self.version {
                Version::HTTP_10 => "HTTP/1.0",
                Version::HTTP_2 => "HTTP/2.0",
                _ => "HTTP/1.1",
            },
            tls: self.client.door.tls.is_some(),
            route: pool.map_or("-", |pool| pool.service.app().as_str()),
            via: self.upstream.as_ref().map_or("-", |upstream| upstream.target.tier().as_str()),
            upstream: self.upstream.as_ref().map_or("-", |upstream| upstream.target.address_text()),
            upstream_time: self.upstream_time,
            total_time,
            bytes: self.bytes,
            retries: self.retries,
            reason: self.reason.map_or("", Reason::as_str),
            trace: words(self.trace.as_ref()),
            referer: words(self.referer.as_ref()),
            agent: words(self.agent.as_ref()),
        });
        self.leave_upstream();
        match &self.stream {
            // It is over with the exchange.
            Some(_) => {}
            None => self.client.control.enter(Phase::Idle),
        }
    }
}

/// A field that is text, or nothing.
fn words(value: Option<&HeaderValue>) -> &str {
    value.and_then(|value| value.to_str().ok()).unwrap_or("")
}
