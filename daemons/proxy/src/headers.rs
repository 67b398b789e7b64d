//! What may pass: fields for one hop stay on their hop, and who the client is we say ourselves.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::answer::X_REQUEST_ID;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const CHUNKED: HeaderValue = HeaderValue::from_static("chunked");
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADE_TOKEN: HeaderValue = HeaderValue::from_static("upgrade");

/// What is said about the client.
#[derive(Debug)]
pub(crate) struct Origin<'a> {
    /// Its address, without port.
    pub(crate) address: &'a HeaderValue,
    /// Whether it is a proxy whose word counts.
    pub(crate) trusted: bool,
    /// `http` or `https`.
    pub(crate) scheme: HeaderValue,
}

/// A field's fate in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Pass,
    /// For this hop only, or nothing that a client may say.
    Drop,
    Connection,
    Trailers,
    Framing,
    /// Believed when a trusted proxy says it.
    Forwarding,
}

fn fate(name: &str) -> Fate {
    match name {
        "connection" => Fate::Connection,
        "te" => Fate::Trailers,
        "transfer-encoding" => Fate::Framing,
        "keep-alive" | "proxy-connection" | "proxy-authorization" | "proxy-authenticate" | "upgrade"
        // We answer 100-continue ourselves; `Proxy` becomes HTTP_PROXY in CGI programs (CVE-2016-5385).
        | "expect" | "proxy" | "forwarded" => Fate::Drop,
        "x-real-ip" => Fate::Forwarding,
        _ if name.starts_with("x-forwarded-") => Fate::Forwarding,
        // CGI and WSGI programs can't tell `X_Forwarded_For` from `X-Forwarded-For`.
        _ if name.contains('_') && is_protected(&name.replace('_', "-")) => Fate::Drop,
        _ => Fate::Pass,
    }
}

/// Fields that no client can remove or set by other means: what the message is, and what we say of the client.
fn is_protected(name: &str) -> bool {
    name.starts_with("x-forwarded-")
        || matches!(
            name,
            "host" | "content-length" | "transfer-encoding" | "forwarded" | "x-real-ip" | "x-request-id"
        )
}

/// Makes the fields of a request fit for the next hop. `websocket` is whether the upgrade goes on.
pub(crate) fn prepare_request(
    headers: &mut HeaderMap,
    origin: &Origin<'_>,
    request_id: &HeaderValue,
    websocket: bool,
) {
    let mut drop: Vec<HeaderName> = Vec::new();
    let mut trailers = false;
    let mut framing = false;
    let mut real_ip = false;
    for (name, value) in &*headers {
        match fate(name.as_str()) {
            Fate::Pass => {}
            Fate::Drop => drop.push(name.clone()),
            Fate::Connection => {
                nominated(value, &mut drop);
                drop.push(CONNECTION);
            }
            Fate::Trailers => {
                trailers |= has_token(value, "trailers");
                drop.push(TE);
            }
            Fate::Framing => framing = true,
            Fate::Forwarding if origin.trusted => {}
            Fate::Forwarding => {
                real_ip |= *name == X_REAL_IP;
                drop.push(name.clone());
            }
        }
    }
    for name in drop {
        headers.remove(name);
    }
    if trailers {
        headers.insert(TE, TRAILERS);
    }
    if framing {
        // hyper has taken the coding off and puts it on again; without the field it would drop a GET's body.
        headers.insert(TRANSFER_ENCODING, CHUNKED);
    }
    if websocket {
        headers.insert(CONNECTION, UPGRADE_TOKEN);
        headers.insert(UPGRADE, WEBSOCKET);
    }
    forward(headers, origin, real_ip);
    headers.insert(X_REQUEST_ID, request_id.clone());
}

fn forward(headers: &mut HeaderMap, origin: &Origin<'_>, real_ip: bool) {
    let list = if origin.trusted { appended(headers, origin.address) } else { None };
    headers.insert(X_FORWARDED_FOR, list.unwrap_or_else(|| origin.address.clone()));
    if !headers.contains_key(X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, origin.scheme.clone());
    }
    if !headers.contains_key(X_FORWARDED_HOST)
        && let Some(host) = headers.get(HOST).cloned()
    {
        headers.insert(X_FORWARDED_HOST, host);
    }
    // Not ours to introduce, but a program that looks at it must not see a client's invention.
    if real_ip {
        headers.insert(X_REAL_IP, origin.address.clone());
    }
}

