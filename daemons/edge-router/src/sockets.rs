//! Listening sockets: handed over by systemd, or opened by ourselves.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::str::FromStr;

use convoy_config::ConfigError;
use convoy_proxy::Socket;
use listenfd::ListenFd;
use thiserror::Error;

/// The length of the queue, when it is ours to set; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 65_535;

/// Why there is nothing to listen on.
#[derive(Debug, Error)]
pub enum SocketError {
    /// The environment says nonsense.
    #[error("the sockets that systemd hands over can't be told apart: {0}")]
    Environment(io::Error),
    /// One of them takes no stream connections, or doesn't listen.
    #[error("the socket named {name:?} is unusable ({reason}); its unit needs ListenStream= and Accept=no")]
    Unusable {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// There are sockets, but none for HTTP.
    #[error(
        "systemd handed over sockets named {0}, but none named http or https; write FileDescriptorName=http into the \
         .socket unit (or https; http-inner, https-admin and so on for more of them)"
    )]
    NoName(String),
    /// Nothing at all.
    #[error("there is nothing to listen on; start edge-router.socket, or give --listen http=127.0.0.1:8080")]
    None,
    /// An address that can't be listened on.
    #[error("{address} can't be listened on")]
    Bind {
        /// Which.
        address: Address,
        /// Why.
        source: io::Error,
    },
}

impl SocketError {
    /// As the daemon's error: all but one are mistakes in a unit or on the command line, which no restart mends.
    pub fn into_report(self) -> anyhow::Error {
        match self {
            // An address that is taken now may be free in a moment.
            Self::Bind { .. } => self.into(),
            mistake => ConfigError::value("sockets", mistake.to_string()).into(),
        }
    }
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `127.0.0.1:8080`, `[::1]:8080`
    Tcp(SocketAddr),
    /// `unix:/run/edge.sock`
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(path) => Err(format!("{path:?} is no path from the root")),
            None => text.parse().map(Self::Tcp).map_err(|_| {
                format!("{text:?} is no address; write 127.0.0.1:8080, [::1]:8080 or unix:/run/edge.sock")
            }),
        }
    }
}

/// What is spoken on a socket, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `http`, `http-…`
    Http,
    /// `https`, `https-…`
    Https,
}

impl Kind {
    /// What a name stands for; none for one that is not ours.
    pub fn of(name: &str) -> Option<Self> {
        match name.split_once('-').map_or(name, |(kind, _)| kind) {
            "http" => Some(Self::Http),
            "https" => Some(Self::Https),
            _ => None,
        }
    }
}

/// A socket with its name: the one that its unit gives it, or that stands on the command line.
#[derive(Debug)]
pub struct Named {
    /// The name.
    pub name: String,
    /// The socket.
    pub socket: Socket,
}

/// Takes what systemd hands over (sd_listen_fds(3)). To be called first in `main`: it looks at the environment.
pub fn inherited() -> Result<Vec<Named>, SocketError> {
    // The names first, since listenfd removes what they are found by; then listenfd validates each socket.
    let names: Vec<String> =
        sd_notify::listen_fds_with_names().map_err(SocketError::Environment)?.map(|(_, name)| name).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let mut sockets = ListenFd::from_env();
    names
        .into_iter()
        .enumerate()
        .map(|(index, name)| {
            let taken = match sockets.take_tcp_listener(index) {
                Ok(taken) => Ok(taken.map(Socket::Tcp)),
                Err(tcp) => {
                    sockets.take_unix_listener(index).map(|taken| taken.map(Socket::Unix)).map_err(|_| tcp)
                }
            };
            let taken = taken.map_err(|error| error.to_string());
            match taken.and_then(|socket| socket.ok_or_else(|| "it is not there".to_owned())) {
                Ok(socket) if listens(&socket) => Ok(Named { name, socket }),
                Ok(_) => Err(SocketError::Unusable { name, reason: "it does not listen".to_owned() }),
                Err(reason) => Err(SocketError::Unusable { name, reason }),
            }
        })
        .collect()
}

