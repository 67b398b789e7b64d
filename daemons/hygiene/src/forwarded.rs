//! Who we say the client is.

use crate::field::{Field, Forwarding, Kind, Sink};

/// What is known about the client.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// Its address, without port.
    pub address: &'a str,
    /// Whether it is a proxy whose word counts.
    pub trusted: bool,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The port that it connected to.
    pub port: &'a str,
}

/// Which fields about itself the client sent: one bit each.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Claims(u8);

impl Claims {
    pub(crate) fn add(&mut self, field: Forwarding) {
        self.0 |= 1 << field as u8;
    }

    fn has(self, field: Forwarding) -> bool {
        self.0 & 1 << field as u8 != 0
    }
}

impl Forwarding {
    /// Whether the client's own field goes on as it is. A list is made anew, with what we know added to it.
    pub(crate) fn passes(self, origin: &Origin<'_>) -> bool {
        origin.trusted && !matches!(self, Self::For | Self::Forwarded)
    }
}

/// Puts in what we know. What a trusted proxy said stays, with that proxy added to the list of addresses; `X-Real-IP` and
/// `Forwarded` are not ours to introduce, but a program that looks at them must not see a client's invention.
pub(crate) fn forward<'a>(
    sink: &mut impl Sink,
    origin: &Origin<'_>,
    claims: Claims,
    host: &str,
    fields: impl Iterator<Item = (Kind, Field<'a>)> + Clone,
) {
    let address = origin.address.as_bytes();
    let said = |field| origin.trusted && claims.has(field);
    if said(Forwarding::For) {
        sink.put("x-forwarded-for", &appended(fields.clone(), Forwarding::For, address));
    } else {
        sink.put("x-forwarded-for", address);
    }
    if !said(Forwarding::Proto) {
        sink.put("x-forwarded-proto", origin.scheme.as_bytes());
    }
    if !said(Forwarding::Port) {
        sink.put("x-forwarded-port", origin.port.as_bytes());
    }
    if !said(Forwarding::Host) {
        sink.put("x-forwarded-host", host.as_bytes());
    }
    if claims.has(Forwarding::RealIp) && !origin.trusted {
        sink.put("x-real-ip", address);
    }
    if claims.has(Forwarding::Forwarded) {
        let element = element(origin, host);
        if origin.trusted {
            sink.put("forwarded", &appended(fields, Forwarding::Forwarded, &element));
        } else {
            sink.put("forwarded", &element);
        }
    }
}

/// Our element of the list in `Forwarded` (RFC 7239, section 4).
fn element(origin: &Origin<'_>, host: &str) -> Vec<u8> {
    // An IPv6 address has colons, which only a quoted string may have.
    let (before, after) = if origin.address.contains(':') { ("\"[", "]\"") } else { ("", "") };
    // A host that passed the check has neither quotes nor backslashes.
    format!("for={before}{}{after};proto={};host=\"{host}\"", origin.address, origin.scheme).into_bytes()
}

/// The list that trusted proxies made, with our knowledge of the last of them added.
fn appended<'a>(fields: impl Iterator<Item = (Kind, Field<'a>)>, which: Forwarding, ours: &[u8]) -> Vec<u8> {
    let mut list = Vec::new();
    for (_, (_, value)) in fields.filter(|(kind, _)| *kind == Kind::Forwarding(which)) {
        list.extend_from_slice(value);
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(ours);
    list
}
