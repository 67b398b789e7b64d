//! The server, the proxy in front of it, and a client that writes what it is given.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use convoy_proxy::{Listener, NoLog, Proxy, Settings};
use convoy_routing::{Routes, RoutesFile, Table};
use tungstenite::error::{CapacityError, Error};
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};

use crate::cases::Case;
use crate::frame::{self, CLOSE, CONTINUATION, PONG};

/// Nothing on loopback takes longer, unless it is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// The key of RFC 6455 1.3, and the answer to it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// What the client got.
pub(crate) struct Played {
    /// Everything behind the answer's head.
    pub(crate) bytes: Vec<u8>,
    pub(crate) messages: usize,
    pub(crate) pongs: usize,
    /// The code of the first close frame.
    pub(crate) close: Option<u16>,
}

impl std::fmt::Debug for Played {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { bytes, messages, pongs, close } = self;
        write!(f, "{} bytes, {messages} messages, {pongs} pongs, closed with {close:?}", bytes.len())
    }
}

fn serve(handle: fn(TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            thread::spawn(move || handle(stream));
        }
    });
    address
}

/// A server that sends every message back.
pub(crate) fn server() -> SocketAddr {
    serve(|stream| {
        let mut rest = stream.try_clone().unwrap();
        let mut socket = tungstenite::accept(stream).unwrap();
        echo(&mut socket);
        // What it doesn't read any more would reset the connection, and take away what it has written.
        let _ = io::copy(&mut rest, &mut io::sink());
    })
}

fn echo(socket: &mut WebSocket<TcpStream>) {
    loop {
        let error = match socket.read() {
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => {
                socket.send(message).unwrap();
                continue;
            }
            Ok(_) => continue,
            Err(Error::ConnectionClosed | Error::AlreadyClosed) => return,
            Err(error) => error,
        };
        let code = match error {
            Error::Utf8(_) => CloseCode::Invalid,
            Error::Capacity(CapacityError::MessageTooLong { .. }) => CloseCode::Size,
            Error::Protocol(_) => CloseCode::Protocol,
            _ => return,
        };
        // It may have said so already.
        let _ = socket.close(Some(CloseFrame { code, reason: "".into() })).and_then(|()| socket.flush());
        return;
    }
}

/// A server that accepts whatever is offered, and tells what it saw.
pub(crate) fn head_server() -> SocketAddr {
    serve(|stream| {
        let mut seen = Vec::new();
        for line in BufReader::new(&stream).lines() {
            let line = line.unwrap();
            if line.is_empty() {
                break;
            }
            if line.to_ascii_lowercase().starts_with("sec-websocket-") {
                seen.push(line.to_ascii_lowercase());
            }
        }
        seen.sort();
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {ACCEPT}\r\nSec-WebSocket-Protocol: chat\r\n\
             Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\nX-Seen: {}\r\n\r\n",
            seen.join(" | ")
        );
        (&stream).write_all(answer.as_bytes()).unwrap();
    })
}

/// A proxy for everything, with one target.
pub(crate) fn edge(target: SocketAddr) -> (Proxy, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let file = format!(r#"{{"routes":[{{"host":"*","targets":["{target}"]}}]}}"#);
    let mut routes = Routes::new();
    routes.replace_documents(RoutesFile::parse(file.as_bytes()).unwrap().documents, 0);
    let table = Table::empty([].into()).next(&routes, 1);
    let settings = Settings { threads: 2, ..Settings::default() };
    let proxy = Proxy::start(vec![Listener::http(listener)], table, settings, || Box::new(NoLog)).unwrap();
    (proxy, address)
}

fn shake_hands(address: SocketAddr, fields: &str) -> (BufReader<TcpStream>, Vec<String>) {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    let request = format!(
        "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{fields}\r\n"
    );
    (&stream).write_all(request.as_bytes()).unwrap();
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_ascii_lowercase()),
        }
    }
    assert!(head[0].starts_with("http/1.1 101"), "{head:?}");
    assert!(head.contains(&format!("sec-websocket-accept: {}", ACCEPT.to_ascii_lowercase())), "{head:?}");
    (reader, head)
}

/// What the ends told each other about WebSocket.
pub(crate) fn agreed(address: SocketAddr, fields: &str) -> Vec<String> {
    let (_, head) = shake_hands(address, fields);
    let mut agreed: Vec<_> = head.into_iter().filter(|line| line.contains("websocket")).collect();
    agreed.sort();
    agreed
}

/// Plays a case until the server's end of the connection.
pub(crate) fn played(address: SocketAddr, case: &Case) -> Played {
    let (mut reader, _) = shake_hands(address, "");
    let mut writer = reader.get_ref().try_clone().unwrap();
    let mut bytes = Vec::new();
    thread::scope(|scope| {
        scope.spawn(move || {
            for piece in &case.writes {
                writer.write_all(piece).unwrap();
            }
            writer.shutdown(Shutdown::Write).unwrap();
        });
        reader.read_to_end(&mut bytes).unwrap();
    });
    let mut played = Played { bytes: Vec::new(), messages: 0, pongs: 0, close: None };
    let mut rest = bytes.as_slice();
    while let Some((frame, behind)) = frame::read(rest) {
        rest = behind;
        match frame.opcode {
            PONG => played.pongs += 1,
            CLOSE => {
                let code = frame.payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                played.close = played.close.or(code);
            }
            _ => played.messages += usize::from(frame.is_last),
        }
        assert!(frame.opcode != CONTINUATION || frame.is_last, "{}", case.name);
    }
    assert!(rest.is_empty(), "{}: half a frame", case.name);
    played.bytes = bytes;
    played
}
