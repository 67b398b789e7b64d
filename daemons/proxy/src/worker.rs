//! One thread with its own event loop, connections and pools; nothing in it is shared but the table and the numbers.

use std::cell::{Cell, Ref, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwap, Cache};
use convoy_keys::AppName;
use convoy_routing::{PathError, Service, Table};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use crate::buffer::Buffers;
use crate::connection;
use crate::control::{Clock, Control, Verdict};
use crate::gate::Gates;
use crate::listener::Door;
use crate::metrics::{Metrics, WorkerCounters};
use crate::pool::{Pool, Route};
use crate::record::{Record, RequestLog};
use crate::settings::Settings;
use crate::shared::Post;
use crate::wire::Accepted;

/// How often connections are looked at while there are some.
const LOOK: Duration = Duration::from_millis(250);
/// And while there are none.
const LOOK_IDLE: Duration = Duration::from_secs(1);
/// A stream whose verdict nobody took note of at so many looks ends with its connection.
const LOOKS_MAX: u32 = 20;
const HEX: &[u8; 16] = b"0123456789abcdef";

/// What a worker is told.
#[derive(Debug)]
pub(crate) enum Message {
    /// A client.
    Connection { socket: Accepted, peer: Option<SocketAddr>, door: usize, shed: bool },
    /// There is a new table.
    Table,
    /// A drain begins.
    Drain,
    /// It is over.
    Stop,
}

/// What all workers have in common.
#[derive(Debug, Clone)]
pub(crate) struct Common {
    pub(crate) settings: Arc<Settings>,
    pub(crate) table: Arc<ArcSwap<Table>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) gates: Arc<Gates>,
    pub(crate) doors: Vec<Door>,
}

/// Where a request goes, and its path in normal form where that is another one.
pub(crate) type Destination = (Rc<Route>, Option<String>);

#[derive(Debug)]
struct Watched {
    control: Rc<Control>,
    connection: Rc<Control>,
    looks: Cell<u32>,
}

