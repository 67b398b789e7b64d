//! A proxy on loopback, targets that do as they are told, and clients that speak bytes.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use convoy_proxy::{Listener, Proxy, Record, RequestLog, Settings};
use convoy_routing::{Domain, Effect, Routes, Table};

/// Nothing on loopback takes longer, unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A proxy under test with the keys that it is routed by.
pub(crate) struct Edge {
    pub(crate) proxy: Proxy,
    pub(crate) address: SocketAddr,
    pub(crate) routes: Routes,
    pub(crate) listener: TcpListener,
    log: Mutex<mpsc::Receiver<String>>,
    revision: i64,
}

struct Lines(mpsc::Sender<String>);

impl RequestLog for Lines {
    fn record(&mut self, record: &Record<'_>) {
        let Record { method, host, path, status, route, via, upstream, bytes, retries, reason, .. } = record;
        // A test that doesn't look has dropped the other end.
        let _ = self.0.send(format!(
            "{method} {host}{path} {status} {route}/{via} {upstream} bytes={bytes} retries={retries} {reason}"
        ));
    }

    fn flush(&mut self) {}
}

impl Edge {
    /// Two workers, ordinary limits.
    pub(crate) fn start(targets: &[(&str, SocketAddr)]) -> Self {
        Self::with(Settings { threads: 2, ..Settings::default() }, targets)
    }

    /// `targets` are keys without the prefix: `a/lb/1`.
    pub(crate) fn with(settings: Settings, targets: &[(&str, SocketAddr)]) -> Self {
        Self::behind(settings, targets, Listener::http)
    }

    /// With a door of its own kind.
    pub(crate) fn behind(
        settings: Settings,
        targets: &[(&str, SocketAddr)],
        door: impl Fn(TcpListener) -> Listener,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, log) = mpsc::channel();
        let doors = vec![door(listener.try_clone().unwrap())];
        let proxy =
            Proxy::start(doors, empty_table(), settings, move || Box::new(Lines(sender.clone()))).unwrap();
        let log = Mutex::new(log);
        let mut edge = Self { proxy, address, routes: Routes::new(), listener, log, revision: 0 };
        for (key, target) in targets {
            edge.put(key, *target);
        }
        edge
    }

    pub(crate) fn put(&mut self, key: &str, target: SocketAddr) {
        self.revision += 1;
        self.routes.put(&format!("/services/{key}"), target.to_string().as_bytes(), self.revision, 0);
        self.publish();
    }

    /// What an app wants beside the ordinary: the value of `/convoy/routes/<app>`.
    pub(crate) fn document(&mut self, app: &str, json: &str) {
        self.revision += 1;
        let effect = self.routes.put(&format!("/convoy/routes/{app}"), json.as_bytes(), self.revision, now());
        assert!(matches!(effect, Effect::Changed(_)), "{effect:?}");
        self.publish();
    }

    /// The record of an instance.
    pub(crate) fn record(&mut self, instance: &str, state: &str, weight: u16) {
        self.revision += 1;
        let json =
            format!(r#"{{"state":"{state}","weight":{weight},"machine_id":"m","unit":"u","since":1}}"#);
        self.routes.put(&format!("/convoy/instances/{instance}"), json.as_bytes(), self.revision, now());
        self.publish();
    }

    /// As [`Self::delete`], at this moment.
    pub(crate) fn delete_now(&mut self, key: &str) {
        self.revision += 1;
        self.routes.delete(&format!("/services/{key}"), now());
        self.publish();
    }

    pub(crate) fn delete(&mut self, key: &str) {
        self.revision += 1;
        self.routes.delete(&format!("/services/{key}"), 0);
        self.publish();
    }

    fn publish(&self) {
        self.proxy.publish(self.proxy.table().next(&self.routes, self.revision));
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// One request on a connection of its own.
    pub(crate) fn get(&self, host: &str, path: &str) -> Answer {
        self.client().get(host, path)
    }

    pub(crate) fn log_line(&self) -> String {
        self.log.lock().unwrap().recv_timeout(PATIENCE).unwrap()
    }
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

fn empty_table() -> Table {
    Table::empty([Domain::parse("d.example").unwrap()].into())
}

/// Waits for a condition that other threads bring about.
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::park_timeout(Duration::from_millis(2));
    }
}

/// An address at which nobody listens.
pub(crate) fn refusing() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A target whose connections are handled by a closure, each on a thread.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
}

/// A connection as the target sees it.
pub(crate) struct Peer {
    reader: BufReader<TcpStream>,
    heads: Arc<Mutex<Vec<String>>>,
    /// How many connections came before.
    pub(crate) number: usize,
}

