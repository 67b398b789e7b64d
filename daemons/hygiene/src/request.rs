//! Which requests are taken: exactly those that mean one thing.

use convoy_routing::{Host, normalise};
use http::Version;

use crate::field::{Field, Kind, Sink};
use crate::forwarded::{Origin, forward};
use crate::refusal::Refusal;
use crate::survey::Survey;

/// What a request is for, as it was asked.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// The target in the first line of HTTP/1.
    Line(&'a str),
    /// HTTP/2's `:scheme`, `:authority` and `:path`.
    Pseudo {
        /// `http` or `https`.
        scheme: Option<&'a str>,
        /// The host.
        authority: Option<&'a str>,
        /// Path and query.
        path: &'a str,
        /// Whether frames of a body follow.
        streams: bool,
    },
}

/// How the body of a request is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// There is none.
    None,
    /// So many bytes.
    Exactly(u64),
    /// By chunks, or in HTTP/2 by its frames.
    Unknown,
}

/// A request that may be passed on.
#[derive(Debug)]
pub struct Request<'a, 's, F> {
    /// The method.
    pub method: &'a str,
    /// The host as the target is to see it.
    pub authority: &'a str,
    /// The same as it is compared with the table.
    pub host: Host<'a>,
    /// The path without its query; `*` for OPTIONS.
    pub path: &'a str,
    /// What stands behind the question mark.
    pub query: Option<&'a str>,
    /// The body.
    pub length: Length,
    /// Whether the client waits for a word before it sends its body.
    pub waits: bool,
    /// Whether the connection is to become a WebSocket (RFC 6455, section 4.2.1). Other upgrades are not offered: the
    /// fields are dropped and the request is served as it is.
    pub websocket: bool,
    version: Version,
    survey: &'s Survey<'a, F>,
}

impl<'a, 's, F: Iterator<Item = Field<'a>> + Clone> Request<'a, 's, F> {
    /// Refuses what can't be forwarded, and finds out the rest's one meaning.
    ///
    /// An absolute target wins over the `Host` field (RFC 9112, section 3.2.2); HTTP/2's `:authority` has to agree with
    /// the field if there are both (RFC 9113, section 8.3.1).
    pub fn check(
        method: &'a str,
        target: Target<'a>,
        version: Version,
        survey: &'s Survey<'a, F>,
    ) -> Result<Self, Refusal> {
        if matches!(method, "CONNECT" | "TRACE" | "TRACK") {
            return Err(Refusal::Method);
        }
        let mut length = survey.length(version)?;
        if survey.connection.is_excessive() {
            return Err(Refusal::Framing);
        }
        if survey.expect.is_some_and(|expect| !expect.eq_ignore_ascii_case(b"100-continue")) {
            return Err(Refusal::Expectation);
        }
        let (authority, target) = match (target, version) {
            (Target::Line(line), Version::HTTP_11 | Version::HTTP_10) => by_line(line, survey)?,
            (Target::Pseudo { scheme, authority, path, streams }, Version::HTTP_2) => {
                if streams && length == Length::None {
                    length = Length::Unknown;
                }
                (by_pseudo(scheme, authority, survey)?, path)
            }
            _ => return Err(Refusal::Version),
        };
        let host = Host::parse(authority).map_err(|_| Refusal::Host)?;
        let (path, query) = check_target(method, target)?;
        let websocket = version == Version::HTTP_11
            && method == "GET"
            && matches!(length, Length::None | Length::Exactly(0))
            && survey.upgrades == 1
            && survey.upgrade.is_some_and(is_websocket)
            && survey.connection.upgrade;
        let waits = survey.expect.is_some() && version != Version::HTTP_10;
        Ok(Self { method, authority, host, path, query, length, waits, websocket, version, survey })
    }

    /// Whether it may be sent again when it is not known what became of it (RFC 9110, section 9.2.2). One with a body may
    /// not: the body is gone.
    pub fn may_repeat(&self) -> bool {
        matches!(self.length, Length::None | Length::Exactly(0))
            && matches!(self.method, "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE")
            && !self.websocket
    }

    /// Gives the fields that go on, and our own; not `Host`, and not what delimits the body. Cookies that HTTP/2 took apart
    /// are put together again where the target does not speak it (RFC 9113, section 8.2.3).
    pub fn pass(
        &self,
        sink: &mut impl Sink,
        origin: &Origin<'_>,
        request_id: &[u8],
        joins_cookies: bool,
        websocket: bool,
    ) {
        let survey = self.survey;
        let joins_cookies = joins_cookies && self.version == Version::HTTP_2 && survey.cookies > 1;
        for (kind, (name, value)) in survey.kinds() {
            let passes = match kind {
                Kind::Cookie if joins_cookies => false,
                Kind::Other
                | Kind::Cookie
                | Kind::Accept
                | Kind::ContentType
                | Kind::Trace
                | Kind::Referer
                | Kind::Agent => !survey.connection.nominates(name),
                Kind::Forwarding(field) => field.passes(origin),
                Kind::Hop
                | Kind::Connection
                | Kind::Te
                | Kind::Upgrade
                | Kind::Host
                | Kind::ContentLength
                | Kind::TransferEncoding
                | Kind::Expect
                | Kind::RequestId => false,
            };
            if passes {
                sink.put(name, value);
            }
        }
        if joins_cookies && !survey.connection.nominates("cookie") {
            let cookies: Vec<_> = survey.cookies().collect();
            sink.put("cookie", &cookies.join(&b"; "[..]));
        }
        if survey.takes_trailers {
            sink.put("te", b"trailers");
        }
        if websocket {
            sink.put("connection", b"upgrade");
            sink.put("upgrade", b"websocket");
        }
        forward(sink, origin, survey.claims, self.authority, survey.kinds());
        sink.put("x-request-id", request_id);
    }
}

