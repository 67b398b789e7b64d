//! HAProxy's runtime socket: one line over a connection of its own, so that whichever worker holds the socket answers, and
//! the end of the answer is the end of the connection.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use convoy_lb_config::Backend;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::answer::{ServerState, read_pid, read_servers};
use super::change::{Change, complaint};

/// A table of ten thousand servers has 1 MiB.
const ANSWER_MAX: u64 = 16 << 20;
/// HAProxy answers within a millisecond.
const DEADLINE: Duration = Duration::from_secs(2);

/// Why the servers of a running HAProxy are not known or not as they should be.
#[derive(Debug, Error)]
pub enum RuntimeError {
    /// Nobody listens there, or not for us. A reload hands the socket on and does not make it anew.
    #[error("{path}: HAProxy's socket can't be used ({source}); a restart of HAProxy makes it anew", path = path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There was no whole answer in time.
    #[error("{path}: HAProxy did not answer {line:?} within {} s", DEADLINE.as_secs(), path = path.display())]
    Late {
        /// The socket.
        path: PathBuf,
        /// What was said.
        line: String,
    },
    /// The answer is none that is known.
    #[error("HAProxy answered {line:?} with {answer:?}")]
    Unknown {
        /// What was said.
        line: String,
        /// What came back, or the part of it that can't be read.
        answer: String,
    },
    /// It was told, and looked at again, and is still not as it should be.
    #[error("HAProxy's servers are not as they were told to be: {0}")]
    NotFollowed(String),
}

/// The socket of one HAProxy.
#[derive(Debug, Clone)]
pub struct RuntimeSocket {
    path: PathBuf,
}

impl RuntimeSocket {
    /// At this path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The number of the process that answers here.
    pub async fn pid(&self) -> Result<i32, RuntimeError> {
        let line = "show info";
        let unknown = |answer| RuntimeError::Unknown { line: line.to_owned(), answer };
        read_pid(&self.say(line).await?).map_err(unknown)
    }

    /// The servers of a backend as they are now.
    pub async fn servers(&self, backend: &Backend) -> Result<Vec<ServerState>, RuntimeError> {
        let line = format!("show servers state {}", backend.name);
        let states = self.say(&line).await?;
        let connections = self.say(&format!("show servers conn {}", backend.name)).await?;
        read_servers(&states, &connections).map_err(|answer| RuntimeError::Unknown { line, answer })
    }

    /// Tells a change. No error says that it was taken in, no more.
    pub async fn tell(&self, backend: &Backend, change: &Change) -> Result<(), RuntimeError> {
        let line = change.line(backend);
        match complaint(&self.say(&line).await?) {
            None => Ok(()),
            Some(answer) => Err(RuntimeError::Unknown { line, answer }),
        }
    }

    async fn say(&self, line: &str) -> Result<String, RuntimeError> {
        match timeout(DEADLINE, exchange(&self.path, line)).await {
            Ok(Ok(answer)) => Ok(String::from_utf8_lossy(&answer).into_owned()),
            Ok(Err(source)) => Err(RuntimeError::Unreachable { path: self.path.clone(), source }),
            Err(_) => Err(RuntimeError::Late { path: self.path.clone(), line: line.to_owned() }),
        }
    }
}

async fn exchange(path: &Path, line: &str) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(path).await?;
    stream.write_all(format!("{line}\n").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer).await?;
    Ok(answer)
}
