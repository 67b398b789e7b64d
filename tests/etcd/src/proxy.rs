//! Bad networks: a listener that never answers, and a proxy that can fall silent.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep_until},
};

/// Accepts connections and never says a word.
#[derive(Debug)]
pub struct BlackHole {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl BlackHole {
    /// Listens on a free port of loopback.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("binding a black hole")?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((connection, _)) = listener.accept().await {
                held.push(connection);
            }
        });
        Ok(Self { address, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for BlackHole {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a proxy does with its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// Passes bytes on.
    Open,
    /// Passes them on after a while.
    Slow(Duration),
    /// Keeps connections and passes nothing on.
    Stalled,
    /// Closes connections, and new ones at once.
    Cut,
}

/// A TCP proxy before an endpoint.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    line: watch::Sender<Line>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of loopback and passes everything on to `target`.
    pub async fn start(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("binding a proxy")?;
        let address = listener.local_addr()?;
        let (line, state) = watch::channel(Line::Open);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(join(client, target, state.clone()));
            }
        });
        Ok(Self { address, line, task })
    }

    /// The URL of the proxied endpoint.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets nothing pass, without closing anything: what a lost route or a hung machine looks like.
    pub fn stall(&self) {
        self.line.send_replace(Line::Stalled);
    }

    /// Closes all connections and refuses new ones.
    pub fn cut(&self) {
        self.line.send_replace(Line::Cut);
    }

    /// Passes everything on after a while, in each direction.
    pub fn slow(&self, delay: Duration) {
        self.line.send_replace(Line::Slow(delay));
    }

    /// Passes everything on again.
    pub fn resume(&self) {
        self.line.send_replace(Line::Open);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn join(client: TcpStream, target: SocketAddr, state: watch::Receiver<Line>) {
    if *state.borrow() == Line::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect(target).await else { return };
    // The proxy is not to be the delay that is measured.
    if client.set_nodelay(true).and(server.set_nodelay(true)).is_err() {
        return;
    }
    let ((client_in, client_out), (server_in, server_out)) = (client.into_split(), server.into_split());
    tokio::select! {
        () = pass(client_in, server_out, state.clone()) => {}
        () = pass(server_in, client_out, state) => {}
    }
}

/// Passes one direction on, until either end or the proxy itself closes.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<Line>) {
    let mut bytes = vec![0; 64 << 10];
    let mut late: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    loop {
        let line = *state.borrow_and_update();
        let due = late.front().map(|(due, _)| *due);
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return },
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                if let Some((_, bytes)) = late.pop_front()
                    && to.write_all(&bytes).await.is_err()
                {
                    return;
                }
            }
            read = from.read(&mut bytes), if matches!(line, Line::Open | Line::Slow(_)) => {
                let Some(read) = read.ok().filter(|count| *count > 0).and_then(|count| bytes.get(..count)) else {
                    return;
                };
                match line {
                    Line::Slow(delay) => late.push_back((Instant::now() + delay, read.to_vec())),
                    // What was read before comes first.
                    _ if !late.is_empty() => late.push_back((Instant::now(), read.to_vec())),
                    _ => if to.write_all(read).await.is_err() { return },
                }
            }
        }
        if *state.borrow() == Line::Cut {
            return;
        }
    }
}
