//! What is known of a request when it is over.

use std::net::IpAddr;
use std::time::Duration;

/// One line of the access log.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// The identifier that the target saw in `X-Request-Id`.
    pub request_id: &'a str,
    /// The peer.
    pub client: IpAddr,
    /// The method.
    pub method: &'a str,
    /// The `Host` field, `-` when there is none that is text.
    pub host: &'a str,
    /// Path and query as they were sent.
    pub path: &'a str,
    /// The status sent; 499 when the client went away before there was one.
    pub status: u16,
    /// `HTTP/1.1` and so on.
    pub version: &'static str,
    /// Whether the client came over TLS.
    pub tls: bool,
    /// The app, `-` when no route was found.
    pub route: &'a str,
    /// `lb`, `direct` or `static`, `-` when no target was chosen.
    pub via: &'static str,
    /// The address of the last target tried, `-` when there was none.
    pub upstream: &'a str,
    /// From the sending of the request to the head of the answer.
    pub upstream_time: Option<Duration>,
    /// From the head of the request to the end of the answer.
    pub total_time: Duration,
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// Further tries.
    pub retries: u32,
    /// Why no target answered in full, empty when one did.
    pub reason: &'static str,
    /// The `traceparent` field, empty when there is none.
    pub trace: &'a str,
    /// `Referer` and `User-Agent`, empty when there are none, or when the log doesn't want them.
    pub referer: &'a str,
    /// See [`Record::referer`].
    pub agent: &'a str,
}

/// Takes records on one worker's thread. It must never block and never wait.
pub trait RequestLog {
    /// A request is over.
    fn record(&mut self, record: &Record<'_>);

    /// Called a few times a second: what was held back can go.
    fn flush(&mut self);

    /// Whether `Referer` and `User-Agent` are to be kept for it; asked once.
    fn wants_agent(&self) -> bool {
        false
    }
}

/// Takes no records.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLog;

impl RequestLog for NoLog {
    fn record(&mut self, _: &Record<'_>) {}

    fn flush(&mut self) {}
}
