//! Why a message is not passed on.

use http::StatusCode;
use thiserror::Error;

/// The classes of what is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Error)]
pub enum Refusal {
    /// CONNECT, TRACE, or a method that tunnels.
    #[error("this method is not served here")]
    Method,
    /// No host, several, or one that is no host name.
    #[error("the request names no host, or more than one, or what it names is none")]
    Host,
    /// A target that is neither a path nor an http address.
    #[error("the target of the request is no path")]
    Target,
    /// Two lengths, a length beside a transfer coding, or more fields for this hop than a message has.
    #[error("how long the message is can be read in more than one way")]
    Framing,
    /// A transfer coding other than chunked.
    #[error("the transfer coding is unknown")]
    Coding,
    /// `Expect` with something else than `100-continue`.
    #[error("the expectation can't be met")]
    Expectation,
    /// The version of the protocol.
    #[error("the version of HTTP is not served here")]
    Version,
    /// An answer that nobody asked for: a switch of protocols.
    #[error("the answer switches protocols without having been asked to")]
    Switch,
}

impl Refusal {
    /// The status that the client is told when it is the request that is refused.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Host | Self::Target | Self::Framing => StatusCode::BAD_REQUEST,
            Self::Coding => StatusCode::NOT_IMPLEMENTED,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::Switch => StatusCode::BAD_GATEWAY,
        }
    }
}
