//! The end of a proxy that nobody notices.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use convoy_proxy::{DrainLimits, Drained, Listener, NoLog, Proxy, Settings};

use crate::support::{Backend, Client, Edge, PATIENCE};

fn drain(proxy: &Proxy, limits: DrainLimits) -> Drained {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(proxy.drain(limits))
}

/// A proxy as its successor would be started: with the same listening socket.
fn successor(edge: &Edge) -> Proxy {
    let settings = Settings { threads: 2, ..Settings::default() };
    let table = edge.proxy.table().next(&edge.routes, 1);
    Proxy::start(vec![Listener::http(edge.listener.try_clone().unwrap())], table, settings, || {
        Box::new(NoLog)
    })
    .unwrap()
}

#[test]
fn clients_that_ask_without_pause_notice_no_restart() {
    let backend = Backend::echo();
    let mut edge = Edge::start(&[("a/lb/1", backend.address)]);
    let (address, over) = (edge.address, AtomicBool::new(false));
    thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|number| {
                let over = &over;
                scope.spawn(move || {
                    let (mut client, mut asked, mut closed) = (Client::connect(address), 0, 0);
                    while !over.load(Ordering::SeqCst) {
                        // Half of them with a body, which can't be sent twice.
                        let answer = if number % 2 == 0 {
                            client.get("a", "/x")
                        } else {
                            client.ask("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
                        };
                        assert_eq!((answer.status, answer.body.as_str()), (200, "/x"));
                        asked += 1;
                        if answer.field("connection") == Some("close") {
                            closed += 1;
                            client = Client::connect(address);
                        }
                    }
                    (asked, closed)
                })
            })
            .collect();
        for _ in 0..3 {
            assert_eq!(drain(&edge.proxy, DrainLimits::default()).cut, 0);
            edge.proxy = successor(&edge);
        }
        over.store(true, Ordering::SeqCst);
        for client in clients {
            let (asked, closed) = client.join().unwrap();
            assert!(asked > 0 && closed > 2, "{asked} requests, told to come again {closed} times");
        }
    });
}

#[test]
fn an_answer_on_its_way_is_finished_and_idle_clients_are_let_go() {
    let (sender, go_on) = std::sync::mpsc::channel::<()>();
    let go_on = std::sync::Mutex::new(go_on);
    let backend = Backend::start(move |peer| {
        peer.head()?;
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")?;
        go_on.lock().unwrap().recv_timeout(PATIENCE).map_err(std::io::Error::other)?;
        peer.send(b"half")?;
        peer.wait_for_end().map(drop)
    });
    let echo = Backend::echo();
    let edge = Edge::start(&[("slow/lb/1", backend.address), ("a/lb/1", echo.address)]);
    let mut slow = edge.client();
    slow.send("GET / HTTP/1.1\r\nHost: slow\r\n\r\n");
    while slow.line() != "\r\n" {}
    assert_eq!(slow.bytes(4), b"half");
    let mut idle = edge.client();
    assert_eq!(idle.get("a", "/").status, 200);
    thread::scope(|scope| {
        let drained = scope.spawn(|| drain(&edge.proxy, DrainLimits::default()));
        assert!(idle.is_at_end());
        assert_eq!(edge.get("a", "/new").status, 200, "who comes meanwhile is served");
        sender.send(()).unwrap();
        assert_eq!(slow.bytes(4), b"half");
        assert_eq!(drained.join().unwrap().cut, 0);
    });
}

#[test]
fn who_comes_after_the_end_waits_at_the_socket_for_the_next_one() {
    let backend = Backend::echo();
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    drain(&edge.proxy, DrainLimits::default());
    let mut client = edge.client();
    client.send("GET /patience HTTP/1.1\r\nHost: a\r\n\r\n");
    let next = successor(&edge);
    assert_eq!(client.answer(false).body, "/patience");
    assert_eq!(edge.get("a", "/").status, 200);
    drop(next);
}

#[test]
fn a_drain_has_an_end_whatever_clients_do() {
    let backend = Backend::start(|peer| {
        peer.head()?;
        peer.wait_for_end().map(drop)
    });
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    let mut client = edge.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    crate::support::eventually("the target has it", || backend.heads().len() == 1);
    let limits = DrainLimits { old: Duration::from_millis(100), last: Duration::from_millis(100) };
    let drained = drain(&edge.proxy, limits);
    assert_eq!(drained.cut, 1);
    assert!(drained.took < Duration::from_secs(2), "{drained:?}");
}

#[test]
fn tunnels_get_a_grace_and_no_more() {
    let backend = Backend::start(|peer| {
        peer.head()?;
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")?;
        peer.wait_for_end().map(drop)
    });
    let mut settings = Settings { threads: 1, ..Settings::default() };
    settings.timeouts.drain_tunnel = Duration::from_millis(300);
    let edge = Edge::with(settings, &[("a/lb/1", backend.address)]);
    let mut stream = TcpStream::connect(edge.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 101");
    let drained = drain(&edge.proxy, DrainLimits::default());
    assert_eq!(drained.cut, 0, "the tunnel ended within the drain");
    assert!(drained.took < Duration::from_secs(10), "{drained:?}");
}
