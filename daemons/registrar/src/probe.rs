//! One check: a connection, or a request and the head of its answer.

use std::net::SocketAddr;
use std::time::Duration;

use convoy_health::StatusSet;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{Request, client};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What is asked, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A connection is accepted.
    Tcp(SocketAddr),
    /// A `GET` is answered with a good status.
    Http {
        /// Where.
        address: SocketAddr,
        /// Host header; the address where none is set.
        host: Option<String>,
        /// Path and query.
        path: String,
        /// Good answers.
        good: StatusSet,
    },
}

/// Why a check failed.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// No connection.
    #[error("no connection to {0}: {1}")]
    Connect(SocketAddr, std::io::Error),
    /// No answer that is one.
    #[error("no HTTP answer from {0}: {1}")]
    Answer(SocketAddr, hyper::Error),
    /// The wrong answer.
    #[error("{address} answered GET {path} with status {status}, expected {good}")]
    Status {
        /// Where.
        address: SocketAddr,
        /// What was asked for.
        path: String,
        /// The answer's status.
        status: u16,
        /// What would have been good.
        good: StatusSet,
    },
    /// Not within the time.
    #[error("{0} did not answer within {1:?}")]
    Timeout(SocketAddr, Duration),
    /// The request can't be made.
    #[error("the request can't be made: {0}")]
    Request(#[from] hyper::http::Error),
}

impl Probe {
    /// Makes the check once, within the time given.
    pub async fn run(&self, limit: Duration) -> Result<(), ProbeError> {
        let (Self::Tcp(address) | Self::Http { address, .. }) = self;
        let probe = async {
            let stream =
                TcpStream::connect(address).await.map_err(|error| ProbeError::Connect(*address, error))?;
            match self {
                Self::Tcp(_) => Ok(()),
                Self::Http { address, host, path, good } => {
                    let host = host.clone().unwrap_or_else(|| address.to_string());
                    let status = status_of(*address, stream, &host, path).await?;
                    if good.contains(status) {
                        return Ok(());
                    }
                    let (path, good) = (path.clone(), good.clone());
                    Err(ProbeError::Status { address: *address, path, status, good })
                }
            }
        };
        timeout(limit, probe).await.unwrap_or(Err(ProbeError::Timeout(*address, limit)))
    }
}

/// The status of the answer; its body is left unread, the connection closed.
async fn status_of(
    address: SocketAddr,
    stream: TcpStream,
    host: &str,
    path: &str,
) -> Result<u16, ProbeError> {
    let answer = |error| ProbeError::Answer(address, error);
    let request = Request::get(path)
        .header(HOST, host)
        .header(USER_AGENT, concat!("convoy-registrar/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let builder = {
        let mut builder = client::conn::http1::Builder::new();
        builder.max_buf_size(16 * 1024);
        builder
    };
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(answer)?;
    tokio::pin!(connection);
    let response = sender.send_request(request);
    tokio::pin!(response);
    tokio::select! {
        biased;
        response = &mut response => Ok(response.map_err(answer)?.status().as_u16()),
        ended = &mut connection => {
            // The answer may have arrived together with the end of the connection.
            ended.map_err(answer)?;
            Ok(response.await.map_err(answer)?.status().as_u16())
        }
    }
}
