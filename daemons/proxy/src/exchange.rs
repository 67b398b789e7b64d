//! One request from its head to the end of its answer: who has it, how long it took, and what it comes to.

use std::rc::Rc;
use std::time::Duration;

use http::header::HOST;
use http::{HeaderValue, Method, StatusCode, Uri, request};
use hyper::client::conn::http1::SendRequest;
use tokio::time::Instant;

use crate::body::{RequestBody, Transfer};
use crate::connection::Client;
use crate::control::Phase;
use crate::reason::Reason;
use crate::record::Record;
use crate::route::Route;
use crate::upstream::Upstream;

/// Dropping it ends it: the target's count goes down and the request is logged, whatever the reason.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) client: Rc<Client>,
    pub(crate) request_id: HeaderValue,
    pub(crate) route: Option<Rc<Route>>,
    pub(crate) transfer: Option<Rc<Transfer>>,
    pub(crate) retries: u32,
    pub(crate) started: Instant,
    method: Method,
    uri: Uri,
    host: Option<HeaderValue>,
    upstream: Option<Rc<Upstream>>,
    sent: Option<Instant>,
    upstream_time: Option<Duration>,
    sender: Option<SendRequest<RequestBody>>,
    status: Option<StatusCode>,
    reason: Option<Reason>,
    bytes: u64,
    complete: bool,
}

impl Exchange {
    pub(crate) fn begin(
        client: Rc<Client>,
        started: Instant,
        request_id: HeaderValue,
        parts: &request::Parts,
    ) -> Box<Self> {
        Box::new(Self {
            client,
            request_id,
            route: None,
            transfer: None,
            retries: 0,
            started,
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            host: parts.headers.get(HOST).cloned(),
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
    pub(crate) fn answered(&mut self, status: StatusCode, sender: Option<SendRequest<RequestBody>>) {
        self.upstream_time = self.sent.map(|sent| self.client.worker.clock.refresh().duration_since(sent));
        self.status = Some(status);
        self.sender = sender;
    }

    /// So many bytes of the answer's body went by.
    pub(crate) fn passed(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.client.control.progress();
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
        }
        let total_time = worker.clock.refresh().duration_since(self.started);
        let status = self.status.unwrap_or_else(|| Reason::ClientClosed.status()).as_u16();
        if let Some(route) = &self.route {
            route.counters.count(status, total_time, self.retries, self.bytes);
        }
        worker.log(&Record {
            request_id: self.request_id.to_str().unwrap_or("-"),
            client: self.client.address,
            method: self.method.as_str(),
            host: self.host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or("-"),
            path: self.uri.path_and_query().map_or("/", |path| path.as_str()),
            status,
            route: self.route.as_ref().map_or("-", |route| route.service.app().as_str()),
            via: self.upstream.as_ref().map_or("-", |upstream| upstream.target.tier().as_str()),
            upstream: self.upstream.as_ref().map_or("-", |upstream| upstream.target.address_text()),
            upstream_time: self.upstream_time,
            total_time,
            bytes: self.bytes,
            retries: self.retries,
            reason: self.reason.map_or("", Reason::as_str),
        });
        self.leave_upstream();
        self.client.control.enter(Phase::Idle);
    }
}
