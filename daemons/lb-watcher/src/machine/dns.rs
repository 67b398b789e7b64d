//! Service records (RFC 2782), which the C library's resolver has no call for.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use convoy_confd::Service;

const SRV: u16 = 33;
const INTERNET: u16 = 1;
const HEADER: usize = 12;
const TRUNCATED: u8 = 0x02;
/// How long one server may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Names in answers may point back; this many times is more than any real one does.
const MAX_POINTERS: usize = 16;

/// The records of a name from the first server that answers; nothing when none does.
pub(crate) fn services(name: &str) -> Vec<Service> {
    let Some(question) = question(name) else { return Vec::new() };
    let configured = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    servers(&configured).into_iter().find_map(|server| ask(server, &question)).unwrap_or_default()
}

/// The servers that resolv.conf(5) names; without any the one on this machine.
fn servers(configured: &str) -> Vec<SocketAddr> {
    let mut servers: Vec<SocketAddr> = configured
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver")?.trim().parse::<IpAddr>().ok())
        .map(|address| SocketAddr::new(address, 53))
        .collect();
    if servers.is_empty() {
        servers.push(SocketAddr::from(([127, 0, 0, 1], 53)));
    }
    servers
}

/// The message that asks for a name; `None` when it is no name.
fn question(name: &str) -> Option<Vec<u8>> {
    let id = u16::try_from(std::process::id() & 0xffff).unwrap_or(1);
    let mut message = id.to_be_bytes().to_vec();
    // Recursion desired, one question.
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.trim_end_matches('.').split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..64).contains(length))?;
        message.push(length);
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    message.extend(SRV.to_be_bytes());
    message.extend(INTERNET.to_be_bytes());
    (message.len() <= HEADER + 255 + 4).then_some(message)
}

/// The records that a server knows; `None` when it gives no answer.
fn ask(server: SocketAddr, question: &[u8]) -> Option<Vec<Service>> {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).ok()?;
    socket.set_read_timeout(Some(PATIENCE)).ok()?;
    socket.connect(server).ok()?;
    socket.send(question).ok()?;
    let mut buffer = vec![0; 65_535];
    let length = socket.recv(&mut buffer).ok()?;
    buffer.truncate(length);
    if buffer.get(2).is_some_and(|flags| flags & TRUNCATED != 0) {
        buffer = ask_by_stream(server, question)?;
    }
    answers(&buffer, question)
}

fn ask_by_stream(server: SocketAddr, question: &[u8]) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let length = u16::try_from(question.len()).ok()?.to_be_bytes();
    stream.write_all(&[length.as_slice(), question].concat()).ok()?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).ok()?;
    Some(answer)
}

/// The records in an answer to this question; `None` for anything else.
fn answers(message: &[u8], question: &[u8]) -> Option<Vec<Service>> {
    let same_id = message.get(..2)? == question.get(..2)?;
    let is_answer = message.get(2)? & 0x80 != 0;
    let count = number(message, 6)?;
    let mut at = question.len();
    if !same_id || !is_answer || !message.get(HEADER..at)?.eq_ignore_ascii_case(question.get(HEADER..)?) {
        return None;
    }
    let mut services = Vec::new();
    for _ in 0..count {
        let (_, after_name) = name(message, at)?;
        let kind = number(message, after_name)?;
        let length = usize::from(number(message, after_name + 8)?);
        let data = after_name + 10;
        if kind == SRV {
            services.push(Service {
                priority: number(message, data)?,
                weight: number(message, data + 2)?,
                port: number(message, data + 4)?,
                target: name(message, data + 6)?.0,
            });
        }
        at = data + length;
    }
    Some(services)
}

fn number(message: &[u8], at: usize) -> Option<u16> {
    message.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

/// A name, with the final dot, and what comes behind it.
fn name(message: &[u8], start: usize) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut at = start;
    let mut end = None;
    for _ in 0..MAX_POINTERS {
        loop {
            let length = usize::from(*message.get(at)?);
            if length == 0 {
                return Some((if text.is_empty() { ".".to_owned() } else { text }, end.unwrap_or(at + 1)));
            }
            if length & 0xc0 == 0xc0 {
                break;
            }
            let label = message.get(at + 1..at + 1 + length)?;
            text.push_str(&String::from_utf8_lossy(label));
            text.push('.');
            at += 1 + length;
        }
        end.get_or_insert(at + 2);
        at = usize::from(number(message, at)? & 0x3fff);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One record, whose name points back to the question.
    fn answer(question: &[u8], target: &[u8]) -> Vec<u8> {
        let mut message = question.to_vec();
        message[2] = 0x81;
        message[7] = 1;
        message.extend([0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60]);
        message.extend(u16::try_from(6 + target.len()).unwrap().to_be_bytes());
        message.extend([0, 10, 0, 5, 0x1f, 0x90]);
        message.extend(target);
        message
    }

    #[test]
    fn a_record_is_read() {
        let question = question("_http._tcp.example.com").unwrap();
        let read = answers(&answer(&question, b"\x01a\xc0\x17"), &question).unwrap();
        assert_eq!(
            read,
            [Service { target: "a.example.com.".to_owned(), port: 8080, priority: 10, weight: 5 }]
        );
    }

    #[test]
    fn what_is_cut_off_or_runs_in_a_circle_is_no_answer() {
        let question = question("_http._tcp.example.com").unwrap();
        let whole = answer(&question, b"\x01a\xc0\x17");
        for length in 0..whole.len() {
            assert_eq!(answers(&whole[..length], &question), None, "the first {length} bytes");
        }
        let circle = u8::try_from(question.len() + 18).unwrap();
        assert_eq!(answers(&answer(&question, &[0xc0, circle]), &question), None);
    }

    #[test]
    fn names_that_are_none_are_not_asked_for() {
        for name in ["", "a..b", &"x".repeat(64), &"abc.".repeat(80)] {
            assert_eq!(question(name), None, "{name:?}");
        }
    }

    #[test]
    fn servers_come_from_the_configuration() {
        let configured = "search example.com\nnameserver 10.0.0.2\n nameserver ::1 \noptions edns0\n";
        let expected: Vec<SocketAddr> = vec!["10.0.0.2:53".parse().unwrap(), "[::1]:53".parse().unwrap()];
        assert_eq!(servers(configured), expected);
        assert_eq!(servers(""), ["127.0.0.1:53".parse().unwrap()]);
    }
}
