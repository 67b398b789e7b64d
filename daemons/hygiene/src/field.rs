//! Fields, and what becomes of them.

/// Fields that a `Connection` field may name; a message that is read has no more. Each of them is compared with each that
/// the message has, so that many more would make work for nothing.
const NOMINATED_MAX: usize = 100;

/// Name and value.
pub type Field<'a> = (&'a str, &'a [u8]);

/// Takes the fields that pass.
pub trait Sink {
    /// One more, behind those that came before.
    fn put(&mut self, name: &str, value: &[u8]);
}

impl<S: Sink + ?Sized> Sink for &mut S {
    fn put(&mut self, name: &str, value: &[u8]) {
        (**self).put(name, value);
    }
}

/// What a field of a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing special; it goes on.
    Other,
    /// For this hop only, or nothing that a client may say.
    Hop,
    /// The names of others that are for this hop.
    Connection,
    /// Only `trailers` of it goes on.
    Te,
    Upgrade,
    Host,
    ContentLength,
    TransferEncoding,
    /// We answer 100-continue ourselves.
    Expect,
    RequestId,
    /// Believed when a trusted proxy says it.
    Forwarding(Forwarding),
    /// These go on, too, and are looked at.
    Cookie,
    Accept,
    ContentType,
    Trace,
    Referer,
    Agent,
}

/// Fields about who the client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forwarding {
    For,
    Proto,
    Host,
    Port,
    /// `X-Forwarded-` and something else.
    Something,
    RealIp,
    Forwarded,
}

/// Whatever case the name is in. The length tells most names apart.
pub(crate) fn kind(name: &str) -> Kind {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    let kind = match name.len() {
        2 if is("te") => Kind::Te,
        4 if is("host") => Kind::Host,
        // `Proxy` becomes HTTP_PROXY in CGI programs (CVE-2016-5385).
        5 if is("proxy") => Kind::Hop,
        6 if is("accept") => Kind::Accept,
        6 if is("cookie") => Kind::Cookie,
        6 if is("expect") => Kind::Expect,
        7 if is("upgrade") => Kind::Upgrade,
        7 if is("referer") => Kind::Referer,
        9 if is("forwarded") => Kind::Forwarding(Forwarding::Forwarded),
        9 if is("x-real-ip") => Kind::Forwarding(Forwarding::RealIp),
        10 if is("connection") => Kind::Connection,
        10 if is("keep-alive") => Kind::Hop,
        10 if is("user-agent") => Kind::Agent,
        11 if is("traceparent") => Kind::Trace,
        12 if is("content-type") => Kind::ContentType,
        12 if is("x-request-id") => Kind::RequestId,
        14 if is("content-length") => Kind::ContentLength,
        // A target that speaks HTTP/2 would switch over, and everything after that would be beyond us.
        14 if is("http2-settings") => Kind::Hop,
        15 if is("x-forwarded-for") => Kind::Forwarding(Forwarding::For),
        16 if is("proxy-connection") => Kind::Hop,
        16 if is("x-forwarded-host") => Kind::Forwarding(Forwarding::Host),
        16 if is("x-forwarded-port") => Kind::Forwarding(Forwarding::Port),
        17 if is("transfer-encoding") => Kind::TransferEncoding,
        17 if is("x-forwarded-proto") => Kind::Forwarding(Forwarding::Proto),
        18 if is("proxy-authenticate") => Kind::Hop,
        19 if is("proxy-authorization") => Kind::Hop,
        _ if begins_with(name, "x-forwarded-") => Kind::Forwarding(Forwarding::Something),
        _ => Kind::Other,
    };
    // CGI and WSGI programs can't tell `X_Forwarded_For` from `X-Forwarded-For`.
    if kind == Kind::Other && name.contains('_') && is_protected(&name.replace('_', "-")) {
        return Kind::Hop;
    }
    kind
}

fn begins_with(name: &str, start: &str) -> bool {
    name.get(..start.len()).is_some_and(|first| first.eq_ignore_ascii_case(start))
}

/// Fields that no client can remove or set by other means: what the message is, and what we say of the client.
pub(crate) fn is_protected(name: &str) -> bool {
    let names = ["host", "content-length", "transfer-encoding", "forwarded", "x-real-ip", "x-request-id"];
    begins_with(name, "x-forwarded-") || names.iter().any(|protected| name.eq_ignore_ascii_case(protected))
}

/// What a `Connection` field says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connection<'a> {
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
    /// Fields that are for this hop (RFC 9110, section 7.6.1).
    nominated: Vec<&'a str>,
}

