//! Fields, and what becomes of them.

use http::{HeaderMap, HeaderName, HeaderValue};

/// A field's fate in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes on.
    Pass,
    /// For this hop only, or nothing that a client may say.
    Drop,
    /// Names others that are for this hop.
    Connection,
    /// Only `trailers` of it goes on.
    Trailers,
    /// How the body is delimited; made anew.
    Framing,
    /// Believed when a trusted proxy says it.
    Forwarding,
}

pub(crate) fn fate(name: &str) -> Fate {
    match name {
        "connection" => Fate::Connection,
        "te" => Fate::Trailers,
        "transfer-encoding" => Fate::Framing,
        "keep-alive" | "proxy-connection" | "proxy-authorization" | "proxy-authenticate" | "upgrade"
        // A target that speaks HTTP/2 would switch over, and everything after that would be beyond us.
        | "http2-settings"
        // We answer 100-continue ourselves; `Proxy` becomes HTTP_PROXY in CGI programs (CVE-2016-5385).
        | "expect" | "proxy" => Fate::Drop,
        "x-real-ip" | "forwarded" => Fate::Forwarding,
        _ if name.starts_with("x-forwarded-") => Fate::Forwarding,
        // CGI and WSGI programs can't tell `X_Forwarded_For` from `X-Forwarded-For`.
        _ if name.contains('_') && is_protected(&name.replace('_', "-")) => Fate::Drop,
        _ => Fate::Pass,
    }
}

/// Fields that no client can remove or set by other means: what the message is, and what we say of the client.
pub(crate) fn is_protected(name: &str) -> bool {
    name.starts_with("x-forwarded-")
        || matches!(
            name,
            "host" | "content-length" | "transfer-encoding" | "forwarded" | "x-real-ip" | "x-request-id"
        )
}

/// The fields that a `Connection` field declares to be for this hop (RFC 9110, section 7.6.1). Those that decide what
/// the message is or who sent it can't be taken out that way.
pub(crate) fn nominated(value: &HeaderValue, drop: &mut Vec<HeaderName>) {
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

/// Whether a list of tokens has this one.
pub fn has_token(value: &HeaderValue, token: &str) -> bool {
    let is_it = |part: &[u8]| {
        let name = part.split(|&byte| byte == b';').next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(token.as_bytes())
    };
    value.as_bytes().split(|&byte| byte == b',').any(is_it)
}

/// Takes out of trailers what would change the message after the fact (RFC 9110, section 6.5.1): a program that merges
/// them into the fields would believe them.
pub fn clean_trailers(trailers: &mut HeaderMap) {
    let forbidden = |name: &str| {
        fate(name) != Fate::Pass
            || is_protected(name)
            || matches!(
                name,
                "authorization"
                    | "cookie"
                    | "set-cookie"
                    | "content-type"
                    | "content-encoding"
                    | "content-range"
                    | "trailer"
            )
    };
    let gone: Vec<_> = trailers.keys().filter(|name| forbidden(name.as_str())).cloned().collect();
    for name in gone {
        trailers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_in_lists() {
        for (value, token, found) in [
            ("close", "close", true),
            ("keep-alive, Upgrade", "upgrade", true),
            ("trailers;q=0.5", "trailers", true),
            ("xupgrade", "upgrade", false),
            ("", "upgrade", false),
        ] {
            assert_eq!(has_token(&HeaderValue::from_static(value), token), found, "{value}");
        }
    }

    #[test]
    fn trailers_change_nothing_after_the_fact() {
        let mut trailers = HeaderMap::new();
        for name in [
            "grpc-status",
            "x-checksum",
            "x-forwarded-for",
            "transfer-encoding",
            "host",
            "cookie",
            "x_real_ip",
        ] {
            trailers.insert(name, HeaderValue::from_static("0"));
        }
        clean_trailers(&mut trailers);
        let mut left: Vec<_> = trailers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["grpc-status", "x-checksum"]);
    }
}
