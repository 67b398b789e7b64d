//! Why a request was not answered by a target: one word for the page, the log and the metrics.

use http::StatusCode;

/// The classes of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The request is malformed or ambiguous.
    BadRequest,
    /// CONNECT or TRACE.
    Method,
    /// The request's body broke off or was malformed.
    ClientBody,
    /// The request's body stopped coming.
    ClientTimeout,
    /// The client went away before its answer was complete.
    ClientClosed,
    /// No app has this host.
    NoRoute,
    /// The app has no targets.
    NoTarget,
    /// No target could be connected to.
    Connect,
    /// Targets could not be connected to in time.
    ConnectTimeout,
    /// The target closed the connection without an answer, or in the middle of it.
    Reset,
    /// What the target sent is no HTTP, or nothing that was asked for.
    Protocol,
    /// The target took too long to answer.
    Timeout,
    /// The request went through this router before.
    Loop,
    /// Too many connections.
    Overload,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::BadRequest,
        Self::Method,
        Self::ClientBody,
        Self::ClientTimeout,
        Self::ClientClosed,
        Self::NoRoute,
        Self::NoTarget,
        Self::Connect,
        Self::ConnectTimeout,
        Self::Reset,
        Self::Protocol,
        Self::Timeout,
        Self::Loop,
        Self::Overload,
    ];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::Method => "method",
            Self::ClientBody => "client-body",
            Self::ClientTimeout => "client-timeout",
            Self::ClientClosed => "client-closed",
            Self::NoRoute => "no-route",
            Self::NoTarget => "no-target",
            Self::Connect => "connect",
            Self::ConnectTimeout => "connect-timeout",
            Self::Reset => "reset",
            Self::Protocol => "protocol",
            Self::Timeout => "timeout",
            Self::Loop => "loop",
            Self::Overload => "overload",
        }
    }

    /// The status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest | Self::ClientBody => StatusCode::BAD_REQUEST,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            // 499, nginx's number for it, is no registered status and is never sent; it is for the log.
            Self::ClientClosed => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
            Self::ClientTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::NoTarget | Self::Overload => StatusCode::SERVICE_UNAVAILABLE,
            Self::Connect | Self::Reset | Self::Protocol => StatusCode::BAD_GATEWAY,
            Self::ConnectTimeout | Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Loop => StatusCode::LOOP_DETECTED,
        }
    }

    /// Seconds after which it makes sense to ask again, where it does.
    pub fn retry_after(self) -> Option<&'static str> {
        match self {
            Self::NoTarget => Some("5"),
            Self::Overload => Some("1"),
            _ => None,
        }
    }

    /// A sentence for people.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::BadRequest => "The request is malformed.",
            Self::Method => "This method is not served here.",
            Self::ClientBody => "The body of the request is malformed or incomplete.",
            Self::ClientTimeout => "The body of the request did not arrive in time.",
            Self::ClientClosed => "The client closed the connection.",
            Self::NoRoute => "Nothing is served under this host name.",
            Self::NoTarget => "The service has no running instance at the moment.",
            Self::Connect => "The service can't be reached.",
            Self::ConnectTimeout => "The service could not be reached in time.",
            Self::Reset => "The service closed the connection before it answered.",
            Self::Protocol => "The answer of the service is malformed.",
            Self::Timeout => "The service did not answer in time.",
            Self::Loop => "The request came back to where it had been; a service points at its own router.",
            Self::Overload => "Too many connections at the moment.",
        }
    }
}
