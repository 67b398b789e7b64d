//! What may pass: fields for one hop stay on their hop, and who the client is we say ourselves.

use http::header::{CONNECTION, CONTENT_LENGTH, FORWARDED, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::field::{Fate, fate, has_token, nominated};
use crate::forwarded::{Claims, Origin, X_REAL_IP, forward};

/// The identifier that a request has on all its hops.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const CHUNKED: HeaderValue = HeaderValue::from_static("chunked");
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADE_TOKEN: HeaderValue = HeaderValue::from_static("upgrade");

/// Makes the fields of a request fit for the next hop. `websocket` is whether the upgrade goes on.
pub fn prepare_request(headers: &mut HeaderMap, origin: &Origin, request_id: &HeaderValue, websocket: bool) {
    let mut drop: Vec<HeaderName> = Vec::new();
    let mut trailers = false;
    let mut framing = false;
    let mut claims = Claims::default();
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
            Fate::Forwarding => {
                claims.real_ip |= *name == X_REAL_IP;
                claims.forwarded |= *name == FORWARDED;
                if !origin.trusted {
                    drop.push(name.clone());
                }
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
    forward(headers, origin, claims);
    headers.insert(X_REQUEST_ID, request_id.clone());
}

/// Makes the fields of an answer fit for the client. `websocket` is whether the connection becomes a tunnel.
pub fn prepare_answer(headers: &mut HeaderMap, status: StatusCode, websocket: bool) {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::field::is_protected;

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
        let origin = origin(trusted);
        prepare_request(&mut headers, &origin, &HeaderValue::from_static("id1"), websocket);
        lines(&headers)
    }

    fn origin(trusted: bool) -> Origin {
        Origin {
            address: HeaderValue::from_static("192.0.2.9"),
            trusted,
            scheme: HeaderValue::from_static("http"),
            port: HeaderValue::from_static("80"),
        }
    }

    const OURS: [&str; 6] = [
        "host: a.example",
        "x-forwarded-for: 192.0.2.9",
        "x-forwarded-host: a.example",
        "x-forwarded-port: 80",
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
            ("http2-settings", "AAMAAABkAAQAAP__"),
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
    fn a_forwarded_field_is_ours_or_of_those_we_trust() {
        let fields = [("host", "a.example"), ("forwarded", "for=1.2.3.4;proto=https")];
        let ours = "forwarded: for=192.0.2.9;proto=http;host=\"a.example\"";
        assert!(request(&fields, false, false).contains(&ours.to_owned()));
        let list = "forwarded: for=1.2.3.4;proto=https, for=192.0.2.9;proto=http;host=\"a.example\"";
        assert!(request(&fields, true, false).contains(&list.to_owned()));
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
            let origin = origin(false);
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
