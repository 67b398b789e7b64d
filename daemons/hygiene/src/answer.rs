//! Which answers are passed on, and what of them.

use http::Version;

use crate::field::{Connection, Field, Sink, check_coding, length};
use crate::refusal::Refusal;
use crate::request::is_websocket;

/// What was asked for, as far as it decides what an answer means.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked {
    /// The head alone.
    pub head: bool,
    /// A WebSocket.
    pub websocket: bool,
}

/// How the body of an answer is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerLength {
    /// There is none, whatever the fields say.
    None,
    /// So many bytes.
    Exactly(u64),
    /// By chunks.
    Chunked,
    /// By the end of the connection, or in HTTP/2 by its frames.
    ToTheEnd,
}

/// An answer that may be passed on.
#[derive(Debug)]
pub struct Answer<'a, F> {
    /// The body.
    pub length: AnswerLength,
    /// What `Content-Length` says to the client, which may be so also where there is no body (HEAD, 304).
    pub content_length: Option<u64>,
    /// Whether the connection can be used again when the answer is over.
    pub keeps: bool,
    /// Whether it has a `Date`.
    pub has_date: bool,
    websocket: bool,
    connection: Connection<'a>,
    fields: F,
}

impl<'a, F: Iterator<Item = Field<'a>> + Clone> Answer<'a, F> {
    /// Refuses an answer that the client could read otherwise than we did.
    ///
    /// A 101 that nobody asked for would make client and target disagree on what follows. A coding that we can't take
    /// off, or a length that contradicts another one, means that nobody knows where the answer ends. A length beside a
    /// coding is void (RFC 9112, section 6.3).
    pub fn check(status: u16, version: Version, fields: F, asked: Asked) -> Result<Self, Refusal> {
        let mut connection = Connection::default();
        let (mut content_length, mut coding, mut codings) = (None, None, 0);
        let (mut to_websocket, mut has_date) = (false, false);
        for (name, value) in fields.clone() {
            match kind(name) {
                Kind::Other | Kind::Hop => {}
                Kind::Connection => connection.read(value),
                Kind::ContentLength => {
                    for part in value.split(|&byte| byte == b',') {
                        let number = length(part.trim_ascii()).ok_or(Refusal::Framing)?;
                        if content_length.is_some_and(|length| length != number) {
                            return Err(Refusal::Framing);
                        }
                        content_length = Some(number);
                    }
                }
                Kind::TransferEncoding => {
                    codings += 1;
                    coding = Some(value);
                }
                Kind::Upgrade => to_websocket = is_websocket(value),
                Kind::Date => has_date = true,
            }
        }
        if connection.is_excessive() {
            return Err(Refusal::Framing);
        }
        let keeps = !connection.close
            && (version != Version::HTTP_10 || connection.keep_alive)
            && !(coding.is_some() && content_length.is_some());
        let switches = status == 101;
        if switches && !(asked.websocket && to_websocket) {
            return Err(Refusal::Switch);
        }
        if let Some(coding) = coding.filter(|_| !switches) {
            if version != Version::HTTP_11 {
                return Err(Refusal::Framing);
            }
            // That of an answer is no worse for being no delimiter at all.
            check_coding(coding, codings).map_err(|_| Refusal::Coding)?;
        }
        let bodiless = asked.head || matches!(status, 100..200 | 204 | 304);
        // Where no content can be, no length is said.
        if coding.is_some() || matches!(status, 100..200 | 204) {
            content_length = None;
        }
        let length = match content_length {
            _ if bodiless => AnswerLength::None,
            _ if coding.is_some() => AnswerLength::Chunked,
            Some(length) => AnswerLength::Exactly(length),
            None => AnswerLength::ToTheEnd,
        };
        Ok(Self { length, content_length, keeps, has_date, websocket: switches, connection, fields })
    }

    /// Gives the fields that go on; not what delimits the body.
    pub fn pass(&self, sink: &mut impl Sink) {
        for (name, value) in self.fields.clone() {
            if matches!(kind(name), Kind::Other | Kind::Date) && !self.connection.nominates(name) {
                sink.put(name, value);
            }
        }
        if self.websocket {
            sink.put("connection", b"upgrade");
            sink.put("upgrade", b"websocket");
        }
    }
}

/// What a field of an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Other,
    Hop,
    Connection,
    Upgrade,
    ContentLength,
    TransferEncoding,
    Date,
}