impl Backend {
    pub(crate) fn start(handle: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (counter, seen, handle) = (Arc::clone(&connections), Arc::clone(&heads), Arc::new(handle));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let number = counter.fetch_add(1, Ordering::SeqCst);
                let mut peer = Peer { reader: BufReader::new(stream), heads: Arc::clone(&seen), number };
                let handle = Arc::clone(&handle);
                thread::spawn(move || {
                    // Targets in these tests break off on purpose; what matters is what the client sees.
                    let _ = handle(&mut peer);
                });
            }
        });
        Self { address, connections, heads }
    }

    /// Reads requests and answers none.
    pub(crate) fn silent() -> Self {
        Self::start(|peer| {
            while peer.head()?.is_some() {
                peer.wait_for_end()?;
            }
            Ok(())
        })
    }

    /// Answers every request with its path, and keeps the connection.
    pub(crate) fn echo() -> Self {
        Self::start(|peer| {
            while let Some(head) = peer.head()? {
                peer.body(&head)?;
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                peer.reply(&path)?;
            }
            Ok(())
        })
    }

    /// Answers every request with a name.
    pub(crate) fn named(name: &'static str) -> Self {
        Self::start(move |peer| {
            while let Some(head) = peer.head()? {
                peer.body(&head)?;
                peer.reply(name)?;
            }
            Ok(())
        })
    }

    /// Answers every request with the head that it got.
    pub(crate) fn mirror() -> Self {
        Self::start(|peer| {
            while let Some(head) = peer.head()? {
                peer.body(&head)?;
                peer.reply(&head)?;
            }
            Ok(())
        })
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The request heads so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Peer {
    /// The next request's head; none when the connection is over.
    pub(crate) fn head(&mut self) -> io::Result<Option<String>> {
        let head = read_head(&mut self.reader)?;
        if let Some(head) = &head {
            self.heads.lock().unwrap().push(head.clone());
        }
        Ok(head)
    }

    /// The body that belongs to the head, decoded.
    pub(crate) fn body(&mut self, head: &str) -> io::Result<Vec<u8>> {
        read_body(&mut self.reader, head, false)
    }

    pub(crate) fn byte(&mut self) -> io::Result<[u8; 1]> {
        let mut byte = [0];
        self.reader.read_exact(&mut byte)?;
        Ok(byte)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    pub(crate) fn reply(&mut self, body: &str) -> io::Result<()> {
        self.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes())
    }

    /// Waits until the other side closes, throwing away what it sends.
    pub(crate) fn wait_for_end(&mut self) -> io::Result<u64> {
        io::copy(&mut self.reader, &mut io::sink())
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }
}

/// A client's connection.
pub(crate) struct Client {
    reader: BufReader<TcpStream>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { reader: BufReader::new(stream) }
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.reader.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// Sends and reads one answer.
    pub(crate) fn ask(&mut self, text: &str) -> Answer {
        self.send(text);
        self.answer(text.starts_with("HEAD"))
    }

    pub(crate) fn get(&mut self, host: &str, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    }

    pub(crate) fn answer(&mut self, bodiless: bool) -> Answer {
        self.try_answer(bodiless).unwrap().expect("an answer, not the end of the connection")
    }

    pub(crate) fn try_answer(&mut self, bodiless: bool) -> io::Result<Option<Answer>> {
        let Some(head) = read_head(&mut self.reader)? else { return Ok(None) };
        let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        let bodiless = bodiless || status == 204 || status == 304 || status < 200;
        let body = if bodiless { Vec::new() } else { read_body(&mut self.reader, &head, true)? };
        Ok(Some(Answer { status, head, body: String::from_utf8_lossy(&body).into_owned() }))
    }

    /// Exactly so many bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.reader.read_exact(&mut bytes).unwrap();
        bytes
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line
    }

    /// Whether the connection is over, and nothing comes before that.
    pub(crate) fn is_at_end(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.reader.read_to_end(&mut rest) {
            Ok(count) => count == 0,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }
}

pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

fn read_head(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut head = String::new();
    loop {
        if reader.read_line(&mut head)? == 0 {
            return if head.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        if head.ends_with("\r\n\r\n") {
            return Ok(Some(head));
        }
    }
}

fn read_body(reader: &mut impl BufRead, head: &str, to_end: bool) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if field(head, "transfer-encoding") == Some("chunked") {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size)?;
            let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk)?;
            if size == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk[..size]);
        }
    } else if let Some(length) = field(head, "content-length") {
        body.resize(length.parse().map_err(io::Error::other)?, 0);
        reader.read_exact(&mut body)?;
    } else if to_end {
        reader.read_to_end(&mut body)?;
    }
    Ok(body)
}
