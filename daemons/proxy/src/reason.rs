//! Why a request was not answered by a target: one word for the page, the log and the metrics.

use convoy_hygiene::Refusal;
use http::StatusCode;

/// The classes of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// CONNECT or TRACE.
    Method,
    /// No host, several, or none that is one.
    BadHost,
    /// A target that is no path, or leads out of the root.
    BadTarget,
    /// The end of the request can be read in more than one way.
    BadFraming,
    /// A transfer coding other than chunked.
    Coding,
    /// An expectation other than 100-continue.
    Expectation,
    /// A version of HTTP that is not served.
    Version,
    /// The body is larger than the route allows.
    TooLarge,
    /// The connection is for another host's certificate.
    Misdirected,
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
    /// The service works on as many requests as it may, and the queue is full or too slow.
    Busy,
    /// Somebody works on the service.
    Maintenance,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::Method,
        Self::BadHost,
        Self::BadTarget,
        Self::BadFraming,
        Self::Coding,
        Self::Expectation,
        Self::Version,
        Self::TooLarge,
        Self::Misdirected,
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
        Self::Busy,
        Self::Maintenance,
    ];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::BadHost => "bad-host",
            Self::BadTarget => "bad-target",
            Self::BadFraming => "bad-framing",
            Self::Coding => "coding",
            Self::Expectation => "expectation",
            Self::Version => "version",
            Self::TooLarge => "too-large",
            Self::Misdirected => "misdirected",
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
            Self::Busy => "busy",
            Self::Maintenance => "maintenance",
        }
    }

    /// The status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadHost | Self::BadTarget | Self::BadFraming | Self::ClientBody => StatusCode::BAD_REQUEST,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Coding => StatusCode::NOT_IMPLEMENTED,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            // 499, nginx's number for it, is no registered status and is never sent; it is for the log.
            Self::ClientClosed => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
            Self::ClientTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::NoTarget | Self::Overload | Self::Busy | Self::Maintenance => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Connect | Self::Reset | Self::Protocol => StatusCode::BAD_GATEWAY,
            Self::ConnectTimeout | Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Loop => StatusCode::LOOP_DETECTED,
        }
    }

    /// Whether nothing more is read from the connection: after a request that could be read in two ways, nobody knows
    /// where the next one begins.
    pub(crate) fn ends_connection(self) -> bool {
        matches!(
            self,
            Self::Method
                | Self::BadHost
                | Self::BadTarget
                | Self::BadFraming
                | Self::Coding
                | Self::Expectation
                | Self::Version
                | Self::TooLarge
        )
    }

    /// Seconds after which it makes sense to ask again, where it does.
    pub fn retry_after(self) -> Option<&'static str> {
        match self {
            Self::NoTarget => Some("5"),
            Self::Overload | Self::Busy => Some("1"),
            _ => None,
        }
    }

    /// A sentence for people.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::BadHost => "The request names no host, or more than one.",
            Self::BadTarget => "The target of the request is no path.",
            Self::BadFraming => "The length of the request can be read in more than one way.",
            Self::Coding => "The transfer coding of the request is not known here.",
            Self::Expectation => "The expectation of the request can't be met.",
            Self::Version => "This version of HTTP is not served here.",
            Self::TooLarge => "The body of the request is too large.",
            Self::Misdirected => "This connection is not for that host; open another one.",
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
            Self::Busy => "The service has too much to do at the moment.",
            Self::Maintenance => "Somebody works on the service; it will be back soon.",
        }
    }
}

impl From<Refusal> for Reason {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Method => Self::Method,
            Refusal::Host => Self::BadHost,
            Refusal::Target => Self::BadTarget,
            Refusal::Framing => Self::BadFraming,
            Refusal::Coding => Self::Coding,
            Refusal::Expectation => Self::Expectation,
            Refusal::Version => Self::Version,
            Refusal::Switch => Self::Protocol,
        }
    }
}