fn kind(name: &str) -> Kind {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    match name.len() {
        2 if is("te") => Kind::Hop,
        4 if is("date") => Kind::Date,
        7 if is("upgrade") => Kind::Upgrade,
        10 if is("connection") => Kind::Connection,
        10 if is("keep-alive") => Kind::Hop,
        14 if is("content-length") => Kind::ContentLength,
        16 if is("proxy-connection") => Kind::Hop,
        17 if is("transfer-encoding") => Kind::TransferEncoding,
        18 if is("proxy-authenticate") => Kind::Hop,
        19 if is("proxy-authorization") => Kind::Hop,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Lines(Vec<String>);

    impl Sink for Lines {
        fn put(&mut self, name: &str, value: &[u8]) {
            self.0.push(format!("{name}: {}", str::from_utf8(value).unwrap()));
        }
    }

    type Fields = Vec<(&'static str, &'static str)>;

    fn check(
        status: u16,
        fields: &Fields,
        asked: Asked,
    ) -> Result<Answer<'_, impl Iterator<Item = Field<'_>> + Clone>, Refusal> {
        let fields = fields.iter().map(|(name, value)| (*name, value.as_bytes()));
        Answer::check(status, Version::HTTP_11, fields, asked)
    }

    #[test]
    fn answers_have_one_end() {
        use AnswerLength::{Chunked, Exactly, None as Nothing, ToTheEnd};
        let asked = |websocket| Asked { websocket, head: false };
        for (status, fields, websocket, outcome) in [
            (200, vec![], false, Ok(ToTheEnd)),
            (200, vec![("content-length", "5")], false, Ok(Exactly(5))),
            (200, vec![("Content-Length", "5"), ("content-length", "5")], false, Ok(Exactly(5))),
            (200, vec![("content-length", "5, 5")], false, Ok(Exactly(5))),
            (200, vec![("content-length", "5, 6")], false, Err(Refusal::Framing)),
            (200, vec![("content-length", "-5")], false, Err(Refusal::Framing)),
            (200, vec![("content-length", "")], false, Err(Refusal::Framing)),
            (200, vec![("transfer-encoding", "Chunked")], false, Ok(Chunked)),
            (200, vec![("content-length", "5"), ("transfer-encoding", "chunked")], false, Ok(Chunked)),
            (200, vec![("transfer-encoding", "gzip, chunked")], false, Err(Refusal::Coding)),
            (200, vec![("transfer-encoding", "gzip")], false, Err(Refusal::Coding)),
            (
                200,
                vec![("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
                false,
                Err(Refusal::Coding),
            ),
            (204, vec![("content-length", "5")], false, Ok(Nothing)),
            (304, vec![("content-length", "5")], false, Ok(Nothing)),
            (103, vec![("link", "</a>")], false, Ok(Nothing)),
            (101, vec![("upgrade", "websocket")], true, Ok(Nothing)),
            (101, vec![("upgrade", "websocket")], false, Err(Refusal::Switch)),
            (101, vec![("upgrade", "h2c")], true, Err(Refusal::Switch)),
            (101, vec![], true, Err(Refusal::Switch)),
        ] {
            let checked = check(status, &fields, asked(websocket)).map(|answer| answer.length);
            assert_eq!(checked, outcome, "{status} {fields:?}");
        }
        let chunked: Fields = vec![("transfer-encoding", "chunked")];
        let head = check(200, &chunked, Asked { head: true, websocket: false }).unwrap();
        assert_eq!(head.length, Nothing);
    }

    #[test]
    fn a_connection_is_kept_when_both_ends_know_where_the_answer_ends() {
        for (version, fields, keeps) in [
            (Version::HTTP_11, vec![], true),
            (Version::HTTP_11, vec![("connection", "Close")], false),
            (Version::HTTP_10, vec![], false),
            (Version::HTTP_10, vec![("connection", "keep-alive")], true),
            (Version::HTTP_11, vec![("content-length", "5"), ("transfer-encoding", "chunked")], false),
        ] {
            let fields: Fields = fields;
            let answer = Answer::check(
                200,
                version,
                fields.iter().map(|(name, value)| (*name, value.as_bytes())),
                Asked::default(),
            );
            assert_eq!(answer.unwrap().keeps, keeps, "{version:?} {fields:?}");
        }
    }

    #[test]
    fn what_is_for_one_hop_does_not_pass() {
        for (status, fields, expected, length) in [
            (
                200,
                vec![("Connection", "close, X-Hop"), ("x-hop", "1"), ("keep-alive", "5"), ("etag", "1")],
                vec!["etag: 1"],
                None,
            ),
            (200, vec![("content-length", "5"), ("transfer-encoding", "chunked")], vec![], None),
            (200, vec![("content-length", "5"), ("content-length", "5")], vec![], Some(5)),
            (204, vec![("content-length", "0")], vec![], None),
            (304, vec![("content-length", "5")], vec![], Some(5)),
            (426, vec![("upgrade", "h2c"), ("connection", "upgrade")], vec![], None),
        ] {
            let answer = check(status, &fields, Asked::default()).unwrap();
            let mut lines = Lines(Vec::new());
            answer.pass(&mut lines);
            assert_eq!(
                (lines.0, answer.content_length),
                (expected.iter().map(|&line| line.to_owned()).collect(), length)
            );
        }
        let asked = Asked { websocket: true, head: false };
        let fields: Fields = vec![("Upgrade", "WebSocket"), ("connection", "Upgrade"), ("x", "y")];
        let mut lines = Lines(Vec::new());
        check(101, &fields, asked).unwrap().pass(&mut lines);
        assert_eq!(lines.0, ["x: y", "connection: upgrade", "upgrade: websocket"]);
    }
}
