//! A target as one worker knows it: its open connections and the requests it works on.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use convoy_routing::Target;
use convoy_routing::balance::{View, blend, fade};
use tokio::net::TcpStream;

use crate::link::Link;
use crate::reason::Reason;
use crate::sender::{Open, Sender};
use crate::worker::Worker;

/// A connection, in the version of HTTP that it speaks.
#[derive(Debug)]
pub(crate) enum Connection {
    Http1(Box<Link>),
    Http2(Sender),
}

#[derive(Debug)]
struct Idle {
    link: Box<Link>,
    since: u64,
}

#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) target: Arc<Target>,
    outstanding: Cell<usize>,
    /// Microseconds, and when it was measured.
    latency: Cell<(u32, u64)>,
    credit: Cell<i64>,
    /// When it came, if that was while we looked.
    since: Option<u64>,
    idle: RefCell<Vec<Idle>>,
    /// One connection carries all requests of this worker.
    shared: RefCell<Option<Sender>>,
    retired: Cell<bool>,
}

impl Upstream {
    pub(crate) fn new(target: Arc<Target>, since: Option<u64>) -> Self {
        Self {
            target,
            outstanding: Cell::new(0),
            latency: Cell::new((0, 0)),
            credit: Cell::new(0),
            since,
            idle: RefCell::default(),
            shared: RefCell::default(),
            retired: Cell::new(false),
        }
    }

    pub(crate) fn view(&self, now: u64) -> View {
        let (latency, at) = self.latency.get();
        View {
            outstanding: self.outstanding.get(),
            latency: fade(latency, now.saturating_sub(at)),
            out: self.target.ejection().is_out(now) || self.target.is_failing(),
            ..View::IDLE
        }
    }

    /// Milliseconds since it came; one that was there before us is old.
    pub(crate) fn age(&self, now: u64) -> u64 {
        self.since.map_or(u64::MAX, |since| now.saturating_sub(since))
    }

    /// What [`convoy_routing::balance::Class::in_turn`] keeps from one choice to the next.
    pub(crate) fn credit(&self, new: Option<i64>) -> i64 {
        if let Some(new) = new {
            self.credit.set(new);
        }
        self.credit.get()
    }

    pub(crate) fn begin(&self) {
        self.outstanding.set(self.outstanding.get() + 1);
    }

    pub(crate) fn end(&self) {
        self.outstanding.set(self.outstanding.get().saturating_sub(1));
    }

    /// The head of an answer took so long.
    pub(crate) fn measured(&self, now: u64, took: Duration) {
        let (latency, at) = self.latency.get();
        let sample = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        self.latency.set((blend(latency, now.saturating_sub(at), sample), now));
    }

    /// The connection that was used last; the others age until they are closed. Those that the target closed are dropped
    /// on the way.
    pub(crate) fn take_link(&self) -> Option<Box<Link>> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { link, .. }) = idle.pop() {
            if link.is_usable() {
                return Some(link);
            }
        }
        None
    }

    /// The connection that all HTTP/2 requests share, until the target wants no more at a time on it.
    pub(crate) fn sender(&self) -> Option<Sender> {
        let mut shared = self.shared.borrow_mut();
        if shared.as_ref().is_some_and(|sender| sender.is_closed() || sender.is_full()) {
            *shared = None;
        }
        shared.clone()
    }

    /// A connection whose exchange is over. Kept unless it ends with it, the target is gone, or there are enough.
    pub(crate) fn give_back(&self, mut link: Box<Link>, worker: &Worker) {
        link.inlet.rest(&worker.buffers);
        let has_room = !self.retired.get() && self.idle.borrow().len() < worker.settings.idle_per_target;
        if has_room && link.keeps && link.is_usable() {
            self.idle.borrow_mut().push(Idle { link, since: worker.clock.now() });
        }
    }

    /// Closes what was idle for too long.
    pub(crate) fn expire_idle(&self, now: u64, limit: Duration) {
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.idle.borrow_mut().retain(|idle| now.saturating_sub(idle.since) < limit && idle.link.is_usable());
    }

    /// The target's key is gone: what is idle is closed, what is in use is not kept afterwards.
    pub(crate) fn retire(&self) {
        self.retired.set(true);
        self.idle.borrow_mut().clear();
        *self.shared.borrow_mut() = None;
    }

    /// Makes a connection within the limit. A failure counts against the target.
    pub(crate) async fn connect(
        &self,
        worker: &Rc<Worker>,
        http2: bool,
        limit: Duration,
    ) -> Result<Connection, Reason> {
        let ejection = self.target.ejection();
        ejection.begin(worker.clock.now(), limit);
        let started = worker.clock.refresh();
        worker.counters.connects.add(1);
        let reason = match tokio::time::timeout(limit, self.dial(worker, http2)).await {
            Ok(Ok(connection)) => {
                ejection.succeeded();
                return Ok(connection);
            }
            Ok(Err(error)) => {
                tracing::debug!(TARGET_ADDRESS = self.target.address_text(), %error, "a target refused the connection");
                Reason::Connect
            }
            Err(_) => Reason::ConnectTimeout,
        };
        let took = worker.clock.refresh().duration_since(started);
        if ejection.failed(worker.clock.now(), took, &worker.settings.ejection) {
            worker.counters.ejections.add(1);
            tracing::warn!(
                TARGET_ADDRESS = self.target.address_text(),
                TARGET_INSTANCE = self.target.instance().as_str(),
                reason = reason.as_str(),
                "a target takes no connections and is left out for a while"
            );
        }
        Err(reason)
    }

    async fn dial(&self, worker: &Rc<Worker>, http2: bool) -> Result<Connection, DialError> {
        let stream = TcpStream::connect(self.target.address()).await?;
        stream.set_nodelay(true)?;
        let open = Open::count(&worker.counters);
        if !http2 {
            return Ok(Connection::Http1(Box::new(Link::new(stream, open))));
        }
        let sender = Sender::begin(stream, open).await?;
        if !self.retired.get() {
            *self.shared.borrow_mut() = Some(sender.clone());
        }
        Ok(Connection::Http2(sender))
    }
}

#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Http(#[from] h2::Error),
}
