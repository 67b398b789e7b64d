//! Reading messages to the letter: whatever could be read in two ways is an error.

/// A message, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// The first line.
    pub(crate) line: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// There have to be more bytes.
    Incomplete,
    /// Not to the letter.
    Wrong(String),
}

fn wrong<T>(what: impl Into<String>) -> Result<T, Reading> {
    Err(Reading::Wrong(what.into()))
}

/// How long a body is that has no field that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Otherwise {
    Nothing,
    /// An answer is over with its connection.
    ToTheEnd {
        ended: bool,
    },
}

impl Message {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The first message of the bytes, and how many it has.
    pub(crate) fn read(bytes: &[u8], otherwise: Otherwise) -> Result<(Self, usize), Reading> {
        let Some(end) = find(bytes, b"\r\n\r\n") else {
            if bytes.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r') {
                return wrong("a line feed without its carriage return");
            }
            return Err(Reading::Incomplete);
        };
        let head = &bytes[..end];
        let text: String = head.iter().map(|&byte| char::from(byte)).collect();
        let mut lines = text.split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        if line.is_empty() || line.chars().any(|c| c.is_ascii_control()) {
            return wrong(format!("the first line {line:?}"));
        }
        let mut fields = Vec::new();
        for line in lines {
            let Some((name, value)) = line.split_once(':') else {
                return wrong(format!("the line {line:?}"));
            };
            let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
            if name.is_empty() || !name.chars().all(is_token) {
                return wrong(format!("the name {name:?}"));
            }
            if value.chars().any(|c| c.is_ascii_control() && c != '\t') {
                return wrong(format!("the value {value:?} of {name}"));
            }
            fields.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
        }
        let message = Self { line, fields, body: Vec::new() };
        message.with_body(bytes, end + 4, otherwise)
    }

    fn with_body(
        mut self,
        bytes: &[u8],
        start: usize,
        otherwise: Otherwise,
    ) -> Result<(Self, usize), Reading> {
        let all = |name: &str| self.fields.iter().filter(|(found, _)| found == name).count();
        if all("content-length") + all("transfer-encoding") > 1 {
            return wrong("more than one word on the length");
        }
        if let Some(coding) = self.field("transfer-encoding") {
            if !coding.eq_ignore_ascii_case("chunked") {
                return wrong(format!("the coding {coding:?}"));
            }
            let (body, end) = chunked(bytes, start)?;
            self.body = body;
            return Ok((self, end));
        }
        if let Some(length) = self.field("content-length") {
            if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
                return wrong(format!("the length {length:?}"));
            }
            let end = start + length.parse::<usize>().map_err(|error| Reading::Wrong(error.to_string()))?;
            let Some(body) = bytes.get(start..end) else { return Err(Reading::Incomplete) };
            self.body = body.to_vec();
            return Ok((self, end));
        }
        match otherwise {
            Otherwise::Nothing => Ok((self, start)),
            Otherwise::ToTheEnd { ended: true } => {
                self.body = bytes[start..].to_vec();
                Ok((self, bytes.len()))
            }
            Otherwise::ToTheEnd { ended: false } => Err(Reading::Incomplete),
        }
    }
}

fn chunked(bytes: &[u8], start: usize) -> Result<(Vec<u8>, usize), Reading> {
    let mut body = Vec::new();
    let mut at = start;
    loop {
        let Some(end) = find(&bytes[at..], b"\r\n") else { return Err(Reading::Incomplete) };
        let line = String::from_utf8_lossy(&bytes[at..at + end]).into_owned();
        if line.is_empty() || !line.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return wrong(format!("the chunk size {line:?}"));
        }
        let size = usize::from_str_radix(&line, 16).map_err(|error| Reading::Wrong(error.to_string()))?;
        at += end + 2;
        if size == 0 {
            // Trailers, then an empty line.
            loop {
                let Some(end) = find(&bytes[at..], b"\r\n") else { return Err(Reading::Incomplete) };
                at += end + 2;
                if end == 0 {
                    return Ok((body, at));
                }
            }
        }
        let Some(chunk) = bytes.get(at..at + size + 2) else { return Err(Reading::Incomplete) };
        if !chunk.ends_with(b"\r\n") {
            return wrong("a chunk that is longer than it says");
        }
        body.extend_from_slice(&chunk[..size]);
        at += size + 2;
    }
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

#[test]
fn a_message_is_read_to_the_letter() {
    let read = |text: &str| Message::read(text.as_bytes(), Otherwise::Nothing);
    let (message, length) = read("POST /a HTTP/1.1\r\nHost: b\r\nContent-Length: 2\r\n\r\nxyz").unwrap();
    assert_eq!((message.field("host"), &message.body[..], length), (Some("b"), &b"xy"[..], 50));
    let (message, _) =
        read("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n").unwrap();
    assert_eq!(message.body, b"abc");
    for text in [
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: +0\r\n\r\n",
        "GET / HTTP/1.1\r\nTransfer-Encoding: x\r\n\r\n",
        "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n;\r\n\r\n",
    ] {
        assert!(matches!(read(text), Err(Reading::Wrong(_))), "{text:?}");
    }
    assert_eq!(read("GET / HTTP/1.1\r\n"), Err(Reading::Incomplete));
}
