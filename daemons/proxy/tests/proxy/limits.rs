//! Limits in time and number.

use std::time::Duration;

use convoy_proxy::{Settings, Timeouts};

use crate::support::{Backend, Client, Edge, eventually};

fn settings(change: impl Fn(&mut Timeouts)) -> Settings {
    let mut timeouts = Timeouts::default();
    change(&mut timeouts);
    Settings { threads: 1, timeouts, ..Settings::default() }
}

const SHORT: Duration = Duration::from_millis(300);

#[test]
fn a_head_that_trickles_is_cut_off() {
    let edge = Edge::with(settings(|limits| limits.header = SHORT), &[]);
    let mut silent = edge.client();
    assert!(silent.is_at_end(), "also one that never begins");
    let mut client = edge.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ");
    assert!(client.is_at_end());
}

#[test]
fn the_beginning_of_a_head_that_was_sent_ahead_counts_as_well() {
    let backend = Backend::echo();
    let edge = Edge::with(settings(|limits| limits.header = SHORT), &[("a/lb/1", backend.address)]);
    let mut client = edge.client();
    client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HT");
    assert_eq!(client.answer(false).body, "/1");
    assert!(client.is_at_end());
}

#[test]
fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let backend = Backend::echo();
    let edge = Edge::with(settings(|limits| limits.keep_alive = SHORT), &[("a/lb/1", backend.address)]);
    let mut client = edge.client();
    for _ in 0..5 {
        assert_eq!(client.get("a", "/").status, 200);
    }
    assert!(client.is_at_end());
    eventually("it is counted no longer", || edge.proxy.open_connections() == 0);
}

#[test]
fn a_target_that_does_not_answer_is_given_up() {
    let backend = Backend::start(|peer| {
        peer.head()?;
        peer.wait_for_end().map(drop)
    });
    let edge = Edge::with(settings(|limits| limits.first_byte = SHORT), &[("a/lb/1", backend.address)]);
    let mut client = edge.client();
    let answer = client.get("a", "/");
    assert_eq!(answer.status, 504);
    assert!(answer.body.contains("reason timeout"), "{}", answer.body);
    assert_eq!(backend.heads().len(), 1, "it is not asked again");
    assert_eq!(client.get("nobody", "/").status, 404, "the client's connection goes on");
}

#[test]
fn a_body_that_does_not_come_is_given_up() {
    let backend = Backend::echo();
    let edge = Edge::with(settings(|limits| limits.request_body = SHORT), &[("a/lb/1", backend.address)]);
    let answer = edge.client().ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    assert_eq!(answer.status, 408);
    assert!(answer.body.contains("reason client-timeout"), "{}", answer.body);
}

#[test]
fn an_answer_that_stalls_is_cut_off() {
    let backend = Backend::start(|peer| {
        peer.head()?;
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")?;
        peer.wait_for_end().map(drop)
    });
    let edge = Edge::with(settings(|limits| limits.stall = SHORT), &[("a/lb/1", backend.address)]);
    let mut client = edge.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.try_answer(false).is_err());
}

#[test]
fn a_target_that_can_not_be_reached_in_time_is_left_for_another() {
    // A queue of one that is full: further connections are neither accepted nor refused.
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let _first = std::net::TcpStream::connect(address).unwrap();
    let backend = Backend::echo();
    let edge = Edge::with(
        settings(|limits| limits.connect = SHORT),
        &[("a/lb/1", address), ("a/lb/2", backend.address)],
    );
    for _ in 0..4 {
        assert_eq!(edge.get("a", "/").status, 200);
    }
    assert_eq!(edge.proxy.metrics().totals().ejections, 1);
}

#[test]
fn idle_connections_to_targets_are_closed_by_us_first() {
    let (sender, ended) = std::sync::mpsc::channel();
    let backend = Backend::start(move |peer| {
        peer.head()?;
        peer.reply("1")?;
        peer.wait_for_end()?;
        sender.send(()).unwrap();
        Ok(())
    });
    let edge = Edge::with(settings(|limits| limits.upstream_idle = SHORT), &[("a/lb/1", backend.address)]);
    assert_eq!(edge.get("a", "/").status, 200);
    ended.recv_timeout(crate::support::PATIENCE).unwrap();
    eventually("it is counted no longer", || edge.proxy.metrics().totals().upstream_open == 0);
}

#[test]
fn one_client_too_many_is_told_so() {
    let backend = Backend::echo();
    let settings = Settings { threads: 2, max_connections: 3, ..Settings::default() };
    let edge = Edge::with(settings, &[("a/lb/1", backend.address)]);
    let mut clients: Vec<Client> = (0..3).map(|_| edge.client()).collect();
    for client in &mut clients {
        assert_eq!(client.get("a", "/").status, 200);
    }
    let mut fourth = edge.client();
    let answer = fourth.get("a", "/");
    assert_eq!((answer.status, answer.field("retry-after")), (503, Some("1")));
    assert!(fourth.is_at_end());
    drop(clients);
    eventually("there is room again", || edge.proxy.open_connections() == 0);
    assert_eq!(edge.get("a", "/").status, 200);
}
