//! Listening sockets: handed over by systemd, or opened by ourselves.

use std::io;
use std::net::{SocketAddr, TcpListener};

use convoy_config::ConfigError;
use listenfd::ListenFd;
use thiserror::Error;

/// The name of a socket for plain HTTP, as in `FileDescriptorName=http`.
const HTTP: &str = "http";
/// The length of the queue, when it is ours to set; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 65_535;

/// Why there is nothing to listen on.
#[derive(Debug, Error)]
pub enum SocketError {
    /// The environment says nonsense.
    #[error("the sockets that systemd hands over can't be told apart: {0}")]
    Environment(io::Error),
    /// One of them is no TCP socket, or doesn't listen.
    #[error("the socket named {name:?} is unusable ({reason}); its unit needs ListenStream= and Accept=no")]
    Unusable {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// There are sockets, but none for HTTP.
    #[error(
        "systemd handed over sockets named {0}, but none named http; write FileDescriptorName=http into the .socket unit"
    )]
    NoName(String),
    /// Nothing at all.
    #[error("there is nothing to listen on; start edge-router.socket, or give --listen http=127.0.0.1:8080")]
    None,
    /// An address that can't be listened on.
    #[error("{address} can't be listened on")]
    Bind {
        /// Which.
        address: SocketAddr,
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

/// A socket from systemd with the name that its unit gives it.
#[derive(Debug)]
pub struct Named {
    name: String,
    listener: TcpListener,
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
            let taken = sockets.take_tcp_listener(index).map_err(|error| error.to_string());
            match taken.and_then(|listener| listener.ok_or_else(|| "it is not there".to_owned())) {
                Ok(listener) if listens(&listener) => Ok(Named { name, listener }),
                Ok(_) => Err(SocketError::Unusable { name, reason: "it does not listen".to_owned() }),
                Err(reason) => Err(SocketError::Unusable { name, reason }),
            }
        })
        .collect()
}

fn listens(listener: &TcpListener) -> bool {
    rustix::net::sockopt::socket_acceptconn(listener).unwrap_or(false)
}

/// All sockets for HTTP: those of that name from systemd, and those that are to be opened.
pub fn listeners(inherited: Vec<Named>, open: &[SocketAddr]) -> Result<Vec<TcpListener>, SocketError> {
    let names: Vec<_> = inherited.iter().map(|socket| socket.name.clone()).collect();
    let mut listeners: Vec<_> =
        inherited.into_iter().filter(|socket| socket.name == HTTP).map(|socket| socket.listener).collect();
    if listeners.is_empty() && !names.is_empty() {
        return Err(SocketError::NoName(names.join(", ")));
    }
    for &address in open {
        listeners.push(bind(address).map_err(|source| SocketError::Bind { address, source })?);
    }
    if listeners.is_empty() { Err(SocketError::None) } else { Ok(listeners) }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    // The standard library's queue of 128 is short for a public door; listening anew only lengthens it.
    rustix::net::listen(&listener, BACKLOG)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Named {
        Named { name: name.to_owned(), listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    #[test]
    fn sockets_are_chosen_by_name() {
        let own = "127.0.0.1:0".parse().unwrap();
        assert_eq!(listeners(vec![named("http"), named("other"), named("http")], &[]).unwrap().len(), 2);
        assert_eq!(listeners(vec![named("http")], &[own]).unwrap().len(), 2);
        assert_eq!(listeners(vec![], &[own, own]).unwrap().len(), 2);
    }

    #[test]
    fn without_a_socket_it_is_said_what_to_do() {
        let error = listeners(vec![named("edge.socket")], &[]).unwrap_err().to_string();
        assert!(error.contains("FileDescriptorName=http"), "{error}");
        let error = listeners(vec![], &[]).unwrap_err().to_string();
        assert!(error.contains("--listen"), "{error}");
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        assert!(matches!(listeners(vec![], &[address]), Err(SocketError::Bind { .. })));
    }
}