/// The host and the path of a first line.
fn by_line<'a, F: Iterator<Item = Field<'a>> + Clone>(
    line: &'a str,
    survey: &Survey<'a, F>,
) -> Result<(&'a str, &'a str), Refusal> {
    // Exactly one Host, also with an absolute target (RFC 9112, section 3.2).
    let field = survey.host().filter(|_| survey.hosts == 1).ok_or(Refusal::Host)?;
    if line.starts_with('/') || line == "*" {
        return Ok((field, line));
    }
    let (scheme, rest) = line.split_once("://").ok_or(Refusal::Target)?;
    check_scheme(Some(scheme))?;
    Host::parse(field).map_err(|_| Refusal::Host)?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    rest.split_at_checked(end).ok_or(Refusal::Target)
}

/// The host of an HTTP/2 request.
fn by_pseudo<'a, F: Iterator<Item = Field<'a>> + Clone>(
    scheme: Option<&str>,
    authority: Option<&'a str>,
    survey: &Survey<'a, F>,
) -> Result<&'a str, Refusal> {
    if survey.hosts > 1 {
        return Err(Refusal::Host);
    }
    if authority.is_some() {
        // An authority without a scheme is CONNECT's form.
        check_scheme(scheme)?;
    }
    match (authority, survey.host()) {
        (Some(authority), Some(field)) if field.eq_ignore_ascii_case(authority) => Ok(authority),
        (Some(authority), None) if survey.hosts == 0 => Ok(authority),
        (None, Some(field)) => Ok(field),
        _ => Err(Refusal::Host),
    }
}

fn check_scheme(scheme: Option<&str>) -> Result<(), Refusal> {
    let known = |scheme: &str| scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    if scheme.is_some_and(known) { Ok(()) } else { Err(Refusal::Target) }
}

/// Path and query.
fn check_target<'a>(method: &str, target: &'a str) -> Result<(&'a str, Option<&'a str>), Refusal> {
    if target == "*" {
        return if method == "OPTIONS" { Ok((target, None)) } else { Err(Refusal::Target) };
    }
    // A fragment is no part of a target (RFC 9112, section 3.2), and brackets stand in no address.
    let is_odd = |byte: u8| byte <= b' ' || matches!(byte, b'#' | b'<' | b'>' | 0x7f);
    if target.bytes().any(is_odd) {
        return Err(Refusal::Target);
    }
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    // The path of `http://host?query` is empty, and an empty path is sent as one.
    let path = if path.is_empty() { "/" } else { path };
    if !path.starts_with('/') {
        return Err(Refusal::Target);
    }
    // What leads out of the root is an attack on whoever maps paths to files, and so is what is no escape and could
    // become one.
    normalise(path).map_err(|_| Refusal::Target)?;
    Ok((path, query))
}

