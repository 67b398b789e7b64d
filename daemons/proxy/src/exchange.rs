//! One request from its head to the end of its answer: who has it, how long it took, and what it comes to.

use std::rc::Rc;
use std::time::Duration;

use convoy_hygiene::{Field, Survey};
use http::{StatusCode, Version};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::connection::{Client, Stream};
use crate::control::{Control, Phase};
use crate::link::Link;
use crate::pool::{Pool, Route};
use crate::reason::Reason;
use crate::record::Record;
use crate::transfer::Transfer;
use crate::upstream::Upstream;
use crate::words::{Word, Words};

/// Dropping it ends it: the target's count goes down and the request is logged, whatever the reason.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) client: Rc<Client>,
    pub(crate) route: Option<Rc<Route>>,
    /// Of the service that answers, which need not be the route's.
    pub(crate) pool: Option<Rc<Pool>>,
    /// A place among those that the service works on at a time.
    pub(crate) place: Option<OwnedSemaphorePermit>,
    pub(crate) transfer: Option<Rc<Transfer>>,
    pub(crate) retries: u32,
    pub(crate) started: Instant,
    /// The version that the client speaks.
    pub(crate) version: Version,
    /// In HTTP/2 each request has a control; otherwise the connection's is the request's.
    stream: Option<Stream>,
    words: Words,
    upstream: Option<Rc<Upstream>>,
    sent: Option<Instant>,
    upstream_time: Option<Duration>,
    status: Option<u16>,
    reason: Option<Reason>,
    bytes: u64,
    complete: bool,
}

/// The first line of a request, or what HTTP/2 has instead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FirstLine<'a> {
    pub(crate) method: &'a str,
    /// The host, where it is not in a field.
    pub(crate) authority: Option<&'a str>,
    /// Path and query.
    pub(crate) path: &'a str,
    pub(crate) version: Version,
}

impl Exchange {
    pub(crate) fn begin<'a, F: Iterator<Item = Field<'a>> + Clone>(
        client: Rc<Client>,
        stream: Option<Stream>,
        started: Instant,
        asked: FirstLine<'_>,
        survey: &Survey<'a, F>,
    ) -> Box<Self> {
        let worker = &client.worker;
        let mut words = Words::within(worker.buffers.take_text());
        words.keep(Word::Path, &[asked.path.as_bytes()]);
        let mut keep = |word: Word, value: Option<&[u8]>| {
            words.keep(word, value.filter(|value| value.is_ascii()).as_slice());
        };
        keep(Word::Method, Some(asked.method.as_bytes()));
        keep(Word::Host, asked.authority.or(survey.host()).map(str::as_bytes));
        keep(Word::Trace, survey.trace);
        if worker.wants_agent {
            keep(Word::Referer, survey.referer);
            keep(Word::Agent, survey.agent);
        }
        let believed = client.trusted && !worker.is_own_id(survey.request_id);
        keep(Word::RequestId, survey.request_id.filter(|_| believed));
        if words.get(Word::RequestId).is_empty() {
            words.keep(Word::RequestId, &[&worker.next_request_id()]);
        }
        Box::new(Self {
            client,
            route: None,
            pool: None,
            place: None,
            transfer: None,
            retries: 0,
            started,
            version: asked.version,
            stream,
            words,
            upstream: None,
            sent: None,
            upstream_time: None,
            status: None,
            reason: None,
            bytes: 0,
            complete: false,
        })
    }

    /// The identifier that the target sees.
    pub(crate) fn request_id(&self) -> &str {
        self.words.get(Word::RequestId)
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
    pub(crate) fn answered(&mut self, status: u16) {
        let worker = &self.client.worker;
        self.upstream_time = self.sent.map(|sent| worker.clock.refresh().duration_since(sent));
        if let (Some(upstream), Some(took)) = (&self.upstream, self.upstream_time) {
            upstream.measured(worker.clock.now(), took);
        }
        self.status = Some(status);
    }

    /// So many bytes of the answer's body went by.
    pub(crate) fn passed(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.control().progress();
    }

    /// What watches over the time that this request takes.
    pub(crate) fn control(&self) -> &Rc<Control> {
        self.stream.as_ref().map_or(&self.client.control, |stream| &stream.control)
    }

    /// Whether that is not the connection's.
    pub(crate) fn has_own_control(&self) -> bool {
        self.stream.is_some()
    }

    /// We answer ourselves, because somebody wants it so: with this status and so many bytes.
    pub(crate) fn said(mut self: Box<Self>, status: StatusCode, bytes: u64) {
        self.bytes = bytes;
        self.status = Some(status.as_u16());
        self.complete = true;
    }

    /// The answer was passed on in full, and came over this connection.
    pub(crate) fn complete(mut self: Box<Self>, link: Option<Box<Link>>) {
        self.complete = true;
        if let (Some(upstream), Some(link)) = (&self.upstream, link)
            && !self.body_is_incomplete()
        {
            upstream.give_back(link, &self.client.worker);
        }
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
        self.status = Some(reason.status().as_u16());
        self.complete = true;
    }

    /// Whether the client's body is still on its way although the answer is there.
    pub(crate) fn body_is_incomplete(&self) -> bool {
        self.transfer.as_ref().is_some_and(|transfer| !transfer.is_complete())
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
        if !self.complete && self.reason.is_none() {
            worker.counters.refused(Reason::ClientClosed);
            self.reason = Some(Reason::ClientClosed);
            if self.stream.is_some() {
                self.client.stream_taken_back();
            }
        }
        let total_time = worker.clock.refresh().duration_since(self.started);
        let status = self.status.unwrap_or_else(|| Reason::ClientClosed.status().as_u16());
        let pool = self.pool.as_ref().or(self.route.as_ref().map(|route| &route.pool));
        if let Some(pool) = pool {
            pool.counters.count(status, total_time, self.retries, self.bytes);
        }
        let words = &self.words;
        worker.log(&Record {
            request_id: words.or_dash(Word::RequestId),
            client: self.client.address,
            method: words.get(Word::Method),
            host: words.or_dash(Word::Host),
            path: words.get(Word::Path),
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
            trace: words.get(Word::Trace),
            referer: words.get(Word::Referer),
            agent: words.get(Word::Agent),
        });
        worker.buffers.give_text(std::mem::take(&mut self.words).into_memory());
        self.leave_upstream();
        // That of a stream is over with the exchange.
        if self.stream.is_none() {
            self.client.control.enter(Phase::Idle);
        }
    }
}