/// The list that trusted proxies made, with the last of them added.
fn appended(headers: &HeaderMap, address: &HeaderValue) -> Option<HeaderValue> {
    let mut list = Vec::new();
    for value in headers.get_all(X_FORWARDED_FOR) {
        list.extend_from_slice(value.as_bytes());
        list.extend_from_slice(b", ");
    }
    if list.is_empty() {
        return None;
    }
    list.extend_from_slice(address.as_bytes());
    HeaderValue::from_bytes(&list).ok()
}

/// Makes the fields of an answer fit for the client. `websocket` is whether the connection becomes a tunnel.
pub(crate) fn prepare_answer(headers: &mut HeaderMap, status: StatusCode, websocket: bool) {
    let mut drop: Vec<HeaderName> = Vec::new();
    let mut lengths = 0u32;
    let mut framing = false;
    for (name, value) in &*headers {
        match name.as_str() {
            "connection" => {
                nominated(value, &mut drop);
                drop.push(CONNECTION);
            }
            "content-length" => {
                lengths += if value.as_bytes().contains(&b',') { 2 } else { 1 };
            }
            "transfer-encoding" => framing = true,
            "te"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "upgrade" => {
                drop.push(name.clone());
            }
            _ => {}
        }
    }
    for name in drop {
        headers.remove(name);
    }
    if framing {
        headers.remove(TRANSFER_ENCODING);
    }
    // A length beside a transfer coding is void (RFC 9112, section 6.3), and so is one where no content can be.
    let no_content = status == StatusCode::NO_CONTENT || status.is_informational();
    if lengths > 0 && (framing || no_content) {
        headers.remove(CONTENT_LENGTH);
    } else if lengths > 1 {
        collapse_length(headers);
    }
    if websocket {
        headers.insert(CONNECTION, UPGRADE_TOKEN);
        headers.insert(UPGRADE, WEBSOCKET);
    }
}

/// hyper has made sure that all lengths are equal.
fn collapse_length(headers: &mut HeaderMap) {
    let first = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.as_bytes().split(|&byte| byte == b',').next())
        .and_then(|first| HeaderValue::from_bytes(first.trim_ascii()).ok());
    if let Some(first) = first {
        headers.insert(CONTENT_LENGTH, first);
    }
}

/// The fields that a `Connection` field declares to be for this hop (RFC 9110, section 7.6.1). Those that decide what
/// the message is or who sent it can't be taken out that way.
fn nominated(value: &HeaderValue, drop: &mut Vec<HeaderName>) {
    let Ok(list) = value.to_str() else { return };
    for token in list.split(',').map(str::trim) {
        if matches!(token, "" | "keep-alive" | "close" | "upgrade" | "Keep-Alive" | "Upgrade") {
            continue;
        }
        if let Ok(name) = HeaderName::from_bytes(token.as_bytes())
            && !is_protected(name.as_str())
        {
            drop.push(name);
        }
    }
}

