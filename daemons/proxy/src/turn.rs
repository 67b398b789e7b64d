//! A client of HTTP/1 while its request is answered.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use convoy_http1::{Answer, Space, write_field, write_status_line};
use convoy_hygiene::{Asked, may_trail};
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use http_body::Frame;
use tokio::net::TcpStream;

use crate::asker::{Asker, Limited};
use crate::body::BodyError;
use crate::buffer::Buffers;
use crate::fields::Lines;
use crate::front::Front;
use crate::handoff::Handoff;
use crate::outlet::{Failure, Outlet};
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
    /// The way to a target that speaks HTTP/2.
    handoff: Option<Rc<Handoff>>,
}

impl<'a> Turn<'a> {
    pub(crate) fn new(
        front: &'a mut Front,
        buffers: &'a Buffers,
        manner: Manner,
        transfer: Option<Rc<Transfer>>,
        waits: bool,
    ) -> Self {
        Self { front, buffers, manner, transfer, waits, handoff: None }
    }

    /// The body, for the task that writes it to a target that speaks HTTP/2.
    pub(crate) fn handoff(&mut self) -> Rc<Handoff> {
        Rc::clone(self.handoff.get_or_insert_default())
    }

    fn complete(&self) {
        if let Some(transfer) = &self.transfer {
            transfer.complete();
        }
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
        outlet: &mut Outlet,
        target: &mut TcpStream,
    ) -> Poll<Result<(), Failure<Reason>>> {
        let mut source =
            Limited { source: self.front.source(self.buffers), transfer: self.transfer.as_deref() };
        ready!(outlet.poll(cx, target, &mut source))?;
        self.complete();
        Poll::Ready(Ok(()))
    }

    fn poll_hand_over(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Reason>> {
        let Some(handoff) = self.handoff.clone() else { return Poll::Ready(Ok(())) };
        let mut source =
            Limited { source: self.front.source(self.buffers), transfer: self.transfer.as_deref() };
        loop {
            ready!(handoff.poll_room(cx));
            match ready!(source.poll_data(cx)) {
                Ok(true) => {
                    let piece = Bytes::copy_from_slice(source.data());
                    source.consume(piece.len());
                    handoff.give(Ok(Frame::data(piece)));
                }
                Ok(false) => {
                    if let Some(trailers) = trailers(&source) {
                        handoff.give(Ok(Frame::trailers(trailers)));
                    }
                    handoff.end();
                    self.complete();
                    return Poll::Ready(Ok(()));
                }
                Err(reason) => {
                    let error = match reason {
                        Reason::TooLarge => BodyError::TooLarge,
                        _ => BodyError::BreaksOff,
                    };
                    handoff.give(Err(error));
                    return Poll::Ready(Err(reason));
                }
            }
        }
    }

    fn invite(&mut self) {
        // Whoever has begun with it does not wait.
        if std::mem::take(&mut self.waits) && self.front.inlet.is_empty() {
            self.front.outlet.lend(|| self.buffers.take_head());
            self.front.outlet.staged().extend_from_slice(CONTINUE);
        }
    }

    fn interim(&mut self, head: &[u8]) {
        let mut space = Space::default();
        let Ok(answer) = Answer::parse(head, &mut space) else { return };
        // Nobody asked the target for a 100: that is between the client and us. HTTP/1.0 knows none of them.
        if answer.status == 100 || self.manner.version == Version::HTTP_10 {
            return;
        }
        let checked =
            convoy_hygiene::Answer::check(answer.status, Version::HTTP_11, answer.fields(), Asked::default());
        let Ok(checked) = checked else { return };
        self.front.outlet.lend(|| self.buffers.take_head());
        let out = self.front.outlet.staged();
        write_status_line(out, answer.status, answer.reason);
        checked.pass(&mut Lines(out));
        out.extend_from_slice(b"\r\n");
    }
}

/// What may be said behind a body, where something is.
pub(crate) fn trailers(source: &impl Source) -> Option<HeaderMap> {
    let mut trailers = HeaderMap::new();
    source.each_trailer(&mut |name, value| {
        if may_trail(name)
            && let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value))
        {
            trailers.append(name, value);
        }
    });
    (!trailers.is_empty()).then_some(trailers)
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
