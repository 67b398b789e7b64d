//! Who the client is, by the word of a proxy in front of us; and doors that are no TCP sockets.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use convoy_proxy::{Listener, NoLog, Proxy, Settings, Socket};

use crate::support::{Backend, Client, Edge, field};

fn edge(trusted: &[&str], backend: &Backend) -> Edge {
    let trusted = trusted.iter().map(|network| network.parse().unwrap()).collect();
    let settings = Settings { threads: 1, trusted, ..Settings::default() };
    Edge::behind(settings, &[("a/lb/1", backend.address)], |socket| Listener {
        proxy_protocol: true,
        ..Listener::http(socket)
    })
}

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_trusted_proxy_says_who_the_client_is_on_every_request_of_the_connection() {
    let backend = Backend::mirror();
    let edge = edge(&["127.0.0.0/8"], &backend);
    let mut client = edge.client();
    client.send("PROXY TCP4 192.0.2.7 10.0.0.1 4711 80\r\n");
    for _ in 0..2 {
        let seen = client.ask(REQUEST).body;
        assert_eq!(field(&seen, "x-forwarded-for"), Some("192.0.2.7"), "{seen}");
    }
    let mut binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x24".to_vec();
    binary.extend([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
    binary.extend([0; 16]);
    binary.extend([0x12, 0x67, 0, 80]);
    binary.extend(REQUEST.as_bytes());
    let mut client = edge.client();
    // In two parts: it may come as it likes.
    client.stream().write_all(&binary[..20]).unwrap();
    client.stream().write_all(&binary[20..]).unwrap();
    assert_eq!(field(&client.answer(false).body, "x-forwarded-for"), Some("2001:db8::9"));
}

#[test]
fn a_trusted_proxy_that_says_nothing_is_not_served() {
    let backend = Backend::mirror();
    let edge = edge(&["127.0.0.0/8"], &backend);
    let mut client = edge.client();
    client.send(REQUEST);
    assert!(client.is_at_end());
    assert_eq!(edge.proxy.metrics().totals().malformed, 1);
}

#[test]
fn from_anybody_else_it_is_no_http() {
    let backend = Backend::mirror();
    let edge = edge(&["203.0.113.0/24"], &backend);
    let mut client = edge.client();
    client.send(&format!("PROXY TCP4 192.0.2.7 10.0.0.1 4711 80\r\n{REQUEST}"));
    assert_eq!(client.answer(false).status, 400);
    assert_eq!(field(&edge.client().ask(REQUEST).body, "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(backend.heads().len(), 1);
}

#[test]
fn a_unix_socket_is_a_door_and_who_opens_it_is_trusted() {
    let backend = Backend::mirror();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edge.sock");
    let socket = Socket::Unix(UnixListener::bind(&path).unwrap());
    let door = Listener { socket, tls: None, proxy_protocol: false, proofs: None };
    // For its table.
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    let table = convoy_routing::Table::empty([].into()).next(&edge.routes, 1);
    let settings = Settings { threads: 1, ..Settings::default() };
    let _proxy = Proxy::start(vec![door], table, settings, || Box::new(NoLog)).unwrap();
    let mut client = UnixStream::connect(&path).unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.8\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\r\nx-forwarded-for: 192.0.2.8, 127.0.0.1\r\n"), "{answer}");
    drop(Client::connect(edge.address));
}