impl<'a> Connection<'a> {
    pub(crate) fn read(&mut self, value: &'a [u8]) {
        for token in tokens(value) {
            if token.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if token.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if token.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else if let Ok(name) = str::from_utf8(token)
                && !name.is_empty()
                && !self.is_excessive()
                // Those that decide what the message is or who sent it can't be taken out that way.
                && !is_protected(name)
            {
                self.nominated.push(name);
            }
        }
    }

    /// Whether it names more fields than a message has.
    pub(crate) fn is_excessive(&self) -> bool {
        self.nominated.len() > NOMINATED_MAX
    }

    pub(crate) fn nominates(&self, name: &str) -> bool {
        self.nominated.iter().any(|nominated| nominated.eq_ignore_ascii_case(name))
    }
}

fn tokens(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

/// Whether a list of tokens has this one, with parameters or without.
pub fn has_token(value: &[u8], token: &str) -> bool {
    tokens(value).any(|part| {
        let name = part.split(|&byte| byte == b';').next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(token.as_bytes())
    })
}

/// A number of up to 63 bits; beyond that programs that count with a sign disagree.
pub(crate) fn length(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok().filter(|&length: &u64| i64::try_from(length).is_ok())
}

/// Whether a coding is chunked and nothing else: the value of the last of so many fields. One that does not end with
/// chunked is no delimiter at all (RFC 9112, section 6.1).
pub(crate) fn check_coding(last: &[u8], fields: usize) -> Result<(), crate::Refusal> {
    let mut codings = tokens(last).rev();
    if !codings.next().is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked")) {
        return Err(crate::Refusal::Framing);
    }
    if fields > 1 || codings.next().is_some() { Err(crate::Refusal::Coding) } else { Ok(()) }
}

/// Whether a trailer passes. Those that would change the message after the fact (RFC 9110, section 6.5.1) do not: a
/// program that merges them into the fields would believe them.
pub fn may_trail(name: &str) -> bool {
    let late = [
        "authorization",
        "set-cookie",
        "content-encoding",
        "content-range",
        "trailer",
        "cache-control",
        "www-authenticate",
        "location",
        "range",
    ];
    matches!(kind(name), Kind::Other | Kind::Trace | Kind::Agent | Kind::Referer | Kind::Accept)
        && !late.iter().any(|late| name.eq_ignore_ascii_case(late))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Refusal;

    #[test]
    fn tokens_are_found_in_lists() {
        for (value, token, found) in [
            ("close", "close", true),
            ("keep-alive, Upgrade", "upgrade", true),
            ("trailers;q=0.5", "trailers", true),
            ("xupgrade", "upgrade", false),
            ("", "upgrade", false),
        ] {
            assert_eq!(has_token(value.as_bytes(), token), found, "{value}");
        }
    }

    #[test]
    fn trailers_change_nothing_after_the_fact() {
        for (name, passes) in [
            ("grpc-status", true),
            ("X-Checksum", true),
            ("X-Forwarded-For", false),
            ("transfer-encoding", false),
            ("host", false),
            ("cookie", false),
            ("Set-Cookie", false),
            ("content-type", false),
            ("x_real_ip", false),
        ] {
            assert_eq!(may_trail(name), passes, "{name}");
        }
    }

    #[test]
    fn lengths_are_digits() {
        for (digits, number) in [
            ("0", Some(0)),
            ("0003", Some(3)),
            ("9223372036854775807", Some(i64::MAX as u64)),
            ("9223372036854775808", None),
            ("18446744073709551619", None),
            ("", None),
            ("+3", None),
            ("3 3", None),
            ("0x3", None),
        ] {
            assert_eq!(length(digits.as_bytes()), number, "{digits}");
        }
    }

    #[test]
    fn a_coding_is_chunked_or_refused() {
        for (value, fields, outcome) in [
            ("chunked", 1, Ok(())),
            ("CHUNKED", 1, Ok(())),
            ("gzip, chunked", 1, Err(Refusal::Coding)),
            (",chunked", 1, Err(Refusal::Coding)),
            ("chunked", 2, Err(Refusal::Coding)),
            ("chunked, gzip", 1, Err(Refusal::Framing)),
            ("chunked,", 1, Err(Refusal::Framing)),
            ("identity", 2, Err(Refusal::Framing)),
            ("", 1, Err(Refusal::Framing)),
        ] {
            assert_eq!(check_coding(value.as_bytes(), fields), outcome, "{value}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_the_same_in_any_case(name in "[a-z_-]{1,20}|x-forwarded-[a-z]{1,6}|content.length") {
            prop_assert_eq!(kind(&name), kind(&name.to_ascii_uppercase()));
        }
    }
}
