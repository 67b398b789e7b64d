//! One client connection.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use convoy_certificates::ACME_TLS_ALPN;
use convoy_hygiene::{Field, Origin, Survey, proxy_protocol};
use tokio_rustls::TlsAcceptor;

use crate::client_io::ClientIo;
use crate::connection_http2;
use crate::control::{Control, Phase, Verdict};
use crate::front::{Front, Next};
use crate::listener::Door;
use crate::serve_http1::{self, After};
use crate::wire::{Accepted, Plain, Wire};
use crate::worker::Worker;

/// What an HTTP/2 connection begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// HTTP/2: so many requests may be taken back, and more only when there are twice as many that were not. Each costs us a
/// connection to a target and the client next to nothing (CVE-2023-44487).
const TAKEN_BACK_MAX: u32 = 100;

/// Who is at the other end. The connection counts as open until the last one lets go of it, a tunnel included.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) worker: Rc<Worker>,
    pub(crate) control: Rc<Control>,
    pub(crate) address: IpAddr,
    address_text: Box<str>,
    /// Whether it is a proxy whose word counts.
    pub(crate) trusted: bool,
    pub(crate) door: Rc<Door>,
    /// One too many: it is told so, and closed.
    pub(crate) shed: bool,
    /// The name that it asked for in its TLS handshake.
    server_name: Option<Box<str>>,
    streams: Cell<u32>,
    /// Requests of an HTTP/2 connection so far, and those that the client took back.
    begun: Cell<u32>,
    taken_back: Cell<u32>,
    _open: Open,
}

impl Client {
    /// What targets are told about it.
    pub(crate) fn origin(&self) -> Origin<'_> {
        Origin {
            address: &self.address_text,
            trusted: self.trusted,
            scheme: if self.door.tls.is_some() { "https" } else { "http" },
            port: &self.door.port_text,
        }
    }

    /// A request of an HTTP/2 connection begins.
    pub(crate) fn begin_stream(self: &Rc<Self>) -> Stream {
        if self.streams.replace(self.streams.get() + 1) == 0 {
            self.control.enter(Phase::Streams);
        }
        self.begun.set(self.begun.get().saturating_add(1));
        let control = Rc::new(Control::new(Rc::clone(&self.worker.clock)));
        let number = self.worker.begin_stream(Rc::clone(&control), Rc::clone(&self.control));
        Stream { control, client: Rc::clone(self), number }
    }

    /// Whether answers that are complete are still on their way, on a connection where nothing else is: then it is not at
    /// rest.
    pub(crate) fn note_unsent(&self, is_unsent: bool) {
        let phase = if is_unsent { Phase::Answer } else { Phase::NoStreams };
        if self.streams.get() == 0 && !self.control.is_at(phase) {
            self.control.enter(phase);
        }
    }

    /// The client took a request back. One that does little else is cut off.
    pub(crate) fn stream_taken_back(&self) {
        let count = self.taken_back.get().saturating_add(1);
        self.taken_back.set(count);
        if count > TAKEN_BACK_MAX
            && count.saturating_mul(3) > self.begun.get()
            && self.control.verdict() != Verdict::Cut
        {
            self.worker.counters.rapid_resets.add(1);
            tracing::warn!(CLIENT = %self.address, REQUESTS = count, "a client takes back what it asks for, and is cut off");
            self.control.cut();
        }
    }

    /// Whether the TLS connection was opened for a name with another certificate than this host's (RFC 9110, section
    /// 15.5.20).
    pub(crate) fn is_misdirected(&self, host: &str) -> bool {
        match (&self.door.tls, &self.server_name) {
            (Some(tls), Some(name)) => **name != *host && !(tls.covers)(name, host),
            _ => false,
        }
    }

    /// Whether the client, or the trusted proxy before us, came over TLS.
    pub(crate) fn is_secure<'a, F: Iterator<Item = Field<'a>> + Clone>(
        &self,
        survey: &Survey<'a, F>,
    ) -> bool {
        let said = || survey.values("x-forwarded-proto").next() == Some(b"https");
        self.door.tls.is_some() || self.trusted && said()
    }
}

/// A request of an HTTP/2 connection, as it is watched.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) control: Rc<Control>,
    client: Rc<Client>,
    number: u64,
}

impl Drop for Stream {
    fn drop(&mut self) {
        let client = &self.client;
        client.worker.end_stream(self.number);
        client.streams.set(client.streams.get().saturating_sub(1));
        if client.streams.get() == 0 {
            client.control.enter(Phase::NoStreams);
        }
    }
}

/// A connection as it is counted.
#[derive(Debug)]
struct Open {
    worker: Rc<Worker>,
    number: u64,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.worker.closed(self.number);
    }
}

/// Serves the connection until it ends.
///
/// There may be many that are at rest, and one that is is no more than its socket here: its beginning, its requests and its
/// end are in boxes that are there only meanwhile.
pub(crate) fn run(
    worker: Rc<Worker>,
    socket: Accepted,
    peer: Option<SocketAddr>,
    door: Rc<Door>,
    shed: bool,
) -> impl Future<Output = ()> {
    let beginning = Box::pin(begin(worker, socket, peer, door, shed));
    async move {
        let Some((client, mut io, http2)) = beginning.await else { return };
        if http2 {
            return Box::pin(connection_http2::run(client, io)).await;
        }
        while io.something_comes(&client.control).await {
            match Box::pin(converse(&client, io)).await {
                Some(given_back) => io = given_back,
                None => return,
            }
        }
        Box::pin(Front::new(io).close(&client.control)).await;
    }
}

