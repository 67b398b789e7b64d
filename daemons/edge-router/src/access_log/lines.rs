//! Entries for programs: nginx's combined format, and JSON.

use convoy_proxy::Record;

use super::entry::{Number, address, cut, millis, trace_id};

/// `address - - [time] "request" status bytes "referer" "agent"`, as nginx and Apache have it.
pub(crate) fn combined(out: &mut Vec<u8>, record: &Record<'_>, time: &str) {
    let mut number = Number::default();
    address(out, record);
    out.extend_from_slice(b" - - [");
    out.extend_from_slice(time.as_bytes());
    out.extend_from_slice(b"] \"");
    quoted(out, record.method);
    out.push(b' ');
    quoted(out, cut(record.path));
    out.push(b' ');
    out.extend_from_slice(record.version.as_bytes());
    out.extend_from_slice(b"\" ");
    out.extend_from_slice(number.of(u64::from(record.status)).as_bytes());
    out.push(b' ');
    out.extend_from_slice(number.of(record.bytes).as_bytes());
    for text in [record.referer, record.agent] {
        out.extend_from_slice(b" \"");
        quoted(out, if text.is_empty() { "-" } else { cut(text) });
        out.push(b'"');
    }
    out.push(b'\n');
}

/// What can't stand between quotes is escaped as nginx does it: `\xXX`.
fn quoted(out: &mut Vec<u8>, text: &str) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte == b'"' || byte == b'\\' || byte.is_ascii_control() || !byte.is_ascii() {
            let digit = |half: u8| DIGITS.get(usize::from(half)).copied().unwrap_or(b'0');
            out.extend_from_slice(&[b'\\', b'x', digit(byte >> 4), digit(byte & 0xf)]);
        } else {
            out.push(byte);
        }
    }
}

/// An object per line.
pub(crate) fn json(out: &mut Vec<u8>, record: &Record<'_>, time: &str) {
    let mut digits = Number::default();
    out.extend_from_slice(b"{\"time\":\"");
    out.extend_from_slice(time.as_bytes());
    out.extend_from_slice(b"\",\"client\":\"");
    address(out, record);
    out.push(b'"');
    for (name, value) in [
        ("request_id", record.request_id),
        ("method", record.method),
        ("host", record.host),
        ("path", cut(record.path)),
        ("version", record.version),
        ("route", record.route),
        ("via", record.via),
        ("upstream", record.upstream),
        ("reason", record.reason),
        ("referer", cut(record.referer)),
        ("agent", cut(record.agent)),
        ("trace_id", trace_id(record.trace).unwrap_or("")),
    ] {
        if !value.is_empty() {
            key(out, name);
            string(out, value);
        }
    }
    for (name, value) in [
        ("status", u64::from(record.status)),
        ("bytes", record.bytes),
        ("retries", u64::from(record.retries)),
        ("tls", u64::from(record.tls)),
    ] {
        key(out, name);
        out.extend_from_slice(digits.of(value).as_bytes());
    }
    for (name, time) in [("upstream_ms", record.upstream_time), ("total_ms", Some(record.total_time))] {
        if let Some(time) = time {
            key(out, name);
            millis(out, time);
        }
    }
    out.extend_from_slice(b"}\n");
}

fn key(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            byte if byte.is_ascii_control() => out.push(b'?'),
            byte => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::entry::tests::RECORD;
    use super::*;

    fn written(format: fn(&mut Vec<u8>, &Record<'_>, &str), record: &Record<'_>) -> String {
        let mut out = Vec::new();
        format(&mut out, record, "now");
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_combined_format_is_nginx_s() {
        let record = Record { agent: "curl \"x\"", path: "/a\u{e4}", ..RECORD };
        assert_eq!(
            written(combined, &record),
            "192.0.2.9 - - [now] \"GET /a\\xC3\\xA4 HTTP/1.1\" 200 5 \"-\" \"curl \\x22x\\x22\"\n"
        );
    }

    proptest! {
        #[test]
        fn a_line_of_json_is_an_object_whatever_is_in_it(path in "/\\PC{0,40}|/[\\x00-\\x7f]{0,40}", agent in "\\PC{0,20}") {
            let text = written(json, &Record { path: &path, agent: &agent, ..RECORD });
            prop_assert_eq!(text.lines().count(), 1);
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&value["status"], &serde_json::json!(200));
            prop_assert_eq!(&value["total_ms"], &serde_json::json!(12.345));
            prop_assert_eq!(written(combined, &Record { path: &path, agent: &agent, ..RECORD }).matches('"').count(), 6);
        }
    }
}