fn listens(socket: &impl AsFd) -> bool {
    rustix::net::sockopt::socket_acceptconn(socket).unwrap_or(false)
}

/// All sockets for requests: those with such names from systemd, and those that are to be opened.
pub fn listeners(inherited: Vec<Named>, open: &[(String, Address)]) -> Result<Vec<Named>, SocketError> {
    let names: Vec<_> = inherited.iter().map(|socket| socket.name.clone()).collect();
    let (mut listeners, others): (Vec<_>, Vec<_>) =
        inherited.into_iter().partition(|socket| Kind::of(&socket.name).is_some());
    if listeners.is_empty() && !names.is_empty() {
        return Err(SocketError::NoName(names.join(", ")));
    }
    for other in others {
        tracing::warn!(SOCKET = other.name, "a socket has a name that says nothing, and is not used");
    }
    for (name, address) in open {
        let socket =
            bind(address).map_err(|source| SocketError::Bind { address: address.clone(), source })?;
        listeners.push(Named { name: name.clone(), socket });
    }
    if listeners.is_empty() { Err(SocketError::None) } else { Ok(listeners) }
}

fn bind(address: &Address) -> io::Result<Socket> {
    match address {
        Address::Tcp(address) => {
            let listener = TcpListener::bind(address)?;
            // The standard library's queue of 128 is short for a public door; listening anew only lengthens it.
            rustix::net::listen(&listener, BACKLOG)?;
            Ok(Socket::Tcp(listener))
        }
        Address::Unix(path) => {
            // What an earlier run left there listens to nobody; another kind of file is not ours to remove.
            if path.metadata().is_ok_and(|found| is_socket(&found)) {
                std::fs::remove_file(path)?;
            }
            let listener = UnixListener::bind(path)?;
            rustix::net::listen(&listener, BACKLOG)?;
            Ok(Socket::Unix(listener))
        }
    }
}

fn is_socket(found: &std::fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_socket(&found.file_type())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Named {
        Named { name: name.to_owned(), socket: Socket::Tcp(TcpListener::bind("127.0.0.1:0").unwrap()) }
    }

    #[test]
    fn sockets_are_chosen_by_name() {
        let own = ("http".to_owned(), "127.0.0.1:0".parse().unwrap());
        assert_eq!(listeners(vec![named("http"), named("other"), named("https")], &[]).unwrap().len(), 2);
        assert_eq!(listeners(vec![named("http-inner")], std::slice::from_ref(&own)).unwrap().len(), 2);
        assert_eq!(listeners(vec![], &[own.clone(), own]).unwrap().len(), 2);
        for (name, kind) in
            [("http", Some(Kind::Http)), ("https-admin", Some(Kind::Https)), ("httpx", None), ("", None)]
        {
            assert_eq!(Kind::of(name), kind, "{name}");
        }
    }

    #[test]
    fn a_file_that_an_earlier_run_left_is_replaced_and_another_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edge.sock");
        let open = [("http".to_owned(), Address::Unix(path.clone()))];
        drop(listeners(vec![], &open).unwrap());
        assert!(path.exists());
        listeners(vec![], &open).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "mine").unwrap();
        assert!(matches!(listeners(vec![], &open), Err(SocketError::Bind { .. })));
    }

    #[test]
    fn without_a_socket_it_is_said_what_to_do() {
        let error = listeners(vec![named("edge.socket")], &[]).unwrap_err().to_string();
        assert!(error.contains("FileDescriptorName=http"), "{error}");
        let error = listeners(vec![], &[]).unwrap_err().to_string();
        assert!(error.contains("--listen"), "{error}");
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Tcp(taken.local_addr().unwrap());
        assert!(matches!(listeners(vec![], &[("http".to_owned(), address)]), Err(SocketError::Bind { .. })));
    }
}
