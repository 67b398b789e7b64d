//! One look at all fields of a request: what each of them is, and what they say together.

use http::Version;

use crate::field::{Connection, Field, Kind, check_coding, has_token, kind, length};
use crate::forwarded::Claims;
use crate::refusal::Refusal;
use crate::request::Length;

/// The fields of a request, seen through once.
#[derive(Debug)]
pub struct Survey<'a, F> {
    fields: F,
    kinds: Vec<Kind>,
    pub(crate) hosts: usize,
    pub(crate) lengths: usize,
    pub(crate) codings: usize,
    pub(crate) upgrades: usize,
    pub(crate) cookies: usize,
    /// Values; of the last one where there are several.
    pub(crate) host: Option<&'a [u8]>,
    pub(crate) length: Option<&'a [u8]>,
    pub(crate) coding: Option<&'a [u8]>,
    pub(crate) upgrade: Option<&'a [u8]>,
    pub(crate) expect: Option<&'a [u8]>,
    pub(crate) connection: Connection<'a>,
    pub(crate) claims: Claims,
    /// Whether the client wants to see what comes behind a body.
    pub takes_trailers: bool,
    /// `X-Request-Id`.
    pub request_id: Option<&'a [u8]>,
    /// `Accept`.
    pub accept: Option<&'a [u8]>,
    /// `Content-Type`.
    pub content_type: Option<&'a [u8]>,
    /// `traceparent`.
    pub trace: Option<&'a [u8]>,
    /// `Referer`.
    pub referer: Option<&'a [u8]>,
    /// `User-Agent`.
    pub agent: Option<&'a [u8]>,
}

impl<'a, F: Iterator<Item = Field<'a>> + Clone> Survey<'a, F> {
    /// Looks at each of them. The fields can be gone through again at any time.
    pub fn of(fields: F) -> Self {
        let mut survey = Self {
            kinds: Vec::with_capacity(fields.size_hint().0),
            fields: fields.clone(),
            hosts: 0,
            lengths: 0,
            codings: 0,
            upgrades: 0,
            cookies: 0,
            host: None,
            length: None,
            coding: None,
            upgrade: None,
            expect: None,
            connection: Connection::default(),
            claims: Claims::default(),
            takes_trailers: false,
            request_id: None,
            accept: None,
            content_type: None,
            trace: None,
            referer: None,
            agent: None,
        };
        for (name, value) in fields {
            let kind = kind(name);
            survey.kinds.push(kind);
            survey.note(kind, value);
        }
        survey
    }

    fn note(&mut self, kind: Kind, value: &'a [u8]) {
        match kind {
            Kind::Other | Kind::Hop => {}
            Kind::Connection => self.connection.read(value),
            Kind::Te => self.takes_trailers |= has_token(value, "trailers"),
            Kind::Upgrade => {
                self.upgrades += 1;
                self.upgrade = Some(value);
            }
            Kind::Host => {
                self.hosts += 1;
                self.host = Some(value);
            }
            Kind::ContentLength => {
                self.lengths += 1;
                self.length = Some(value);
            }
            Kind::TransferEncoding => {
                self.codings += 1;
                self.coding = Some(value);
            }
            Kind::Expect => {
                // One that can't be met is not covered up by another one.
                let is_unmet =
                    self.expect.is_some_and(|expect| !expect.eq_ignore_ascii_case(b"100-continue"));
                if !is_unmet {
                    self.expect = Some(value);
                }
            }
            Kind::RequestId => self.request_id = Some(value),
            Kind::Forwarding(field) => self.claims.add(field),
            Kind::Cookie => self.cookies += 1,
            Kind::Accept => self.accept = Some(value),
            Kind::ContentType => self.content_type = Some(value),
            Kind::Trace => self.trace = Some(value),
            Kind::Referer => self.referer = Some(value),
            Kind::Agent => self.agent = Some(value),
        }
    }

    pub(crate) fn kinds(&self) -> impl Iterator<Item = (Kind, Field<'a>)> + Clone {
        self.kinds.iter().copied().zip(self.fields.clone())
    }

    /// The values of the fields with this name, as they came.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let named = self.fields.clone().filter(move |(found, _)| found.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value)
    }

    /// The values of all `Cookie` fields.
    pub fn cookies(&self) -> impl Iterator<Item = &'a [u8]> {
        let cookies = (self.cookies > 0).then(|| self.kinds());
        cookies.into_iter().flatten().filter(|(kind, _)| *kind == Kind::Cookie).map(|(_, (_, value))| value)
    }

    /// The `Host` field as it came, where it is text.
    pub fn host(&self) -> Option<&'a str> {
        str::from_utf8(self.host?).ok()
    }

    /// Whether an HTTP/1 client wants the connection to end with this request.
    pub fn wants_close(&self, version: Version) -> bool {
        self.connection.close || version == Version::HTTP_10 && !self.connection.keep_alive
    }

    /// How the body is delimited: by one length or one coding, and the coding is chunked.
    pub fn length(&self, version: Version) -> Result<Length, Refusal> {
        if self.lengths > 1 || self.lengths > 0 && self.codings > 0 {
            return Err(Refusal::Framing);
        }
        if let Some(coding) = self.coding {
            if version != Version::HTTP_11 {
                return Err(Refusal::Framing);
            }
            return check_coding(coding, self.codings).map(|()| Length::Unknown);
        }
        match self.length {
            None => Ok(Length::None),
            Some(digits) => length(digits).map(Length::Exactly).ok_or(Refusal::Framing),
        }
    }
}
