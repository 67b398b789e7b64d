//! A client of HTTP/1 while its request is answered.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use convoy_http1::{write_field, write_status_line};
use convoy_hygiene::{Asked, Field};
use http::Version;

use crate::asker::{Asker, poll_body};
use crate::buffer::Buffers;
use crate::fields::Lines;
use crate::front::Front;
use crate::outlet::{BodyWriter, Failure};
use crate::reason::Reason;
use crate::source::Source;
use crate::transfer::Transfer;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What a client asked for, as far as it decides how it is answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// HTTP/1.0 or HTTP/1.1.
    pub(crate) version: Version,
    /// The head alone.
    pub(crate) head: bool,
    /// The connection ends with the answer.
    pub(crate) closes: bool,
    /// It wants to see what comes behind a body.
    pub(crate) trailers: bool,
}

pub(crate) struct Turn<'a> {
    pub(crate) front: &'a mut Front,
    buffers: &'a Buffers,
    manner: Manner,
    transfer: Option<Rc<Transfer>>,
    /// It sends its body only when it is told to.
    waits: bool,
}

impl<'a> Turn<'a> {
    pub(crate) fn new(
        front: &'a mut Front,
        buffers: &'a Buffers,
        manner: Manner,
        transfer: Option<Rc<Transfer>>,
        waits: bool,
    ) -> Self {
        Self { front, buffers, manner, transfer, waits }
    }
}

impl Asker for Turn<'_> {
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.front.poll_left(cx, self.buffers)
    }

    fn poll_told(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.front.outlet.has_staged() {
            return Poll::Ready(Ok(()));
        }
        self.front.outlet.poll_staged(cx, &mut self.front.io)
    }

    fn poll_request(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut impl BodyWriter,
    ) -> Poll<Result<(), Failure<Reason>>> {
        poll_body(cx, to, self.front.source(self.buffers), self.transfer.as_deref())
    }

    fn poll_answer<S: Source>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut S,
    ) -> Poll<Result<(), Failure<S::Error>>> {
        self.front.outlet.poll(cx, &mut self.front.io, from)
    }

    fn passed(&self) -> u64 {
        self.front.outlet.passed()
    }

    fn invite(&mut self) {
        // Whoever has begun with it does not wait.
        if std::mem::take(&mut self.waits) && self.front.inlet.is_empty() {
            self.front.outlet.lend(|| self.buffers.take_head());
            self.front.outlet.staged().extend_from_slice(CONTINUE);
        }
    }

    fn interim<'f>(&mut self, status: u16, reason: &str, fields: impl Iterator<Item = Field<'f>> + Clone) {
        // HTTP/1.0 knows none of them.
        if self.manner.version == Version::HTTP_10 {
            return;
        }
        let checked = convoy_hygiene::Answer::check(status, Version::HTTP_11, fields, Asked::default());
        let Ok(checked) = checked else { return };
        self.front.outlet.lend(|| self.buffers.take_head());
        let out = self.front.outlet.staged();
        write_status_line(out, status, reason);
        checked.pass(&mut Lines(out));
        out.extend_from_slice(b"\r\n");
    }
}

/// How an answer ends, as the client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// After so many bytes.
    Length(u64),
    /// With the last chunk.
    Chunks,
    /// With the connection.
    Connection,
    /// With its head.
    Head,
}

impl Manner {
    /// How an answer of unknown length ends.
    pub(crate) fn open_end(self) -> End {
        if self.version == Version::HTTP_10 { End::Connection } else { End::Chunks }
    }

    /// Writes what is said of the body and the connection, and the end of the head.
    pub(crate) fn finish_head(self, out: &mut Vec<u8>, end: End, closes: bool) {
        match end {
            End::Length(length) => {
                out.extend_from_slice(b"content-length: ");
                convoy_http1::write_decimal(out, length);
                out.extend_from_slice(b"\r\n");
            }
            End::Chunks => write_field(out, ("transfer-encoding", b"chunked")),
            End::Connection | End::Head => {}
        }
        if closes {
            write_field(out, ("connection", b"close"));
        } else if self.version == Version::HTTP_10 {
            write_field(out, ("connection", b"keep-alive"));
        }
        out.extend_from_slice(b"\r\n");
    }
}
