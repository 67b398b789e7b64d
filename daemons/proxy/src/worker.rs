//! One thread with its own event loop, connections and pools; nothing in it is shared but the table and the numbers.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::time::Duration;

use arc_swap::{ArcSwap, Cache};
use convoy_routing::{Service, Table};
use http::HeaderValue;
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use crate::connection;
use crate::control::{Clock, Control};
use crate::metrics::{Metrics, WorkerCounters};
use crate::record::{Record, RequestLog};
use crate::route::Route;
use crate::settings::Settings;
use crate::shared::Post;

/// How often connections are looked at while there are some.
const LOOK: Duration = Duration::from_millis(250);
/// And while there are none.
const LOOK_IDLE: Duration = Duration::from_secs(1);

/// What a worker is told.
#[derive(Debug)]
pub(crate) enum Message {
    /// A client.
    Connection { stream: std::net::TcpStream, peer: SocketAddr, shed: bool },
    /// There is a new table.
    Table,
    /// A drain begins.
    Drain,
    /// It is over.
    Stop,
}

pub(crate) struct Worker {
    pub(crate) settings: Arc<Settings>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) counters: Arc<WorkerCounters>,
    post: Arc<Post>,
    metrics: Arc<Metrics>,
    table: RefCell<Cache<Arc<ArcSwap<Table>>, Arc<Table>>>,
    routes: RefCell<HashMap<u64, Rc<Route>>>,
    connections: RefCell<HashMap<u64, Arc<Control>>>,
    log: RefCell<Box<dyn RequestLog>>,
    id_prefix: String,
    requests: Cell<u64>,
    accepted: Cell<u64>,
    /// When the drain began, and the number of the last connection before it.
    drain: Cell<Option<(Instant, u64)>>,
}

impl fmt::Debug for Worker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Worker").field("post", &self.post).finish_non_exhaustive()
    }
}

impl Worker {
    pub(crate) fn new(
        post: Arc<Post>,
        settings: Arc<Settings>,
        table: Arc<ArcSwap<Table>>,
        metrics: Arc<Metrics>,
        log: Box<dyn RequestLog>,
    ) -> Rc<Self> {
        Rc::new(Self {
            settings,
            clock: Arc::new(Clock::new(Instant::now())),
            counters: metrics.worker(post.index),
            id_prefix: format!("{}{:02x}", post.process, post.index & 0xff),
            post,
            metrics,
            table: RefCell::new(Cache::new(table)),
            routes: RefCell::default(),
            connections: RefCell::default(),
            log: RefCell::new(log),
            requests: Cell::new(0),
            accepted: Cell::new(0),
            drain: Cell::new(None),
        })
    }

    /// Does what it is told until it is told to stop.
    pub(crate) async fn run(self: Rc<Self>, mut messages: UnboundedReceiver<Message>) {
        let upkeep = tokio::task::spawn_local(upkeep(Rc::clone(&self)));
        while let Some(message) = messages.recv().await {
            match message {
                Message::Connection { stream, peer, shed } => {
                    self.clock.refresh();
                    match TcpStream::from_std(stream) {
                        Ok(stream) => {
                            tokio::task::spawn_local(connection::run(Rc::clone(&self), stream, peer, shed));
                        }
                        Err(error) => {
                            self.post.connections.fetch_sub(1, Relaxed);
                            tracing::warn!(%error, "an accepted connection can't be served");
                        }
                    }
                }
                Message::Table => self.follow_table(),
                Message::Drain => self.begin_drain(),
                Message::Stop => break,
            }
        }
        upkeep.abort();
        self.log.borrow_mut().flush();
    }

    /// The route for a host.
    pub(crate) fn route(&self, host: &str) -> Option<Rc<Route>> {
        let mut table = self.table.borrow_mut();
        let service = table.load().find(host)?;
        if let Some(route) = self.routes.borrow().get(&service.id())
            && route.service.version() == service.version()
        {
            return Some(Rc::clone(route));
        }
        Some(self.renew(&Arc::clone(service)))
    }

