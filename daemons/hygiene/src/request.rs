//! Which requests are taken: exactly those that mean one thing.

use convoy_routing::{Host, HostError, normalise};
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderValue, Method, Uri, Version, request};

use crate::field::has_token;
use crate::refusal::Refusal;

/// Refuses what can't be forwarded, and brings the rest into one form: the target is a path, the host is in the `Host`
/// field, and there is one of it.
///
/// An absolute target gives its authority to the field, since it wins over it (RFC 9112, section 3.2.2); HTTP/2's
/// `:authority` has to agree with the field if there are both (RFC 9113, section 8.3.1).
pub fn check_request(parts: &mut request::Parts) -> Result<(), Refusal> {
    if parts.method == Method::CONNECT || parts.method == Method::TRACE || parts.method.as_str() == "TRACK" {
        return Err(Refusal::Method);
    }
    check_framing(parts)?;
    if let Some(expectation) = parts.headers.get(EXPECT)
        && !expectation.as_bytes().eq_ignore_ascii_case(b"100-continue")
    {
        return Err(Refusal::Expectation);
    }
    match parts.version {
        Version::HTTP_2 => check_http2(parts),
        Version::HTTP_11 | Version::HTTP_10 => check_http1(parts),
        _ => Err(Refusal::Version),
    }
}

fn check_http1(parts: &mut request::Parts) -> Result<(), Refusal> {
    // Exactly one Host, also with an absolute target (RFC 9112, section 3.2).
    let mut hosts = parts.headers.get_all(HOST).iter();
    if hosts.next().is_none() || hosts.next().is_some() {
        return Err(Refusal::Host);
    }
    if parts.uri.authority().is_some() {
        host(&parts.headers).map_err(|_| Refusal::Host)?;
        return take_authority(parts);
    }
    check_path(parts)
}

fn check_http2(parts: &mut request::Parts) -> Result<(), Refusal> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let field = hosts.next();
    if hosts.next().is_some() {
        return Err(Refusal::Host);
    }
    match (parts.uri.authority(), field) {
        (Some(authority), Some(field)) => {
            let agree = field.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes());
            if !agree {
                return Err(Refusal::Host);
            }
            take_authority(parts)
        }
        (Some(_), None) => take_authority(parts),
        (None, Some(_)) => check_path(parts),
        (None, None) => Err(Refusal::Host),
    }
}

fn check_path(parts: &request::Parts) -> Result<(), Refusal> {
    let path = parts.uri.path();
    if path == "*" {
        return if parts.method == Method::OPTIONS { Ok(()) } else { Err(Refusal::Target) };
    }
    if path.starts_with('/') { stays_in_root(path) } else { Err(Refusal::Target) }
}

/// What leads out of the root is an attack on whoever maps paths to files, and so is what is no escape and could become
/// one.
fn stays_in_root(path: &str) -> Result<(), Refusal> {
    normalise(path).map(drop).map_err(|_| Refusal::Target)
}

/// One length or one coding, and the coding is chunked. hyper has taken away some of what it doubted; what it left
/// alone is looked at here.
fn check_framing(parts: &request::Parts) -> Result<(), Refusal> {
    let mut lengths = parts.headers.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next();
    if lengths.next().is_some() {
        return Err(Refusal::Framing);
    }
    if let Some(length) = length
        && (length.is_empty() || !length.as_bytes().iter().all(u8::is_ascii_digit))
    {
        return Err(Refusal::Framing);
    }
    let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(_), _) if length.is_some() || parts.version != Version::HTTP_11 => Err(Refusal::Framing),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        (Some(_), _) => Err(Refusal::Coding),
    }
}

/// The host that the request is for.
pub fn host(headers: &HeaderMap) -> Result<Host<'_>, HostError> {
    let value = headers.get(HOST).ok_or(HostError::Empty)?;
    Host::parse(value.to_str().map_err(|_| HostError::Syntax)?)
}