fn has_token(value: &HeaderValue, token: &str) -> bool {
    value.to_str().is_ok_and(|list| {
        list.split(',')
            .any(|part| part.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case(token)))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        headers
    }

    fn lines(headers: &HeaderMap) -> Vec<String> {
        let mut lines: Vec<_> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        lines
    }

    fn request(fields: &[(&str, &str)], trusted: bool, websocket: bool) -> Vec<String> {
        let mut headers = map(fields);
        let address = HeaderValue::from_static("192.0.2.9");
        let origin = Origin { address: &address, trusted, scheme: HeaderValue::from_static("http") };
        prepare_request(&mut headers, &origin, &HeaderValue::from_static("id1"), websocket);
        lines(&headers)
    }

    const OURS: [&str; 5] = [
        "host: a.example",
        "x-forwarded-for: 192.0.2.9",
        "x-forwarded-host: a.example",
        "x-forwarded-proto: http",
        "x-request-id: id1",
    ];

    #[test]
    fn what_is_for_one_hop_or_invented_does_not_pass() {
        let fields = [
            ("host", "a.example"),
            ("connection", "keep-alive, X-Secret"),
            ("connection", "close, x-forwarded-for, host, content-length"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("proxy-authorization", "Basic x"),
            ("te", "gzip"),
            ("upgrade", "h2c"),
            ("expect", "100-continue"),
            ("x-secret", "1"),
            ("proxy", "http://evil.example"),
            ("forwarded", "for=1.2.3.4"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-port", "443"),
            ("x_forwarded_for", "1.2.3.4"),
            ("x-forwarded_for", "1.2.3.4"),
            ("x_real_ip", "1.2.3.4"),
            ("x-request-id", "mine"),
        ];
        assert_eq!(request(&fields, false, false), OURS);
    }

    #[test]
    fn ordinary_fields_pass() {
        let lines = request(
            &[("host", "a.example"), ("cookie", "a=b"), ("x_custom", "1"), ("te", "trailers, deflate;q=0.5")],
            false,
            false,
        );
        for line in ["cookie: a=b", "x_custom: 1", "te: trailers"] {
            assert!(lines.contains(&line.to_owned()), "{lines:?}");
        }
    }

    #[test]
    fn a_real_ip_is_corrected_but_not_introduced() {
        let lines = request(&[("host", "a.example"), ("x-real-ip", "1.2.3.4")], false, false);
        assert!(lines.contains(&"x-real-ip: 192.0.2.9".to_owned()), "{lines:?}");
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_added_to_the_list() {
        let lines = request(
            &[
                ("host", "a.example"),
                ("x-forwarded-for", "1.2.3.4"),
                ("x-forwarded-for", "10.0.0.1"),
                ("x-forwarded-proto", "https"),
                ("x-real-ip", "1.2.3.4"),
            ],
            true,
            false,
        );
        for line in [
            "x-forwarded-for: 1.2.3.4, 10.0.0.1, 192.0.2.9",
            "x-forwarded-proto: https",
            "x-real-ip: 1.2.3.4",
        ] {
            assert!(lines.contains(&line.to_owned()), "{lines:?}");
        }
    }

    #[test]
    fn an_upgrade_is_made_anew() {
        let lines = request(
            &[("host", "a.example"), ("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")],
            false,
            true,
        );
        for line in ["connection: upgrade", "upgrade: websocket"] {
            assert!(lines.contains(&line.to_owned()), "{lines:?}");
        }
    }

    #[test]
    fn a_coded_request_body_stays_coded() {
        let lines = request(&[("host", "a.example"), ("transfer-encoding", "gzip, chunked")], false, false);
        assert!(lines.contains(&"transfer-encoding: chunked".to_owned()), "{lines:?}");
    }

    #[test]
    fn answers_are_cleaned_alike() {
        for (status, fields, expected) in [
            (
                200,
                vec![("connection", "close, x-hop"), ("x-hop", "1"), ("keep-alive", "5"), ("etag", "1")],
                vec!["etag: 1"],
            ),
            (200, vec![("content-length", "5"), ("transfer-encoding", "chunked")], vec![]),
            (200, vec![("content-length", "5"), ("content-length", "5")], vec!["content-length: 5"]),
            (200, vec![("content-length", "5, 5")], vec!["content-length: 5"]),
            (204, vec![("content-length", "0")], vec![]),
            (304, vec![("content-length", "5")], vec!["content-length: 5"]),
            (426, vec![("upgrade", "h2c"), ("connection", "upgrade")], vec![]),
        ] {
            let mut headers = map(&fields);
            prepare_answer(&mut headers, StatusCode::from_u16(status).unwrap(), false);
            assert_eq!(lines(&headers), expected, "{status} {fields:?}");
        }
    }

    fn name() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("connection".to_owned()),
            Just("X-Forwarded-For".to_owned()),
            Just("X_Forwarded_Proto".to_owned()),
            Just("Transfer-Encoding".to_owned()),
            Just("x-request_id".to_owned()),
            "[a-zA-Z_-]{1,16}",
        ]
    }

    proptest! {
        #[test]
        fn nothing_of_one_hop_and_nothing_invented_survives(
            fields in prop::collection::vec((name(), "[a-zA-Z, -]{0,24}"), 0..12)
        ) {
            let mut headers = map(&[("host", "a.example")]);
            for (name, value) in &fields {
                if name.eq_ignore_ascii_case("host") {
                    continue;
                }
                let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), value.parse()) else { continue };
                headers.append(name, value);
            }
            let address = HeaderValue::from_static("192.0.2.9");
            let origin = Origin { address: &address, trusted: false, scheme: HeaderValue::from_static("http") };
            prepare_request(&mut headers, &origin, &HeaderValue::from_static("id1"), false);
            for gone in ["connection", "keep-alive", "upgrade", "proxy-connection", "expect"] {
                prop_assert!(!headers.contains_key(gone));
            }
            prop_assert_eq!(headers.get_all("x-forwarded-for").iter().collect::<Vec<_>>(), ["192.0.2.9"]);
            prop_assert_eq!(headers.get_all("x-request-id").iter().count(), 1);
            prop_assert_eq!(&headers["host"], "a.example");
            for name in headers.keys() {
                let dashed = name.as_str().replace('_', "-");
                prop_assert!(!name.as_str().contains('_') || !is_protected(&dashed), "{}", name);
            }
        }
    }
}
