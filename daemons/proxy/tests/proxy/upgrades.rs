//! WebSocket: a tunnel after a 101 that was asked for, and only then.

use std::io::{Read, Write};

use crate::support::{Backend, Edge, eventually, field};

const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n";
const SWITCH: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: y\r\n\r\n";

/// Switches, says hello at once, and sends everything back.
fn echo() -> Backend {
    Backend::start(|peer| {
        let head = peer.head()?.unwrap();
        assert_eq!(field(&head, "upgrade"), Some("websocket"));
        assert_eq!(field(&head, "connection"), Some("upgrade"));
        peer.send(&[SWITCH, b"hello"].concat())?;
        let mut stream = peer.stream().try_clone()?;
        let mut buffer = [0; 1024];
        loop {
            let count = stream.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            stream.write_all(&buffer[..count])?;
        }
    })
}

#[test]
fn a_websocket_becomes_a_tunnel_and_is_counted_until_it_ends() {
    let backend = echo();
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    let mut client = edge.client();
    let answer = client.ask(HANDSHAKE);
    assert_eq!((answer.status, answer.field("upgrade")), (101, Some("websocket")));
    assert_eq!(answer.field("sec-websocket-accept"), Some("y"));
    assert_eq!(client.bytes(5), b"hello", "what came with the answer is not lost");
    for round in 0..100 {
        let text = format!("message {round:04}");
        client.send(&text);
        assert_eq!(client.bytes(text.len()), text.as_bytes());
    }
    assert_eq!(edge.proxy.open_connections(), 1);
    drop(client);
    eventually("the tunnel is gone", || edge.proxy.open_connections() == 0);
    assert!(edge.log_line().starts_with("GET a/chat 101 a/lb"));
}

#[test]
fn a_switch_that_nobody_asked_for_is_refused() {
    let backend = Backend::start(|peer| {
        peer.head()?;
        peer.send(SWITCH)?;
        peer.wait_for_end().map(drop)
    });
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: x\r\n\r\n",
    ] {
        let answer = edge.client().ask(request);
        assert_eq!(answer.status, 502, "{request}");
        assert!(answer.body.contains("reason protocol"), "{}", answer.body);
    }
}

#[test]
fn a_switch_to_something_else_is_refused() {
    let backend = Backend::start(|peer| {
        peer.head()?;
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")?;
        peer.wait_for_end().map(drop)
    });
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    assert_eq!(edge.client().ask(HANDSHAKE).status, 502);
}

#[test]
fn a_target_that_declines_is_an_ordinary_answer() {
    let backend = Backend::echo();
    let edge = Edge::start(&[("a/lb/1", backend.address)]);
    let mut client = edge.client();
    let answer = client.ask(HANDSHAKE);
    assert_eq!((answer.status, answer.body.as_str()), (200, "/chat"));
    assert_eq!(client.get("a", "/next").body, "/next", "the connection goes on");
}