    /// The route of the same service, when the table has another state of it by now.
    pub(crate) fn newer(&self, route: &Route) -> Option<Rc<Route>> {
        let mut table = self.table.borrow_mut();
        let app = route.service.app();
        let services = table.load().services();
        let at = services.binary_search_by(|service| service.app().cmp(app)).ok()?;
        let service = Arc::clone(services.get(at)?);
        (service.version() != route.service.version()).then(|| self.renew(&service))
    }

    fn renew(&self, service: &Arc<Service>) -> Rc<Route> {
        let mut routes = self.routes.borrow_mut();
        let former = routes.get(&service.id());
        if let Some(former) = former
            && former.service.version() == service.version()
        {
            return Rc::clone(former);
        }
        let counters = former.map_or_else(
            || self.metrics.route(service.app(), self.post.index),
            |route| Arc::clone(&route.counters),
        );
        let route = Rc::new(Route::new(Arc::clone(service), counters, former.map(AsRef::as_ref)));
        routes.insert(service.id(), Rc::clone(&route));
        route
    }

    /// Lets go of what the table no longer has, at once and not with the next request: connections to a target that is
    /// gone may lead to another one soon.
    fn follow_table(&self) {
        let table = Arc::clone(self.table.borrow_mut().load());
        let by_app = |route: &Route| {
            let services = table.services();
            let at = services.binary_search_by(|service| service.app().cmp(route.service.app())).ok()?;
            services.get(at).filter(|service| service.id() == route.service.id())
        };
        let known: Vec<_> = self.routes.borrow().values().cloned().collect();
        for route in known {
            if let Some(service) = by_app(&route) {
                self.renew(service);
            } else {
                route.retire();
                self.routes.borrow_mut().remove(&route.service.id());
            }
        }
    }

    fn begin_drain(&self) {
        self.drain.set(Some((self.clock.refresh(), self.accepted.get())));
        self.post.old.store(self.connections.borrow().len(), Relaxed);
        self.post.draining.store(true, Release);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.drain.get().is_some()
    }

    pub(crate) fn opened(&self, control: Arc<Control>) -> u64 {
        let number = self.accepted.get() + 1;
        self.accepted.set(number);
        self.connections.borrow_mut().insert(number, control);
        number
    }

    pub(crate) fn closed(&self, number: u64) {
        self.connections.borrow_mut().remove(&number);
        self.post.connections.fetch_sub(1, Relaxed);
        if self.drain.get().is_some_and(|(_, last)| number <= last) {
            self.post.old.fetch_sub(1, Relaxed);
        }
    }

    pub(crate) fn log(&self, record: &Record<'_>) {
        self.log.borrow_mut().record(record);
    }

    /// Process, worker and number, so that it is unique and tells its origin.
    pub(crate) fn next_request_id(&self) -> HeaderValue {
        let number = self.requests.get() + 1;
        self.requests.set(number);
        let mut text = String::with_capacity(self.id_prefix.len() + 10);
        text.push_str(&self.id_prefix);
        push_hex(&mut text, number, 10);
        HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).unwrap_or(HeaderValue::from_static("-"))
    }

    /// Whether a request carries an identifier of this very process: then it came back to us.
    pub(crate) fn is_own_id(&self, value: Option<&HeaderValue>) -> bool {
        value.is_some_and(|id| id.as_bytes().starts_with(self.post.process.as_bytes()))
    }
}

fn push_hex(text: &mut String, number: u64, digits: u32) {
    for place in (0..digits).rev() {
        let digit = u32::try_from(number >> (4 * place) & 0xf).unwrap_or(0);
        text.push(char::from_digit(digit, 16).unwrap_or('0'));
    }
}

/// The look at all connections and pools, and the sign of life.
async fn upkeep(worker: Rc<Worker>) {
    let limits = worker.settings.timeouts;
    loop {
        let idle = worker.connections.borrow().is_empty();
        tokio::time::sleep(if idle { LOOK_IDLE } else { LOOK }).await;
        let now = worker.clock.refresh();
        worker.post.beat();
        let draining_for = worker.drain.get().map(|(since, _)| now.duration_since(since));
        for control in worker.connections.borrow().values() {
            control.judge(&limits, draining_for);
        }
        for route in worker.routes.borrow().values() {
            for upstream in route.upstreams() {
                upstream.expire_idle(worker.clock.now(), limits.upstream_idle);
            }
        }
        worker.log.borrow_mut().flush();
    }
}
