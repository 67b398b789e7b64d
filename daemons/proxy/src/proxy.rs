//! The whole of it: threads, table, drain.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwap;
use convoy_routing::Table;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::acceptor::Acceptor;
use crate::checker::{self, Checker};
use crate::gate::Gates;
use crate::listener::{Door, Listener};
use crate::metrics::Metrics;
use crate::record::RequestLog;
use crate::settings::Settings;
use crate::shared::Post;
use crate::worker::{Common, Message, Worker};

/// How often a drain looks whether it is over.
const DRAIN_LOOK: Duration = Duration::from_millis(5);

/// How much time a drain may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainLimits {
    /// For the connections that were open when it began; new ones are served meanwhile.
    pub old: Duration,
    /// For what was accepted last, with nothing accepted any more.
    pub last: Duration,
}

impl Default for DrainLimits {
    fn default() -> Self {
        Self { old: Duration::from_secs(20), last: Duration::from_secs(5) }
    }
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut.
    pub cut: usize,
    /// How long it took.
    pub took: Duration,
}

/// Sees the table that requests are routed by.
#[derive(Debug, Clone)]
pub struct TableReader(Arc<ArcSwap<Table>>);

impl TableReader {
    /// The table at this moment.
    pub fn load(&self) -> Arc<Table> {
        self.0.load_full()
    }
}

/// A running proxy. Dropping it ends it at once; [`Proxy::drain`] ends it politely.
#[derive(Debug)]
pub struct Proxy {
    table: Arc<ArcSwap<Table>>,
    metrics: Arc<Metrics>,
    posts: Vec<Arc<Post>>,
    /// The other end of what the acceptor listens to beside its sockets.
    stop_accepting: UnixStream,
    acceptor: Option<JoinHandle<()>>,
    workers: Vec<JoinHandle<()>>,
    checker: Checker,
}

impl Proxy {
    /// Starts the threads. The sockets are made non-blocking and get TCP_NODELAY, which accepted connections inherit.
    /// `log` makes the log of each worker, on its thread.
    pub fn start(
        listeners: Vec<Listener>,
        table: Table,
        settings: Settings,
        log: impl Fn() -> Box<dyn RequestLog> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        for listener in &listeners {
            listener.socket.prepare()?;
        }
        let (settings, log) = (Arc::new(settings), Arc::new(log));
        let table = Arc::new(ArcSwap::from_pointee(table));
        let metrics = Arc::new(Metrics::default());
        let common = Common {
            settings: Arc::clone(&settings),
            table: Arc::clone(&table),
            metrics: Arc::clone(&metrics),
            gates: Arc::new(Gates::default()),
            doors: listeners.iter().map(Door::from).collect(),
        };
        let checker = checker::start(Arc::clone(&table), Arc::clone(&metrics))?;
        let process = format!("{:08x}", fastrand::u32(..));
        let (stop_accepting, stop) = UnixStream::pair()?;
        let mut proxy = Self {
            table,
            metrics,
            posts: Vec::new(),
            stop_accepting,
            acceptor: None,
            workers: Vec::new(),
            checker,
        };
        for index in 0..settings.threads.max(1) {
            let (sender, messages) = mpsc::unbounded_channel();
            let post = Arc::new(Post::new(index, process.clone(), sender));
            proxy.posts.push(Arc::clone(&post));
            let (common, log) = (common.clone(), Arc::clone(&log));
            proxy.workers.push(spawn(&format!("worker-{index}"), move || {
                Worker::new(post, common, log()).run(messages)
            })?);
        }
        let max_connections = settings.max_connections;
        let listeners = listeners.into_iter().map(|listener| listener.socket).collect();
        let acceptor = Acceptor { posts: proxy.posts.clone(), max_connections, listeners, stop };
        proxy.acceptor = Some(named("acceptor").spawn(move || acceptor.run())?);
        Ok(proxy)
    }

    /// Requests from now on are routed by this table.
    pub fn publish(&self, table: Table) {
        self.table.store(Arc::new(table));
        for post in &self.posts {
            post.send(Message::Table);
        }
        self.checker.look();
    }

    /// The table that requests are routed by.
    pub fn table(&self) -> Arc<Table> {
        self.table.load_full()
    }

    /// The table at any time, for those who only read it.
    pub fn reader(&self) -> TableReader {
        TableReader(Arc::clone(&self.table))
    }

    /// The numbers.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Client connections, tunnels included.
    pub fn open_connections(&self) -> usize {
        self.posts.iter().map(|post| post.connections.load(Relaxed)).sum()
    }

    /// Whether every worker's loop came round within this time. A worker gives a sign of life once a second.
    pub fn is_alive(&self, limit: Duration) -> bool {
        self.posts.iter().all(|post| post.is_alive(limit))
    }

    /// Ends politely, and loses nothing that a client could notice.
    ///
    /// First every answer says `Connection: close`, while new connections are still taken: who comes back is served, and
    /// nobody waits. When the connections from before are gone, accepting stops; what comes then waits at the listening
    /// socket for whoever holds it. What was accepted last is finished, and that is it.
    pub async fn drain(&self, limits: DrainLimits) -> Drained {
        let started = Instant::now();
        for post in &self.posts {
            post.send(Message::Drain);
        }
        until(limits.old, || {
            self.posts.iter().all(|post| post.draining.load(Acquire) && post.old.load(Relaxed) == 0)
        })
        .await;
        self.stop_accepting();
        let has_stopped = || self.acceptor.as_ref().is_none_or(JoinHandle::is_finished);
        until(limits.last, || has_stopped() && self.open_connections() == 0).await;
        Drained { cut: self.open_connections(), took: started.elapsed() }
    }

    fn stop_accepting(&self) {
        // Fails when the acceptor is gone, which is what is wanted.
        let _ = self.stop_accepting.shutdown(Shutdown::Both);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop_accepting();
        for post in &self.posts {
            post.send(Message::Stop);
        }
        let checker = self.checker.stop();
        for thread in self.acceptor.take().into_iter().chain(self.workers.drain(..)).chain(checker) {
            if thread.join().is_err() {
                tracing::error!("a thread of the proxy ended by a panic");
            }
        }
    }
}

async fn until(limit: Duration, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition() && Instant::now() < deadline {
        tokio::time::sleep(DRAIN_LOOK).await;
    }
}

fn named(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.to_owned())
}

/// A thread with an event loop of its own. What can fail fails here and not later.
pub(crate) fn spawn<F: Future<Output = ()>>(
    name: &str,
    work: impl FnOnce() -> F + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let (ready, started) = std::sync::mpsc::channel();
    let thread = named(name).spawn(move || {
        let runtime =
            Builder::new_current_thread().enable_io().enable_time().build_local(LocalOptions::default());
        let (runtime, outcome) = match runtime {
            Ok(runtime) => (Some(runtime), Ok(())),
            Err(error) => (None, Err(error)),
        };
        if ready.send(outcome).is_ok()
            && let Some(runtime) = runtime
        {
            runtime.block_on(async move { work().await });
        }
    })?;
    started.recv().map_err(io::Error::other)??;
    Ok(thread)
}