pub(crate) struct Worker {
    pub(crate) settings: Arc<Settings>,
    pub(crate) clock: Rc<Clock>,
    pub(crate) buffers: Buffers,
    pub(crate) counters: Arc<WorkerCounters>,
    /// The table is another one.
    pub(crate) changed: Notify,
    post: Arc<Post>,
    metrics: Arc<Metrics>,
    gates: Arc<Gates>,
    doors: Vec<Rc<Door>>,
    table: RefCell<Cache<Arc<ArcSwap<Table>>, Arc<Table>>>,
    /// By the rule.
    routes: RefCell<HashMap<u64, Rc<Route>>>,
    /// By the service.
    pools: RefCell<HashMap<u64, Rc<Pool>>>,
    connections: RefCell<HashMap<u64, Rc<Control>>>,
    streams: RefCell<HashMap<u64, Watched>>,
    log: RefCell<Box<dyn RequestLog>>,
    pub(crate) wants_agent: bool,
    /// What the time is, as answers say it.
    date: RefCell<String>,
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
    pub(crate) fn new(post: Arc<Post>, common: Common, log: Box<dyn RequestLog>) -> Rc<Self> {
        let Common { settings, table, metrics, gates, doors } = common;
        Rc::new(Self {
            settings,
            clock: Rc::new(Clock::new(Instant::now())),
            buffers: Buffers::default(),
            date: RefCell::new(date()),
            counters: metrics.worker(post.index),
            id_prefix: format!("{}{:02x}", post.process, post.index & 0xff),
            changed: Notify::new(),
            post,
            metrics,
            gates,
            doors: doors.into_iter().map(Rc::new).collect(),
            table: RefCell::new(Cache::new(table)),
            routes: RefCell::default(),
            pools: RefCell::default(),
            connections: RefCell::default(),
            streams: RefCell::default(),
            wants_agent: log.wants_agent(),
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
                Message::Connection { socket, peer, door, shed } => {
                    if self.connections.borrow().is_empty() {
                        self.date.replace(date());
                    }
                    self.clock.refresh();
                    if let Some(door) = self.doors.get(door) {
                        let door = Rc::clone(door);
                        tokio::task::spawn_local(connection::run(Rc::clone(&self), socket, peer, door, shed));
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

    /// The route for a host and a path, and the path in normal form where that is another one.
    pub(crate) fn find(&self, host: &str, path: &str) -> Result<Option<Destination>, PathError> {
        let mut table = self.table.borrow_mut();
        let Some(found) = table.load().find(host, path)? else { return Ok(None) };
        if let Some(route) = self.routes.borrow().get(&found.rule.id)
            && route.pool.service.version() == found.service.version()
        {
            return Ok(Some((Rc::clone(route), found.path)));
        }
        let pool = self.pool(found.service);
        let route = Rc::new(Route { rule: Arc::clone(found.rule), pool });
        self.routes.borrow_mut().insert(route.rule.id, Rc::clone(&route));
        Ok(Some((route, found.path)))
    }

    /// The pool of this app.
    pub(crate) fn pool_of(&self, app: &AppName) -> Option<Rc<Pool>> {
        let mut table = self.table.borrow_mut();
        table.load().service(app).map(|service| self.pool(service))
    }

    /// The pool of the same service, when the table has another state of it by now.
    pub(crate) fn newer(&self, pool: &Pool) -> Option<Rc<Pool>> {
        let newest = self.pool_of(pool.service.app())?;
        (newest.service.version() != pool.service.version()).then_some(newest)
    }

    fn pool(&self, service: &Arc<Service>) -> Rc<Pool> {
        let mut pools = self.pools.borrow_mut();
        let former = pools.get(&service.id());
        if let Some(former) = former
            && former.service.version() == service.version()
        {
            return Rc::clone(former);
        }
        let counters = former.map_or_else(
            || self.metrics.route(service.app(), self.post.index),
            |pool| Arc::clone(&pool.counters),
        );
        let gate = self.gates.of(service);
        let former = former.map(AsRef::as_ref);
        let pool = Rc::new(Pool::new(Arc::clone(service), counters, gate, former, self.clock.now()));
        pools.insert(service.id(), Rc::clone(&pool));
        pool
    }

    /// Lets go of what the table no longer has, at once and not with the next request: connections to a target that is
    /// gone may lead to another one soon.
    fn follow_table(&self) {
        let table = Arc::clone(self.table.borrow_mut().load());
        let known: Vec<_> = self.pools.borrow().values().cloned().collect();
        for pool in known {
            let service = table.service(pool.service.app());
            if let Some(service) = service.filter(|service| service.id() == pool.service.id()) {
                self.pool(service);
            } else {
                pool.retire();
                self.gates.forget(pool.service.id());
                self.pools.borrow_mut().remove(&pool.service.id());
            }
        }
        let pools = self.pools.borrow();
        let is_current = |route: &Route| {
            let pool = pools.get(&route.pool.service.id());
            pool.is_some_and(|pool| pool.service.version() == route.pool.service.version())
        };
        self.routes.borrow_mut().retain(|_, route| is_current(route));
        self.changed.notify_waiters();
    }

    /// A request of an HTTP/2 connection is to be watched.
    pub(crate) fn begin_stream(&self, control: Rc<Control>, connection: Rc<Control>) -> u64 {
        let number = self.requests.get() + 1;
        self.requests.set(number);
        let watched = Watched { control, connection, looks: Cell::new(0) };
        self.streams.borrow_mut().insert(number, watched);
        number
    }

    pub(crate) fn end_stream(&self, number: u64) {
        self.streams.borrow_mut().remove(&number);
    }

    fn begin_drain(&self) {
        self.drain.set(Some((self.clock.refresh(), self.accepted.get())));
        self.post.old.store(self.connections.borrow().len(), Relaxed);
        self.post.draining.store(true, Release);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.drain.get().is_some()
    }

    pub(crate) fn opened(&self, control: Rc<Control>) -> u64 {
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
    pub(crate) fn next_request_id(&self) -> [u8; 20] {
        let number = self.requests.get() + 1;
        self.requests.set(number);
        let mut id = [b'0'; 20];
        let (origin, count) = id.split_at_mut(10);
        for (place, byte) in origin.iter_mut().zip(self.id_prefix.bytes()) {
            *place = byte;
        }
        for (place, digit) in count.iter_mut().rev().enumerate() {
            *digit =
                HEX.get(usize::try_from(number >> (4 * place) & 0xf).unwrap_or(0)).copied().unwrap_or(b'0');
        }
        id
    }

    /// Whether a request carries an identifier of this very process: then it came back to us.
    pub(crate) fn is_own_id(&self, value: Option<&[u8]>) -> bool {
        value.is_some_and(|id| id.starts_with(self.post.process.as_bytes()))
    }

    /// For `Date`; right to a second.
    pub(crate) fn date(&self) -> Ref<'_, str> {
        Ref::map(self.date.borrow(), String::as_str)
    }
}

fn date() -> String {
    httpdate::fmt_http_date(SystemTime::now())
}

/// The look at all connections and pools, and the sign of life.
async fn upkeep(worker: Rc<Worker>) {
    let limits = worker.settings.timeouts;
    loop {
        let idle = worker.connections.borrow().is_empty();
        tokio::time::sleep(if idle { LOOK_IDLE } else { LOOK }).await;
        let now = worker.clock.refresh();
        worker.date.replace(date());
        worker.post.beat();
        let draining_for = worker.drain.get().map(|(since, _)| now.duration_since(since));
        for control in worker.connections.borrow().values() {
            control.judge(&limits, draining_for);
        }
        for stream in worker.streams.borrow().values() {
            stream.control.judge(&limits, draining_for);
            if stream.control.verdict() == Verdict::Cut {
                stream.looks.set(stream.looks.get() + 1);
                if stream.looks.get() > LOOKS_MAX {
                    stream.connection.cut();
                }
            }
        }
        for pool in worker.pools.borrow().values() {
            for upstream in pool.upstreams() {
                upstream.expire_idle(worker.clock.now(), limits.upstream_idle);
            }
        }
        worker.log.borrow_mut().flush();
    }
}
