//! Targets that are restarted one after the other, or killed, under load.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use convoy_proxy::{Proxy, Settings};

use crate::support::{Client, Edge, eventually};

/// A server that can be stopped politely or killed, and started again at the same address.
struct Server {
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    acceptor: Option<JoinHandle<()>>,
}

impl Server {
    fn start(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let stopping = Arc::new(AtomicBool::new(false));
        let open = Arc::new(Mutex::new(Vec::new()));
        let (flag, streams) = (Arc::clone(&stopping), Arc::clone(&open));
        let acceptor = thread::spawn(move || {
            let mut connections = Vec::new();
            for stream in listener.incoming() {
                if flag.load(Ordering::SeqCst) {
                    break;
                }
                let stream = stream.unwrap();
                streams.lock().unwrap().push(stream.try_clone().unwrap());
                let flag = Arc::clone(&flag);
                connections.push(thread::spawn(move || serve(stream, &flag)));
            }
            drop(listener);
            for connection in connections {
                connection.join().unwrap();
            }
        });
        Self { address, stopping, open, acceptor: Some(acceptor) }
    }

    /// As servers do on SIGTERM: no new connections, idle ones closed, requests finished.
    fn stop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        // Wakes the acceptor.
        drop(TcpStream::connect(self.address));
        self.acceptor.take().unwrap().join().unwrap();
    }

    /// As on SIGKILL: everything is cut in the middle.
    fn kill(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        for stream in self.open.lock().unwrap().drain(..) {
            // Fails when the other side was faster.
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.stop();
    }

    fn restart(&mut self) {
        *self = Self::start(self.address);
    }
}

fn serve(mut stream: TcpStream, stopping: &AtomicBool) {
    stream.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
    let mut request = Vec::new();
    let mut space = [0; 4096];
    loop {
        match stream.read(&mut space) {
            Ok(0) => return,
            Ok(count) => request.extend_from_slice(&space[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if stopping.load(Ordering::SeqCst) && request.is_empty() {
                    return;
                }
            }
            Err(_) => return,
        }
        let text = String::from_utf8_lossy(&request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        if head.starts_with("POST") && body.len() < 3 {
            continue;
        }
        request.clear();
        if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
            return;
        }
    }
}

/// Clients that ask without pause while `disturb` runs; every answer has to be a good one.
fn under_load(edge: &mut Edge, methods: &[&str], disturb: impl FnOnce(&mut Edge, &AtomicUsize)) {
    let (over, asked, address) = (AtomicBool::new(false), AtomicUsize::new(0), edge.address);
    thread::scope(|scope| {
        for method in methods {
            let (over, asked) = (&over, &asked);
            scope.spawn(move || {
                let mut client = Client::connect(address);
                let body = if *method == "POST" { "Content-Length: 3\r\n\r\nabc" } else { "\r\n" };
                while !over.load(Ordering::SeqCst) {
                    let answer = client.ask(&format!("{method} / HTTP/1.1\r\nHost: a\r\n{body}"));
                    assert_eq!((answer.status, answer.body.as_str()), (200, "ok"), "{method}");
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        disturb(edge, &asked);
        over.store(true, Ordering::SeqCst);
    });
}

fn some_more(asked: &AtomicUsize) {
    let before = asked.load(Ordering::SeqCst);
    eventually("requests go on", || asked.load(Ordering::SeqCst) > before + 40);
}

fn edge(servers: &[Server]) -> Edge {
    let settings = Settings { threads: 2, ..Settings::default() };
    Edge::with(settings, &[("a/lb/1", servers[0].address), ("a/lb/2", servers[1].address)])
}

fn anywhere() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

#[test]
fn a_rolling_restart_of_load_balancers_fails_no_request_of_any_kind() {
    let mut servers = [Server::start(anywhere()), Server::start(anywhere())];
    let mut edge = edge(&servers);
    under_load(&mut edge, &["GET", "POST", "GET", "POST", "GET", "POST"], |edge, asked| {
        for _ in 0..3 {
            for (key, server) in ["a/lb/1", "a/lb/2"].into_iter().zip(&mut servers) {
                edge.delete(key);
                // What lb-watcher waits for by time: the requests that were on their way are through.
                some_more(asked);
                server.stop();
                some_more(asked);
                server.restart();
                edge.put(key, server.address);
                some_more(asked);
            }
        }
    });
}

#[test]
fn a_load_balancer_that_is_killed_fails_no_idempotent_request() {
    let mut servers = [Server::start(anywhere()), Server::start(anywhere())];
    let mut edge = edge(&servers);
    under_load(&mut edge, &["GET", "DELETE", "GET", "OPTIONS"], |_, asked| {
        for round in 0..6 {
            let server = &mut servers[round % 2];
            server.kill();
            some_more(asked);
            server.restart();
            some_more(asked);
        }
    });
    assert!(ejections(&edge.proxy) > 0, "the dead one was left out meanwhile");
}

fn ejections(proxy: &Proxy) -> u64 {
    proxy.metrics().totals().ejections
}