fn take_authority(parts: &mut request::Parts) -> Result<(), Refusal> {
    let scheme = parts.uri.scheme_str();
    let authority = parts.uri.authority().map(Authority::as_str).unwrap_or_default();
    // An authority without a scheme is CONNECT's form.
    if !matches!(scheme, Some("http" | "https")) {
        return Err(Refusal::Target);
    }
    if authority.contains('@') {
        return Err(Refusal::Host);
    }
    let host = HeaderValue::from_str(authority).map_err(|_| Refusal::Host)?;
    parts.headers.insert(HOST, host);
    let path = match parts.uri.path_and_query() {
        // HTTP/2 says `*` beside an authority.
        Some(path) if path.as_str() == "*" && parts.method == Method::OPTIONS => path.clone(),
        Some(path) if path.as_str().starts_with('/') => path.clone(),
        // `http://host?query` has no slash; the path is empty then, and an empty path is sent as one.
        Some(path) if path.as_str().starts_with('?') || path.as_str().is_empty() => {
            format!("/{}", path.as_str()).parse().map_err(|_| Refusal::Target)?
        }
        Some(_) => return Err(Refusal::Target),
        None => PathAndQuery::from_static("/"),
    };
    stays_in_root(path.path())?;
    parts.uri = Uri::from(path);
    Ok(())
}

/// Whether the client wants to switch to WebSocket (RFC 6455, section 4.2.1). Other upgrades are not offered: the
/// fields are dropped and the request is served as it is.
pub fn wants_websocket(parts: &request::Parts, has_body: bool) -> bool {
    parts.headers.contains_key(UPGRADE)
        && parts.method == Method::GET
        && parts.version == Version::HTTP_11
        && !has_body
        && parts.headers.get_all(UPGRADE).iter().count() == 1
        && parts.headers.get(UPGRADE).is_some_and(is_websocket)
        && parts.headers.get_all(CONNECTION).iter().any(|value| has_token(value, "upgrade"))
}

/// Whether an `Upgrade` field names WebSocket and nothing else.
pub fn is_websocket(value: &HeaderValue) -> bool {
    value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"websocket")
}

