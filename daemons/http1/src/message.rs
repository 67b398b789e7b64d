//! What a head says.

use std::fmt;
use std::mem::MaybeUninit;

use http::Version;

use crate::head::{FIELDS_MAX, HeadError};

fn version(minor: Option<u8>) -> Result<Version, HeadError> {
    match minor {
        Some(0) => Ok(Version::HTTP_10),
        Some(1) => Ok(Version::HTTP_11),
        _ => Err(HeadError::Malformed),
    }
}

/// Name and value, as they were sent but for the white space around the value.
pub type Field<'a> = (&'a str, &'a [u8]);

/// Room for the fields of a head; not filled before it is needed.
pub struct Space<'a>([MaybeUninit<httparse::Header<'a>>; FIELDS_MAX]);

impl Default for Space<'_> {
    fn default() -> Self {
        Self([const { MaybeUninit::uninit() }; FIELDS_MAX])
    }
}

impl fmt::Debug for Space<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Space").finish_non_exhaustive()
    }
}

/// The head of a request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a, 's> {
    /// The method, a token.
    pub method: &'a str,
    /// The target, without white space and control characters.
    pub target: &'a str,
    /// 1.0 or 1.1.
    pub version: Version,
    headers: &'s [httparse::Header<'a>],
}

impl<'a, 's> Request<'a, 's> {
    /// Reads a head that is complete (see [`crate::HeadEnd`]).
    pub fn parse(head: &'a [u8], space: &'s mut Space<'a>) -> Result<Self, HeadError> {
        let mut request = httparse::Request::new(&mut []);
        let parsed = request.parse_with_uninit_headers(head, &mut space.0);
        complete(parsed, head)?;
        let (Some(method), Some(target)) = (request.method, request.path) else {
            return Err(HeadError::Malformed);
        };
        Ok(Self { method, target, version: version(request.version)?, headers: request.headers })
    }

    /// The fields, in their order.
    pub fn fields(&self) -> impl Iterator<Item = Field<'a>> + Clone + use<'a, 's> {
        self.headers.iter().map(|header| (header.name, header.value))
    }
}

/// The head of an answer.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a, 's> {
    /// From 100 to 999.
    pub status: u16,
    /// What stands behind the status; empty also where it is no ASCII.
    pub reason: &'a str,
    /// 1.0 or 1.1.
    pub version: Version,
    headers: &'s [httparse::Header<'a>],
}

impl<'a, 's> Answer<'a, 's> {
    /// Reads a head that is complete (see [`crate::HeadEnd`]).
    pub fn parse(head: &'a [u8], space: &'s mut Space<'a>) -> Result<Self, HeadError> {
        let mut answer = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut answer,
            head,
            &mut space.0,
        );
        complete(parsed, head)?;
        let status = answer.code.filter(|code| (100..1000).contains(code)).ok_or(HeadError::Malformed)?;
        Ok(Self {
            status,
            reason: answer.reason.unwrap_or_default(),
            version: version(answer.version)?,
            headers: answer.headers,
        })
    }

    /// The fields, in their order.
    pub fn fields(&self) -> impl Iterator<Item = Field<'a>> + Clone + use<'a, 's> {
        self.headers.iter().map(|header| (header.name, header.value))
    }
}

/// The whole head was read, and nothing else.
fn complete(parsed: httparse::Result<usize>, head: &[u8]) -> Result<(), HeadError> {
    match parsed {
        Ok(httparse::Status::Complete(length)) if length == head.len() => Ok(()),
        Err(httparse::Error::TooManyHeaders) => Err(HeadError::TooLarge),
        _ => Err(HeadError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read() {
        let mut space = Space::default();
        let head = b"GET /a?b HTTP/1.1\r\nHost: x \r\nX-Y:z\r\n\r\n";
        let request = Request::parse(head, &mut space).unwrap();
        assert_eq!((request.method, request.target, request.version), ("GET", "/a?b", Version::HTTP_11));
        let fields: Vec<_> = request.fields().collect();
        assert_eq!(fields, [("Host", &b"x"[..]), ("X-Y", b"z")]);
    }

    #[test]
    fn an_answer_is_read() {
        let mut space = Space::default();
        let answer = Answer::parse(b"HTTP/1.0 404 Not Found\r\nA: b\r\n\r\n", &mut space).unwrap();
        assert_eq!((answer.status, answer.reason, answer.version), (404, "Not Found", Version::HTTP_10));
        assert_eq!(answer.fields().count(), 1);
    }

    #[test]
    fn what_is_not_to_the_letter_is_no_head() {
        for head in [
            "GET  / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.2\r\n\r\n",
            "GET / HTTP/1.1 \r\n\r\n",
            "GET /\r\n\r\n",
            "GE:T / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nA : b\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
            "GET / HTTP/1.1\r\n A: b\r\n\r\n",
            "GET / HTTP/1.1\r\nA\r\n\r\n",
            "GET / HTTP/1.1\r\nA: \0\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
            "\r\n",
        ] {
            let mut space = Space::default();
            assert!(Request::parse(head.as_bytes(), &mut space).is_err(), "{head:?}");
        }
        for head in ["HTTP/1.1 99 Low\r\n\r\n", "HTTP/1.1 000 Zero\r\n\r\n", "HTTP/2 200\r\n\r\n"] {
            let mut space = Space::default();
            assert!(Answer::parse(head.as_bytes(), &mut space).is_err(), "{head:?}");
        }
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(FIELDS_MAX + 1));
        let mut space = Space::default();
        assert!(matches!(Request::parse(many.as_bytes(), &mut space), Err(HeadError::TooLarge)));
    }
}
