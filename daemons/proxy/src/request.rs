//! Which requests are taken: exactly those that mean one thing.

use convoy_routing::{Host, HostError};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderValue, Method, Uri, Version, request};

use crate::reason::Reason;

/// Refuses what can't be forwarded, and brings the target into origin form: an absolute one gives its authority to the
/// `Host` field, since it wins over it (RFC 9112, section 3.2.2). hyper leaves all of this to us.
pub(crate) fn check(parts: &mut request::Parts) -> Result<(), Reason> {
    if parts.method == Method::CONNECT || parts.method == Method::TRACE {
        return Err(Reason::Method);
    }
    if parts.version > Version::HTTP_11 || parts.version < Version::HTTP_10 {
        return Err(Reason::BadRequest);
    }
    // Exactly one Host, also with an absolute target (RFC 9112, section 3.2).
    let mut hosts = parts.headers.get_all(HOST).iter();
    if hosts.next().is_none() || hosts.next().is_some() {
        return Err(Reason::BadRequest);
    }
    if parts.headers.contains_key(CONTENT_LENGTH) && parts.headers.contains_key(TRANSFER_ENCODING) {
        return Err(Reason::BadRequest);
    }
    if parts.uri.authority().is_some() {
        check_host(&parts.headers).map_err(|_| Reason::BadRequest)?;
        take_authority(parts)?;
    } else if parts.uri.path() == "*" {
        if parts.method != Method::OPTIONS {
            return Err(Reason::BadRequest);
        }
    } else if !parts.uri.path().starts_with('/') {
        return Err(Reason::BadRequest);
    }
    Ok(())
}

/// The host that the request is for.
pub(crate) fn check_host(headers: &HeaderMap) -> Result<Host<'_>, HostError> {
    let value = headers.get(HOST).ok_or(HostError::Empty)?;
    Host::parse(value.to_str().map_err(|_| HostError::Syntax)?)
}

fn take_authority(parts: &mut request::Parts) -> Result<(), Reason> {
    let scheme = parts.uri.scheme_str();
    let authority = parts.uri.authority().map(Authority::as_str).unwrap_or_default();
    // An authority without a scheme is CONNECT's form.
    if !matches!(scheme, Some("http" | "https")) || authority.contains('@') {
        return Err(Reason::BadRequest);
    }
    let host = HeaderValue::from_str(authority).map_err(|_| Reason::BadRequest)?;
    parts.headers.insert(HOST, host);
    let path = match parts.uri.path_and_query() {
        // `http://host?query` has no slash; the path is empty then, and an empty path is sent as one.
        Some(path) if path.as_str().starts_with('/') => path.clone(),
        Some(path) => format!("/{}", path.as_str()).parse().map_err(|_| Reason::BadRequest)?,
        None => PathAndQuery::from_static("/"),
    };
    parts.uri = Uri::from(path);
    Ok(())
}

/// Whether the client wants to switch to WebSocket (RFC 6455, section 4.2.1). Other upgrades are not offered: the
/// fields are dropped and the request is served as it is.
pub(crate) fn wants_websocket(parts: &request::Parts, has_body: bool) -> bool {
    parts.method == Method::GET
        && parts.version == Version::HTTP_11
        && !has_body
        && parts.headers.get(UPGRADE).is_some_and(is_websocket)
        && has_token(&parts.headers, "upgrade")
}

/// Whether an `Upgrade` field names WebSocket and nothing else.
pub(crate) fn is_websocket(value: &HeaderValue) -> bool {
    value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"websocket")
}

fn has_token(headers: &HeaderMap, token: &str) -> bool {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|list| list.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
}

/// Whether a request may be sent again when it is not known what became of it (RFC 9110, section 9.2.2). One with a
/// body may not: the body is gone.
pub(crate) fn may_repeat(method: &Method, has_body: bool) -> bool {
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
            check(&mut parts).unwrap();
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
            check(&mut parts).unwrap();
            assert_eq!(parts.headers[HOST], host, "{target}");
            assert_eq!(parts.uri, path, "{target}");
        }
    }

    #[test]
    fn what_could_mean_two_things_is_refused() {
        let host = ("host", "a.example");
        for (method, target, fields, reason) in [
            ("CONNECT", "a.example:443", vec![host], Reason::Method),
            ("TRACE", "/", vec![host], Reason::Method),
            ("GET", "/", vec![], Reason::BadRequest),
            ("GET", "/", vec![host, host], Reason::BadRequest),
            ("GET", "*", vec![host], Reason::BadRequest),
            ("GET", "a.example", vec![host], Reason::BadRequest),
            ("GET", "ftp://a.example/", vec![host], Reason::BadRequest),
            ("GET", "http://user@a.example/", vec![host], Reason::BadRequest),
            ("GET", "http://a.example/", vec![("host", "a b")], Reason::BadRequest),
            (
                "POST",
                "/",
                vec![host, ("content-length", "3"), ("transfer-encoding", "chunked")],
                Reason::BadRequest,
            ),
        ] {
            let mut parts = parts(method, target, &fields);
            assert_eq!(check(&mut parts), Err(reason), "{method} {target} {fields:?}");
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
