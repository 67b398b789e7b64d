//! A target as one worker knows it: its open connections and the requests it works on.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use convoy_routing::Target;
use convoy_routing::balance::View;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::body::RequestBody;
use crate::reason::Reason;
use crate::worker::Worker;

/// Read buffers of a connection to a target grow up to this. Bounds memory, not the size of a body.
const BUFFER_MAX: usize = 64 * 1024;

#[derive(Debug)]
struct Idle {
    sender: SendRequest<RequestBody>,
    since: u64,
}

#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) target: Arc<Target>,
    outstanding: Cell<usize>,
    idle: RefCell<Vec<Idle>>,
    retired: Cell<bool>,
}

impl Upstream {
    pub(crate) fn new(target: Arc<Target>) -> Self {
        Self { target, outstanding: Cell::new(0), idle: RefCell::default(), retired: Cell::new(false) }
    }

    pub(crate) fn view(&self, now: u64, tried: bool) -> View {
        View { outstanding: self.outstanding.get(), ejected: self.target.ejection().is_out(now), tried }
    }

    pub(crate) fn begin(&self) {
        self.outstanding.set(self.outstanding.get() + 1);
    }

    pub(crate) fn end(&self) {
        self.outstanding.set(self.outstanding.get().saturating_sub(1));
    }

    /// The connection that was used last and is ready; the others age until they are closed. Those that the target
    /// closed are dropped on the way.
    pub(crate) fn take_idle(&self) -> Option<SendRequest<RequestBody>> {
        let mut idle = self.idle.borrow_mut();
        for at in (0..idle.len()).rev() {
            let Some(connection) = idle.get(at) else { continue };
            if connection.sender.is_closed() {
                idle.remove(at);
            } else if connection.sender.is_ready() {
                return Some(idle.remove(at).sender);
            }
        }
        None
    }

    /// A connection whose exchange is over. Kept unless the target is gone, or there are enough.
    pub(crate) fn give_back(&self, sender: SendRequest<RequestBody>, worker: &Worker) {
        let mut idle = self.idle.borrow_mut();
        if !self.retired.get() && !sender.is_closed() && idle.len() < worker.settings.idle_per_target {
            idle.push(Idle { sender, since: worker.clock.now() });
        }
    }

    /// Closes what was idle for too long.
    pub(crate) fn expire_idle(&self, now: u64, limit: Duration) {
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.idle
            .borrow_mut()
            .retain(|idle| !idle.sender.is_closed() && now.saturating_sub(idle.since) < limit);
    }

    /// The target's key is gone: what is idle is closed, what is in use is not kept afterwards.
    pub(crate) fn retire(&self) {
        self.retired.set(true);
        self.idle.borrow_mut().clear();
    }

    /// Makes a connection. A failure counts against the target.
    pub(crate) async fn connect(&self, worker: &Rc<Worker>) -> Result<SendRequest<RequestBody>, Reason> {
        let timeouts = &worker.settings.timeouts;
        let ejection = self.target.ejection();
        ejection.begin(worker.clock.now(), timeouts.connect);
        let started = worker.clock.refresh();
        worker.counters.connects.add(1);
        let reason = match tokio::time::timeout(timeouts.connect, self.dial(worker)).await {
            Ok(Ok(sender)) => {
                ejection.succeeded();
                return Ok(sender);
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

    async fn dial(&self, worker: &Rc<Worker>) -> Result<SendRequest<RequestBody>, DialError> {
        let stream = TcpStream::connect(self.target.address()).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) =
            http1::Builder::new().max_buf_size(BUFFER_MAX).handshake(TokioIo::new(stream)).await?;
        let counters = Arc::clone(&worker.counters);
        counters.upstream_open.fetch_add(1, Relaxed);
        tokio::task::spawn_local(async move {
            // How it ended is told to whoever waited for an answer on it; an idle one's end is no event.
            let _ = connection.with_upgrades().await;
            counters.upstream_open.fetch_sub(1, Relaxed);
        });
        Ok(sender)
    }
}

#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Http(#[from] hyper::Error),
}