/// Whether an `Upgrade` field names WebSocket and nothing else.
pub(crate) fn is_websocket(value: &[u8]) -> bool {
    value.trim_ascii().eq_ignore_ascii_case(b"websocket")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::field::{is_protected, kind};

    type Fields = Vec<(&'static str, &'static str)>;

    /// What is made of a request: target and host, or why not.
    fn outcome(
        method: &str,
        target: Target<'_>,
        version: Version,
        fields: &Fields,
    ) -> Result<String, Refusal> {
        let survey = Survey::of(fields.iter().map(|(name, value)| (*name, value.as_bytes())));
        let request = Request::check(method, target, version, &survey)?;
        let query = request.query.map(|query| format!("?{query}")).unwrap_or_default();
        Ok(format!("{}{}{query}", request.authority, request.path))
    }

    fn http1(method: &str, target: &str, fields: &Fields) -> Result<String, Refusal> {
        outcome(method, Target::Line(target), Version::HTTP_11, fields)
    }

    #[test]
    fn ordinary_requests_pass_unchanged() {
        for (method, target) in
            [("GET", "/"), ("POST", "/a?b=c"), ("OPTIONS", "*"), ("BREW", "/pot"), ("GET", "/a?")]
        {
            let expected = format!("a.example{target}");
            assert_eq!(http1(method, target, &vec![("host", "a.example")]), Ok(expected), "{target}");
        }
    }

    #[test]
    fn an_absolute_target_wins_over_the_host_field() {
        for (target, expected) in [
            ("http://b.example/x?y=1", "b.example/x?y=1"),
            ("HTTP://b.example:8080", "b.example:8080/"),
            ("https://b.example?q", "b.example/?q"),
        ] {
            assert_eq!(http1("GET", target, &vec![("host", "a.example")]), Ok(expected.to_owned()));
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
            ("GET", "/a#b", vec![host], Refusal::Target),
            ("GET", "/a<b", vec![host], Refusal::Target),
            ("GET", "http://a.example/../x", vec![host], Refusal::Target),
            ("GET", "http://a.example#x", vec![host], Refusal::Host),
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
            ("POST", "/", vec![host, ("transfer-encoding", "gzip")], Refusal::Framing),
            (
                "POST",
                "/",
                vec![host, ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
                Refusal::Coding,
            ),
            ("POST", "/", vec![host, ("expect", "200-ok")], Refusal::Expectation),
            ("POST", "/", vec![host, ("expect", "200-ok"), ("expect", "100-continue")], Refusal::Expectation),
        ] {
            assert_eq!(http1(method, target, &fields), Err(reason), "{method} {target} {fields:?}");
        }
        for (count, outcome) in [(100, Ok("a.example/".to_owned())), (101, Err(Refusal::Framing))] {
            let names = vec!["x"; count].join(",");
            let fields = [("host", "a.example"), ("connection", &*names)];
            let survey = Survey::of(fields.iter().map(|(name, value)| (*name, value.as_bytes())));
            let checked = Request::check("GET", Target::Line("/"), Version::HTTP_11, &survey);
            let checked = checked.map(|request| format!("{}{}", request.authority, request.path));
            assert_eq!(checked, outcome, "{count} fields for one hop");
        }
        let chunked = vec![host, ("transfer-encoding", "chunked")];
        let old = outcome("POST", Target::Line("/"), Version::HTTP_10, &chunked);
        assert_eq!(old, Err(Refusal::Framing), "HTTP/1.0 knows no chunks");
    }

    #[test]
    fn in_http2_authority_and_host_agree() {
        for (authority, path, fields, expected) in [
            (Some("a.example"), "/x", vec![], Ok("a.example/x")),
            (Some("a.example"), "/x", vec![("host", "A.example")], Ok("a.example/x")),
            (Some("a.example"), "/x", vec![("host", "b.example")], Err(Refusal::Host)),
            (None, "/x", vec![("host", "b.example")], Ok("b.example/x")),
            (None, "/x", vec![], Err(Refusal::Host)),
            (Some("a.example"), "/x", vec![("host", "a.example"), ("host", "a.example")], Err(Refusal::Host)),
            (Some("a.example"), "/../x", vec![], Err(Refusal::Target)),
        ] {
            let target = Target::Pseudo { scheme: Some("https"), authority, path, streams: false };
            let outcome = outcome("GET", target, Version::HTTP_2, &fields);
            assert_eq!(outcome, expected.map(str::to_owned), "{authority:?} {path} {fields:?}");
        }
    }

    #[test]
    fn only_a_complete_websocket_handshake_is_an_upgrade() {
        let host = ("host", "a.example");
        let upgrade = ("upgrade", "WebSocket");
        let connection = ("connection", "keep-alive, Upgrade");
        let body = ("content-length", "3");
        for (method, fields, wanted) in [
            ("GET", vec![host, upgrade, connection], true),
            ("GET", vec![host, upgrade, connection, body], false),
            ("POST", vec![host, upgrade, connection], false),
            ("GET", vec![host, upgrade], false),
            ("GET", vec![host, connection], false),
            ("GET", vec![host, upgrade, upgrade, connection], false),
            ("GET", vec![host, ("upgrade", "h2c"), connection], false),
            ("GET", vec![host, ("upgrade", "websocket, h2c"), connection], false),
        ] {
            let survey = Survey::of(fields.iter().map(|(name, value)| (*name, value.as_bytes())));
            let request = Request::check(method, Target::Line("/"), Version::HTTP_11, &survey).unwrap();
            assert_eq!(request.websocket, wanted, "{method} {fields:?}");
        }
    }

    #[test]
    fn only_idempotent_requests_without_body_are_repeated() {
        let (none, some) = (("content-length", "0"), ("content-length", "3"));
        for (method, length, may) in [
            ("GET", none, true),
            ("HEAD", none, true),
            ("DELETE", none, true),
            ("GET", some, false),
            ("PUT", some, false),
            ("POST", none, false),
            ("PATCH", none, false),
        ] {
            let fields = [("host", "a"), length];
            let survey = Survey::of(fields.iter().map(|(name, value)| (*name, value.as_bytes())));
            let request = Request::check(method, Target::Line("/"), Version::HTTP_11, &survey).unwrap();
            assert_eq!(request.may_repeat(), may, "{method}");
        }
    }

    struct Lines(Vec<String>);

    impl Sink for Lines {
        fn put(&mut self, name: &str, value: &[u8]) {
            self.0.push(format!("{}: {}", name.to_ascii_lowercase(), str::from_utf8(value).unwrap()));
        }
    }

    fn origin(trusted: bool) -> Origin<'static> {
        Origin { address: "192.0.2.9", trusted, scheme: "http", port: "80" }
    }

    fn passed(version: Version, fields: &[(&str, &str)], trusted: bool, websocket: bool) -> Vec<String> {
        let survey = Survey::of(fields.iter().map(|(name, value)| (*name, value.as_bytes())));
        let target = if version == Version::HTTP_2 {
            Target::Pseudo { scheme: Some("https"), authority: Some("a.example"), path: "/", streams: false }
        } else {
            Target::Line("/")
        };
        let request = Request::check("GET", target, version, &survey).unwrap();
        let mut lines = Lines(Vec::new());
        request.pass(&mut lines, &origin(trusted), b"id1", true, websocket);
        lines.0.sort();
        lines.0
    }

    fn request(fields: &[(&str, &str)], trusted: bool, websocket: bool) -> Vec<String> {
        let fields = [&[("Host", "a.example")], fields].concat();
        passed(Version::HTTP_11, &fields, trusted, websocket)
    }

    const OURS: [&str; 5] = [
        "x-forwarded-for: 192.0.2.9",
        "x-forwarded-host: a.example",
        "x-forwarded-port: 80",
        "x-forwarded-proto: http",
        "x-request-id: id1",
    ];

    #[test]
    fn what_is_for_one_hop_or_invented_does_not_pass() {
        let fields = [
            ("Connection", "keep-alive, X-Secret"),
            ("connection", "close, x-forwarded-for, host, content-length"),
            ("keep-alive", "timeout=5"),
            ("Proxy-Connection", "close"),
            ("proxy-authorization", "Basic x"),
            ("te", "gzip"),
            ("Upgrade", "h2c"),
            ("expect", "100-continue"),
            ("x-secret", "1"),
            ("Proxy", "http://evil.example"),
            ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
            ("X-Forwarded-For", "1.2.3.4"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-port", "443"),
            ("x-forwarded-prefix", "/x"),
            ("X_Forwarded_For", "1.2.3.4"),
            ("x-forwarded_for", "1.2.3.4"),
            ("x_real_ip", "1.2.3.4"),
            ("content_length", "3"),
            ("X-Request-Id", "mine"),
        ];
        assert_eq!(request(&fields, false, false), OURS);
    }

    #[test]
    fn ordinary_fields_pass() {
        let lines =
            request(&[("Cookie", "a=b"), ("x_custom", "1"), ("te", "trailers, deflate;q=0.5")], false, false);
        for line in ["cookie: a=b", "x_custom: 1", "te: trailers"] {
            assert!(lines.contains(&line.to_owned()), "{lines:?}");
        }
    }

    #[test]
    fn cookies_that_http2_took_apart_are_put_together() {
        let fields = [("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")];
        let lines = passed(Version::HTTP_2, &fields, false, false);
        assert!(lines.contains(&"cookie: a=1; b=2".to_owned()), "{lines:?}");
        assert_eq!(lines.iter().filter(|line| line.starts_with("cookie")).count(), 1);
    }

    #[test]
    fn a_real_ip_is_corrected_but_not_introduced() {
        let lines = request(&[("x-real-ip", "1.2.3.4")], false, false);
        assert!(lines.contains(&"x-real-ip: 192.0.2.9".to_owned()), "{lines:?}");
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_added_to_the_list() {
        let fields = [
            ("x-forwarded-for", "1.2.3.4"),
            ("X-Forwarded-For", "10.0.0.1"),
            ("x-forwarded-proto", "https"),
            ("x-real-ip", "1.2.3.4"),
        ];
        let expected = [
            "x-forwarded-for: 1.2.3.4, 10.0.0.1, 192.0.2.9",
            "x-forwarded-host: a.example",
            "x-forwarded-port: 80",
            "x-forwarded-proto: https",
            "x-real-ip: 1.2.3.4",
            "x-request-id: id1",
        ];
        assert_eq!(request(&fields, true, false), expected);
    }

    #[test]
    fn an_upgrade_is_made_anew() {
        let lines = request(&[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")], false, true);
        for line in ["connection: upgrade", "upgrade: websocket"] {
            assert!(lines.contains(&line.to_owned()), "{lines:?}");
        }
    }

    #[test]
    fn a_forwarded_field_is_ours_or_of_those_we_trust() {
        let fields = [("forwarded", "for=1.2.3.4;proto=https")];
        let ours = "forwarded: for=192.0.2.9;proto=http;host=\"a.example\"";
        assert!(request(&fields, false, false).contains(&ours.to_owned()));
        let list = "forwarded: for=1.2.3.4;proto=https, for=192.0.2.9;proto=http;host=\"a.example\"";
        assert!(request(&fields, true, false).contains(&list.to_owned()));
    }

    fn name() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("connection".to_owned()),
            Just("X-Forwarded-For".to_owned()),
            Just("X_Forwarded_Proto".to_owned()),
            Just("x-request_id".to_owned()),
            "[a-zA-Z_-]{1,16}",
        ]
    }

    proptest! {
        #[test]
        fn nothing_of_one_hop_and_nothing_invented_survives(
            fields in prop::collection::vec((name(), "[a-zA-Z, -]{0,24}"), 0..12)
        ) {
            let of_another_kind =
                |name: &str| matches!(kind(name), Kind::Host | Kind::Expect | Kind::ContentLength);
            let fields: Vec<_> = fields
                .iter()
                .filter(|(name, _)| !of_another_kind(name))
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            let lines = request(&fields, false, false);
            let names: Vec<_> = lines.iter().filter_map(|line| line.split(':').next()).collect();
            for gone in ["connection", "keep-alive", "upgrade", "proxy-connection", "expect", "host"] {
                prop_assert!(!names.contains(&gone));
            }
            let count = |line: &str| lines.iter().filter(|found| *found == line).count();
            for ours in OURS {
                prop_assert_eq!(count(ours), 1, "{}", ours);
            }
            for name in names {
                let dashed = name.replace('_', "-");
                prop_assert!(!name.contains('_') || !is_protected(&dashed), "{}", name);
            }
        }
    }
}
