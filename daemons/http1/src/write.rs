//! Heads and delimiters, as they are written.

use crate::message::Field;

/// How a body that is passed on is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delimit {
    /// By what its head says, or by the end of the connection: it is passed on as it is.
    Plain,
    /// By chunks.
    Chunks,
}

/// The first line of a request.
pub fn write_request_line(out: &mut Vec<u8>, method: &str, target: &[&str]) {
    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    for part in target {
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// The first line of an answer. `status` has three digits.
pub fn write_status_line(out: &mut Vec<u8>, status: u16, reason: &str) {
    if (status, reason) == (200, "OK") {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    write_decimal(out, status.into());
    out.push(b' ');
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// A field. Name and value have been checked.
pub fn write_field(out: &mut Vec<u8>, (name, value): Field<'_>) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// A number in decimal digits.
pub fn write_decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    for (place, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        first = place;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(first..).unwrap_or_default());
}

/// The line before a chunk of so many bytes. 0 begins the end of the body.
pub fn write_chunk_size(out: &mut Vec<u8>, size: usize) {
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        let digit = u32::try_from(size >> (4 * place) & 0xf).unwrap_or_default();
        out.push(char::from_digit(digit, 16).map_or(b'0', |digit| digit as u8));
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Answer, Request, Space};

    #[test]
    fn what_is_written_is_read_again() {
        let mut out = Vec::new();
        write_request_line(&mut out, "GET", &["/a", "?", "b"]);
        write_field(&mut out, ("host", b"x"));
        out.extend_from_slice(b"\r\n");
        assert_eq!(out, b"GET /a?b HTTP/1.1\r\nhost: x\r\n\r\n");
        assert_eq!(Request::parse(&out, &mut Space::default()).unwrap().target, "/a?b");
        for (status, reason) in [(200, "OK"), (200, ""), (404, "Not Found")] {
            let mut out = Vec::new();
            write_status_line(&mut out, status, reason);
            out.extend_from_slice(b"\r\n");
            let mut space = Space::default();
            let answer = Answer::parse(&out, &mut space).unwrap();
            assert_eq!((answer.status, answer.reason), (status, reason));
        }
    }

    proptest! {
        #[test]
        fn numbers_are_written_as_they_are(number: u64, small in 0u64..300) {
            for number in [number, small, 0, u64::MAX] {
                let (mut decimal, mut hexadecimal) = (Vec::new(), Vec::new());
                write_decimal(&mut decimal, number);
                write_chunk_size(&mut hexadecimal, usize::try_from(number).unwrap());
                prop_assert_eq!(decimal, number.to_string().into_bytes());
                prop_assert_eq!(hexadecimal, format!("{number:x}\r\n").into_bytes());
            }
        }
    }
}
