//! Who we say the client is.

use http::header::{FORWARDED, HOST};
use http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub(crate) const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// What is said about the client. Made once per connection.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Its address, without port.
    pub address: HeaderValue,
    /// Whether it is a proxy whose word counts.
    pub trusted: bool,
    /// `http` or `https`.
    pub scheme: HeaderValue,
    /// The port that it connected to.
    pub port: HeaderValue,
}

/// Which fields the client sent that we may have to correct.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Claims {
    pub(crate) real_ip: bool,
    pub(crate) forwarded: bool,
}

/// Puts in what we know. What a trusted proxy said stays, with that proxy added to the list of addresses; `X-Real-IP` and
/// `Forwarded` are not ours to introduce, but a program that looks at them must not see a client's invention.
pub(crate) fn forward(headers: &mut HeaderMap, origin: &Origin, claims: Claims) {
    let list =
        if origin.trusted { appended(headers, &X_FORWARDED_FOR, origin.address.as_bytes()) } else { None };
    headers.insert(X_FORWARDED_FOR, list.unwrap_or_else(|| origin.address.clone()));
    for (name, value) in [(X_FORWARDED_PROTO, &origin.scheme), (X_FORWARDED_PORT, &origin.port)] {
        if !(origin.trusted && headers.contains_key(&name)) {
            headers.insert(name, value.clone());
        }
    }
    if !(origin.trusted && headers.contains_key(X_FORWARDED_HOST))
        && let Some(host) = headers.get(HOST).cloned()
    {
        headers.insert(X_FORWARDED_HOST, host);
    }
    if claims.real_ip && !origin.trusted {
        headers.insert(X_REAL_IP, origin.address.clone());
    }
    if claims.forwarded {
        let element = element(headers, origin);
        let list = if origin.trusted { appended(headers, &FORWARDED, &element) } else { None };
        if let Some(value) = list.or_else(|| HeaderValue::from_bytes(&element).ok()) {
            headers.insert(FORWARDED, value);
        }
    }
}

/// Our element of the list in `Forwarded` (RFC 7239, section 4).
fn element(headers: &HeaderMap, origin: &Origin) -> Vec<u8> {
    let mut element = Vec::with_capacity(96);
    element.extend_from_slice(b"for=");
    // An IPv6 address has colons, which only a quoted string may have.
    if origin.address.as_bytes().contains(&b':') {
        element.extend_from_slice(b"\"[");
        element.extend_from_slice(origin.address.as_bytes());
        element.extend_from_slice(b"]\"");
    } else {
        element.extend_from_slice(origin.address.as_bytes());
    }
    element.extend_from_slice(b";proto=");
    element.extend_from_slice(origin.scheme.as_bytes());
    if let Some(host) = headers.get(HOST) {
        // A host that passed the check has neither quotes nor backslashes.
        element.extend_from_slice(b";host=\"");
        element.extend_from_slice(host.as_bytes());
        element.push(b'"');
    }
    element
}

/// The list that trusted proxies made, with our knowledge of the last of them added.
fn appended(headers: &HeaderMap, name: &HeaderName, ours: &[u8]) -> Option<HeaderValue> {
    let mut list = Vec::new();
    for value in headers.get_all(name) {
        list.extend_from_slice(value.as_bytes());
        list.extend_from_slice(b", ");
    }
    if list.is_empty() {
        return None;
    }
    list.extend_from_slice(ours);
    HeaderValue::from_bytes(&list).ok()
}
