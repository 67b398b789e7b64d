//! Where clients come in.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use rustls::ServerConfig;

/// Where an authority asks for a proof, followed by a token.
const PROOFS: &str = "/.well-known/acme-challenge/";

/// A listening socket.
#[derive(Debug)]
pub enum Socket {
    /// IPv4 or IPv6.
    Tcp(TcpListener),
    /// A path in the file system.
    Unix(UnixListener),
}

impl Socket {
    pub(crate) fn prepare(&self) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                // Accepted connections inherit it.
                socket2::SockRef::from(listener).set_tcp_nodelay(true)
            }
            Self::Unix(listener) => listener.set_nonblocking(true),
        }
    }

    /// The port that clients connect to.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok().map(|address: SocketAddr| address.port()),
            Self::Unix(_) => None,
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

/// Tells whether a connection that was opened for the first name may carry requests for the second one.
pub type Covers = dyn Fn(&str, &str) -> bool + Send + Sync;

/// What is needed to speak TLS.
#[derive(Clone)]
pub struct Tls {
    /// Versions, certificates, protocols.
    pub config: Arc<ServerConfig>,
    /// Whether two names have the same certificate.
    pub covers: Arc<Covers>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// Finds the proof for a host and a token.
type FindProof = dyn Fn(&str, &str) -> Option<Arc<str>> + Send + Sync;

/// Answers an authority that asks whether a host is ours (RFC 8555, section 8.3).
#[derive(Clone)]
pub struct Proofs(Arc<FindProof>);

impl Proofs {
    /// `find` gives the proof for a host and a token; none for what no authority waits for, which is routed.
    pub fn new(find: impl Fn(&str, &str) -> Option<Arc<str>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(find))
    }
}

impl fmt::Debug for Proofs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Proofs").finish_non_exhaustive()
    }
}

/// A door.
#[derive(Debug)]
pub struct Listener {
    /// Its socket.
    pub socket: Socket,
    /// TLS on it.
    pub tls: Option<Tls>,
    /// Whether trusted peers begin with the PROXY protocol.
    pub proxy_protocol: bool,
    /// Answers to an authority; it asks without TLS, and before anything else is looked at.
    pub proofs: Option<Proofs>,
}

impl Listener {
    /// Plain HTTP.
    pub fn http(socket: TcpListener) -> Self {
        Self { socket: Socket::Tcp(socket), tls: None, proxy_protocol: false, proofs: None }
    }
}

/// What a connection has to know of the door it came through.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    pub(crate) tls: Option<Tls>,
    pub(crate) proxy_protocol: bool,
    /// The port that clients connect to, as targets are told.
    pub(crate) port_text: Box<str>,
    proofs: Option<Proofs>,
}

impl Door {
    /// The proof that a request for this path asks for.
    pub(crate) fn proof(&self, host: &str, path: &str) -> Option<Arc<str>> {
        let token = path.strip_prefix(PROOFS)?;
        let proofs = self.proofs.as_ref().filter(|_| self.tls.is_none())?;
        (proofs.0)(host, token)
    }
}

impl From<&Listener> for Door {
    fn from(listener: &Listener) -> Self {
        let Listener { socket, tls, proxy_protocol, proofs } = listener;
        let port = socket.port().unwrap_or(if tls.is_some() { 443 } else { 80 });
        Self {
            tls: tls.clone(),
            proxy_protocol: *proxy_protocol,
            port_text: port.to_string().into(),
            proofs: proofs.clone(),
        }
    }
}