/// Answers requests as long as they are there. Gives the connection back where another one may come.
async fn converse(client: &Rc<Client>, io: ClientIo) -> Option<ClientIo> {
    let (control, worker) = (&client.control, &client.worker);
    let mut front = Front::new(io);
    let after = loop {
        let after = match front.next(control, &worker.buffers).await {
            Next::End => After::Close,
            Next::Head(length) => serve_http1::serve(client, &mut front, length).await,
            Next::Malformed(error) => {
                worker.counters.malformed.add(1);
                tracing::debug!(CLIENT = %client.address, %error, "a request is no HTTP");
                Box::pin(serve_http1::reject(client, &mut front, error)).await
            }
        };
        front.rest(&worker.buffers);
        match after {
            After::Keep if front.inlet.is_empty() => return Some(front.io),
            // The next one came along with it.
            After::Keep => {}
            after => break after,
        }
    };
    match after {
        After::Close => Box::pin(front.close(control)).await,
        After::Linger => Box::pin(front.linger(control)).await,
        After::Keep | After::Cut => {}
    }
    None
}

/// From an accepted socket to a client whose requests can be read, and whether it speaks HTTP/2.
async fn begin(
    worker: Rc<Worker>,
    socket: Accepted,
    peer: Option<SocketAddr>,
    door: Rc<Door>,
    shed: bool,
) -> Option<(Rc<Client>, ClientIo, bool)> {
    let control = Rc::new(Control::new(Rc::clone(&worker.clock)));
    let open = Open { number: worker.opened(Rc::clone(&control)), worker: Rc::clone(&worker) };
    let began = async {
        let mut plain = socket.register()?;
        let peer = announced_peer(&worker, &mut plain, peer, &door).await?;
        let (wire, server_name, http2) = secured(&worker, plain, &door).await?;
        io::Result::Ok((peer, wire, server_name, http2))
    };
    let (peer, wire, server_name, http2) = match watched(&control, began).await? {
        Ok(ready) => ready,
        Err(error) => {
            tracing::debug!(%error, "a connection did not come as far as a request");
            return None;
        }
    };
    // A peer without an address came through a file: whoever may open that is somebody of this machine.
    let address = peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.ip().to_canonical());
    let client = Rc::new(Client {
        control: Rc::clone(&control),
        address,
        address_text: address.to_string().into(),
        trusted: peer.is_none() || worker.settings.trusts(address),
        door,
        shed,
        server_name,
        streams: Cell::new(0),
        begun: Cell::new(0),
        taken_back: Cell::new(0),
        worker: Rc::clone(&worker),
        _open: open,
    });
    let io = ClientIo::new(wire, control);
    Some((client, io, http2))
}

/// The future's output, or nothing when the connection's time is over.
pub(crate) async fn watched<T>(control: &Control, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        control.register(cx.waker());
        if control.verdict() == Verdict::Cut {
            return Poll::Ready(None);
        }
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

/// Who is at the other end by the word of a trusted proxy, where this door listens to it.
async fn announced_peer(
    worker: &Worker,
    plain: &mut Plain,
    peer: Option<SocketAddr>,
    door: &Door,
) -> io::Result<Option<SocketAddr>> {
    let trusted = peer.is_none_or(|peer| worker.settings.trusts(peer.ip().to_canonical()));
    if !(door.proxy_protocol && trusted) {
        return Ok(peer);
    }
    loop {
        match proxy_protocol::parse(plain.ahead()) {
            Ok(Some(header)) => {
                plain.skip(header.length);
                return Ok(header.source.or(peer));
            }
            Ok(None) => {
                if !poll_fn(|cx| plain.poll_more(cx)).await? {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            Err(error) => {
                worker.counters.malformed.add(1);
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
    }
}

/// The connection with TLS where the door has it, the name it is for, and whether it speaks HTTP/2.
async fn secured(
    worker: &Worker,
    mut plain: Plain,
    door: &Door,
) -> io::Result<(Wire, Option<Box<str>>, bool)> {
    let Some(tls) = &door.tls else {
        // HTTP/1 begins with a method, and none is called PRI.
        while PREFACE.starts_with(plain.ahead()) && plain.ahead().len() < PREFACE.len() {
            if !poll_fn(|cx| plain.poll_more(cx)).await? {
                break;
            }
        }
        let http2 = plain.ahead().starts_with(PREFACE);
        return Ok((Wire::Plain(plain), None, http2));
    };
    let stream = match TlsAcceptor::from(Arc::clone(&tls.config)).accept(plain).await {
        Ok(stream) => stream,
        Err(error) => {
            worker.counters.tls_failures.add(1);
            return Err(error);
        }
    };
    let (_, session) = stream.get_ref();
    if session.alpn_protocol() == Some(ACME_TLS_ALPN) {
        // An authority that has seen the proof in the handshake, which is all it came for.
        return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "a proof was asked for and given"));
    }
    let http2 = session.alpn_protocol() == Some(b"h2");
    let server_name =
        session.server_name().map(|name| name.trim_end_matches('.').to_ascii_lowercase().into());
    Ok((Wire::Tls(Box::new(stream)), server_name, http2))
}
