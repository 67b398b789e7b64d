//! One entry, as the journal and as people read it.

use std::time::Duration;

use convoy_proxy::Record;

/// Paths are cut here; with a query they are as long as the client likes.
const PATH_MAX: usize = 2048;
/// LOG_WARNING and LOG_INFO of syslog(3).
const WARNING: &str = "4";
const INFO: &str = "6";

/// Appends the entry in the journal's native protocol: `FIELD=value` lines. No value has a line feed: what comes from
/// a request was parsed as HTTP, which has none, and control characters are replaced all the same.
pub(crate) fn journal(out: &mut Vec<u8>, record: &Record<'_>) {
    let mut number = Number::default();
    out.extend_from_slice(b"MESSAGE=");
    summary(out, record);
    // An error of our own or of a service is worth a look; a client's mistake is not.
    let priority = if record.status >= 500 { WARNING } else { INFO };
    field(out, b"\nPRIORITY=", priority);
    field(out, b"\nSYSLOG_IDENTIFIER=", "edge-router");
    field(out, b"\nREQUEST_ID=", record.request_id);
    out.extend_from_slice(b"\nCLIENT=");
    address(out, record);
    field(out, b"\nMETHOD=", record.method);
    field(out, b"\nHOST=", record.host);
    field(out, b"\nPATH=", cut(record.path));
    field(out, b"\nSTATUS=", number.of(u64::from(record.status)));
    field(out, b"\nROUTE=", record.route);
    field(out, b"\nVIA=", record.via);
    field(out, b"\nUPSTREAM=", record.upstream);
    if let Some(time) = record.upstream_time {
        out.extend_from_slice(b"\nUPSTREAM_MS=");
        millis(out, time);
    }
    out.extend_from_slice(b"\nTOTAL_MS=");
    millis(out, record.total_time);
    field(out, b"\nBYTES=", number.of(record.bytes));
    field(out, b"\nRETRIES=", number.of(u64::from(record.retries)));
    field(out, b"\nVERSION=", record.version);
    field(out, b"\nTLS=", if record.tls { "1" } else { "0" });
    if !record.reason.is_empty() {
        field(out, b"\nREASON=", record.reason);
    }
    if let Some(id) = trace_id(record.trace) {
        field(out, b"\nTRACE_ID=", id);
    }
    out.push(b'\n');
}

/// Appends the entry as a line.
pub(crate) fn line(out: &mut Vec<u8>, record: &Record<'_>) {
    address(out, record);
    out.push(b' ');
    summary(out, record);
    field(out, b" request ", record.request_id);
    out.push(b'\n');
}

/// `GET someapp.example/x 200, 5 bytes in 1.234 ms by 10.0.0.1:80 (lb)`
fn summary(out: &mut Vec<u8>, record: &Record<'_>) {
    let mut number = Number::default();
    text(out, record.method);
    field(out, b" ", record.host);
    text(out, cut(record.path));
    field(out, b" ", number.of(u64::from(record.status)));
    field(out, b", ", number.of(record.bytes));
    out.extend_from_slice(b" bytes in ");
    millis(out, record.total_time);
    out.extend_from_slice(b" ms");
    if record.upstream != "-" {
        field(out, b" by ", record.upstream);
        field(out, b" (", record.via);
        out.push(b')');
    }
    if record.retries > 0 {
        field(out, b", retries ", number.of(u64::from(record.retries)));
    }
    if !record.reason.is_empty() {
        field(out, b", reason ", record.reason);
    }
}

fn field(out: &mut Vec<u8>, before: &[u8], value: &str) {
    out.extend_from_slice(before);
    text(out, value);
}

fn text(out: &mut Vec<u8>, value: &str) {
    let start = out.len();
    out.extend_from_slice(value.as_bytes());
    for byte in out.iter_mut().skip(start) {
        if byte.is_ascii_control() {
            *byte = b'?';
        }
    }
}

