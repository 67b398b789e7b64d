//! Asks targets how they are, for those services that want it. One thread for all of them: what it finds out is told to
//! the targets, which all workers see.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use convoy_health::{Health, Monitor, Outcome};
use convoy_keys::AppName;
use convoy_routing::{ActiveCheck, Table, Target};
use http::header::{CONNECTION, HOST, USER_AGENT};
use http::{HeaderValue, Request};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, timeout};

use crate::metrics::Metrics;
use crate::proxy;

/// The thread, and how it is told that the table is another one.
#[derive(Debug)]
pub(crate) struct Checker {
    looks: Option<UnboundedSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checker {
    /// The table is another one.
    pub(crate) fn look(&self) {
        if let Some(looks) = &self.looks {
            // Fails when the thread is gone, which is at the end only.
            let _ = looks.send(());
        }
    }

    pub(crate) fn stop(&mut self) -> Option<JoinHandle<()>> {
        self.looks = None;
        self.thread.take()
    }
}

pub(crate) fn start(table: Arc<ArcSwap<Table>>, metrics: Arc<Metrics>) -> io::Result<Checker> {
    let (looks, changes) = unbounded_channel();
    let thread = proxy::spawn("checker", move || run(table, metrics, changes))?;
    let checker = Checker { looks: Some(looks), thread: Some(thread) };
    checker.look();
    Ok(checker)
}

/// A target that is being asked.
struct Asked {
    check: ActiveCheck,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(table: Arc<ArcSwap<Table>>, metrics: Arc<Metrics>, mut changes: UnboundedReceiver<()>) {
    let mut asked: HashMap<u64, Asked> = HashMap::new();
    while changes.recv().await.is_some() {
        while changes.try_recv().is_ok() {}
        let table = table.load_full();
        let mut wanted = HashMap::new();
        for service in table.services() {
            let Some(check) = &service.policy().check else { continue };
            for slot in service.slots() {
                wanted.insert(slot.target.id(), (service.app(), &slot.target, check));
            }
        }
        asked.retain(|id, running| wanted.get(id).is_some_and(|(_, _, check)| **check == running.check));
        for (id, (app, target, check)) in wanted {
            asked.entry(id).or_insert_with(|| {
                let ask = ask(app.clone(), Arc::clone(target), check.clone(), Arc::clone(&metrics));
                Asked { check: check.clone(), task: tokio::task::spawn_local(ask) }
            });
        }
    }
}

/// Resets what a check said when nobody asks any more.
struct Verdict(Arc<Target>);

impl Drop for Verdict {
    fn drop(&mut self) {
        self.0.set_failing(false);
    }
}

async fn ask(app: AppName, target: Arc<Target>, check: ActiveCheck, metrics: Arc<Metrics>) {
    let verdict = Verdict(target);
    let target = &verdict.0;
    let mut monitor = Monitor::new(check.rules.clone());
    let began = Instant::now();
    // Not all at once.
    sleep(check.rules.interval().min(Duration::from_secs(1)).mul_f64(fastrand::f64())).await;
    loop {
        let error = match timeout(check.rules.timeout(), once(target, &check)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("no answer in time".to_owned()),
        };
        let outcome = if error.is_none() { Outcome::Good } else { Outcome::Bad };
        monitor.observe(outcome, began.elapsed());
        let failing = monitor.health() == Health::Failing;
        if target.set_failing(failing) {
            metrics.check_failures.fetch_add(u64::from(failing), Relaxed);
            let (route, address) = (app.as_str(), target.address_text());
            if let Some(error) = error {
                tracing::warn!(ROUTE = route, TARGET_ADDRESS = address, error, "a target fails its checks");
            } else {
                tracing::info!(ROUTE = route, TARGET_ADDRESS = address, "a target passes its checks again");
            }
        }
        sleep(monitor.next_wait()).await;
    }
}

#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("{0}")]
    Request(#[from] http::Error),
    #[error("status {0}")]
    Status(u16),
}

async fn once(target: &Target, check: &ActiveCheck) -> Result<(), AskError> {
    let mut address = target.address();
    let Some(http) = &check.http else {
        TcpStream::connect(address).await?;
        return Ok(());
    };
    if let Some(port) = http.port {
        address.set_port(port);
    }
    let io = TokioIo::new(TcpStream::connect(address).await?);
    let (mut sender, connection) = http1::handshake(io).await?;
    let connection = tokio::task::spawn_local(async move {
        // Its error is the request's, too.
        let _ = connection.await;
    });
    let host = check.host.as_deref().unwrap_or(target.address_text());
    let request = Request::get(http.path.as_str())
        .header(HOST, host)
        .header(USER_AGENT, HeaderValue::from_static("convoy-edge-router"))
        .header(CONNECTION, HeaderValue::from_static("close"))
        .body(Empty::<Bytes>::new())?;
    let status = sender.send_request(request).await.map(|response| response.status().as_u16());
    connection.abort();
    match status? {
        status if check.statuses.contains(status) => Ok(()),
        status => Err(AskError::Status(status)),
    }
}