/// Whether a request may be sent again when it is not known what became of it (RFC 9110, section 9.2.2). One with a
/// body may not: the body is gone.
pub fn may_repeat(method: &Method, has_body: bool) -> bool {
    !has_body && (method.is_safe() || matches!(*method, Method::PUT | Method::DELETE))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(method: &str, target: &str, fields: &[(&'static str, &str)]) -> request::Parts {
        let mut builder = Request::builder().method(method).uri(target);
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    #[test]
    fn ordinary_requests_pass_unchanged() {
        for (method, target) in [("GET", "/"), ("POST", "/a?b=c"), ("OPTIONS", "*"), ("BREW", "/pot")] {
            let mut parts = parts(method, target, &[("host", "a.example")]);
            check_request(&mut parts).unwrap();
            assert_eq!(parts.uri, target);
        }
    }

    #[test]
    fn an_absolute_target_wins_over_the_host_field() {
        for (target, host, path) in [
            ("http://b.example/x?y=1", "b.example", "/x?y=1"),
            ("http://b.example:8080", "b.example:8080", "/"),
            ("https://b.example?q", "b.example", "/?q"),
        ] {
            let mut parts = parts("GET", target, &[("host", "a.example")]);
            check_request(&mut parts).unwrap();
            assert_eq!(parts.headers[HOST], host, "{target}");
            assert_eq!(parts.uri, path, "{target}");
        }
    }

    #[test]
    fn what_could_mean_two_things_is_refused() {
        let host = ("host", "a.example");
        for (method, target, fields, reason) in [
            ("CONNECT", "a.example:443", vec![host], Refusal::Method),
            ("TRACE", "/", vec![host], Refusal::Method),
            ("TRACK", "/", vec![host], Refusal::Method),
            ("GET", "/", vec![], Refusal::Host),
            ("GET", "/", vec![host, host], Refusal::Host),
            ("GET", "*", vec![host], Refusal::Target),
            ("GET", "/%%32e%%32e/x", vec![host], Refusal::Target),
            ("GET", "/../x", vec![host], Refusal::Target),
            ("GET", "/a/%2e%2e/%2E./x", vec![host], Refusal::Target),
            ("GET", "http://a.example/../x", vec![host], Refusal::Target),
            ("GET", "a.example", vec![host], Refusal::Target),
            ("GET", "ftp://a.example/", vec![host], Refusal::Target),
            ("GET", "http://user@a.example/", vec![host], Refusal::Host),
            ("GET", "http://a.example/", vec![("host", "a b")], Refusal::Host),
            (
                "POST",
                "/",
                vec![host, ("content-length", "3"), ("transfer-encoding", "chunked")],
                Refusal::Framing,
            ),
            ("POST", "/", vec![host, ("content-length", "3"), ("content-length", "3")], Refusal::Framing),
            ("POST", "/", vec![host, ("content-length", "3, 3")], Refusal::Framing),
            ("POST", "/", vec![host, ("content-length", "+3")], Refusal::Framing),
            ("POST", "/", vec![host, ("transfer-encoding", "gzip, chunked")], Refusal::Coding),
            (
                "POST",
                "/",
                vec![host, ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
                Refusal::Coding,
            ),
            ("POST", "/", vec![host, ("expect", "200-ok")], Refusal::Expectation),
        ] {
            let mut parts = parts(method, target, &fields);
            assert_eq!(check_request(&mut parts), Err(reason), "{method} {target} {fields:?}");
        }
    }

    #[test]
    fn in_http2_authority_and_host_agree() {
        for (target, fields, outcome) in [
            ("https://a.example/x", vec![], Ok("a.example")),
            ("https://a.example/x", vec![("host", "A.example")], Ok("a.example")),
            ("https://a.example/x", vec![("host", "b.example")], Err(Refusal::Host)),
            ("/x", vec![("host", "b.example")], Ok("b.example")),
            ("/x", vec![], Err(Refusal::Host)),
            ("https://a.example/x", vec![("host", "a.example"), ("host", "a.example")], Err(Refusal::Host)),
        ] {
            let mut parts = parts("GET", target, &fields);
            parts.version = Version::HTTP_2;
            let checked =
                check_request(&mut parts).map(|()| parts.headers[HOST].to_str().unwrap().to_owned());
            assert_eq!(checked.as_deref(), outcome.as_ref().copied(), "{target} {fields:?}");
        }
    }

    #[test]
    fn only_a_complete_websocket_handshake_is_an_upgrade() {
        let upgrade = ("upgrade", "WebSocket");
        let connection = ("connection", "keep-alive, Upgrade");
        for (method, fields, has_body, wanted) in [
            ("GET", vec![upgrade, connection], false, true),
            ("GET", vec![upgrade, connection], true, false),
            ("POST", vec![upgrade, connection], false, false),
            ("GET", vec![upgrade], false, false),
            ("GET", vec![connection], false, false),
            ("GET", vec![("upgrade", "h2c"), connection], false, false),
            ("GET", vec![("upgrade", "websocket, h2c"), connection], false, false),
        ] {
            assert_eq!(
                wants_websocket(&parts(method, "/", &fields), has_body),
                wanted,
                "{method} {fields:?}"
            );
        }
    }

    #[test]
    fn only_idempotent_requests_without_body_are_repeated() {
        for (method, has_body, may) in [
            (Method::GET, false, true),
            (Method::HEAD, false, true),
            (Method::DELETE, false, true),
            (Method::GET, true, false),
            (Method::PUT, true, false),
            (Method::POST, false, false),
            (Method::PATCH, false, false),
        ] {
            assert_eq!(may_repeat(&method, has_body), may, "{method}");
        }
    }
}