/// The second part of `version-trace-parent-flags` (W3C Trace Context, section 3.2).
pub(crate) fn trace_id(trace: &str) -> Option<&str> {
    let id = trace.split('-').nth(1)?;
    (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

pub(super) fn address(out: &mut Vec<u8>, record: &Record<'_>) {
    use std::io::Write;
    // Writing into memory does not fail.
    let _ = write!(out, "{}", record.client);
}

/// Milliseconds with three decimals.
pub(super) fn millis(out: &mut Vec<u8>, time: Duration) {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let mut number = Number::default();
    out.extend_from_slice(number.of(micros / 1000).as_bytes());
    // A thousand too much keeps the leading zeros; the digit itself is left out.
    let decimals = number.of(1000 + micros % 1000).get(1..).unwrap_or("000");
    out.push(b'.');
    out.extend_from_slice(decimals.as_bytes());
}

pub(super) fn cut(path: &str) -> &str {
    let end = (0..=PATH_MAX.min(path.len())).rev().find(|&end| path.is_char_boundary(end));
    path.get(..end.unwrap_or(0)).unwrap_or("")
}

/// Decimal digits without an allocation; the formatting machinery would cost more than the rest of an entry.
#[derive(Default)]
pub(super) struct Number([u8; 20]);

impl Number {
    pub(super) fn of(&mut self, mut number: u64) -> &str {
        let mut length = 0;
        for place in self.0.iter_mut().rev() {
            // The remainder is below ten.
            *place = b'0' + u8::try_from(number % 10).unwrap_or(0);
            length += 1;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        let digits = self.0.get(self.0.len() - length..).unwrap_or_default();
        std::str::from_utf8(digits).unwrap_or("0")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) const RECORD: Record<'_> = Record {
        request_id: "0a0b0c0d000000000001",
        client: std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 9)),
        method: "GET",
        host: "someapp.example",
        path: "/x?y=1",
        status: 200,
        route: "someapp",
        via: "lb",
        upstream: "10.0.0.1:80",
        upstream_time: Some(Duration::from_micros(1_004)),
        total_time: Duration::from_micros(12_345),
        bytes: 5,
        retries: 0,
        reason: "",
        version: "HTTP/1.1",
        tls: false,
        trace: "",
        referer: "",
        agent: "",
    };

    fn written(format: fn(&mut Vec<u8>, &Record<'_>), record: &Record<'_>) -> String {
        let mut out = Vec::new();
        format(&mut out, record);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_journal_gets_fields() {
        assert_eq!(
            written(journal, &RECORD),
            "MESSAGE=GET someapp.example/x?y=1 200, 5 bytes in 12.345 ms by 10.0.0.1:80 (lb)\n\
             PRIORITY=6\nSYSLOG_IDENTIFIER=edge-router\nREQUEST_ID=0a0b0c0d000000000001\nCLIENT=192.0.2.9\n\
             METHOD=GET\nHOST=someapp.example\nPATH=/x?y=1\nSTATUS=200\nROUTE=someapp\nVIA=lb\n\
             UPSTREAM=10.0.0.1:80\nUPSTREAM_MS=1.004\nTOTAL_MS=12.345\nBYTES=5\nRETRIES=0\nVERSION=HTTP/1.1\nTLS=0\n"
        );
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let traced = written(journal, &Record { trace, ..RECORD });
        assert!(traced.contains("\nTRACE_ID=4bf92f3577b34da6a3ce929d0e0e4736\n"), "{traced}");
        assert_eq!(trace_id("nonsense"), None);
    }

    #[test]
    fn people_get_a_line() {
        let record = Record {
            status: 502,
            via: "-",
            upstream: "-",
            upstream_time: None,
            retries: 2,
            reason: "connect",
            ..RECORD
        };
        assert_eq!(
            written(line, &record),
            "192.0.2.9 GET someapp.example/x?y=1 502, 5 bytes in 12.345 ms, retries 2, reason connect \
             request 0a0b0c0d000000000001\n"
        );
        assert!(written(journal, &record).contains("\nPRIORITY=4\n"));
    }

    proptest! {
        #[test]
        fn no_value_makes_a_field_of_its_own(host in "\\PC{0,10}\n?[A-Z=]{0,8}", path in "/[\\x00-\\x7f]{0,4000}") {
            let record = Record { host: &host, path: &path, ..RECORD };
            let text = written(journal, &record);
            prop_assert_eq!(text.lines().count(), written(journal, &RECORD).lines().count());
            prop_assert!(text.len() < 3 * PATH_MAX);
            prop_assert_eq!(written(line, &record).lines().count(), 1);
        }

        #[test]
        fn numbers_are_printed_as_numbers(number: u64) {
            let mut digits = Number::default();
            prop_assert_eq!(digits.of(number), number.to_string());
        }
    }
}
