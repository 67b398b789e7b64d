//! What comes in on a connection: heads, and bodies out of their delimiters.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use convoy_http1::{Body, BodyError, HeadEnd, HeadError};
use tokio::io::{AsyncRead, ReadBuf};

use crate::buffer::{Buffer, Buffers};
use crate::source::Source;

/// Why nothing more comes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InletError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Head(#[from] HeadError),
    #[error(transparent)]
    Body(#[from] BodyError),
}

/// The reading half of a connection. It has a buffer only while there is something in it.
#[derive(Debug)]
pub(crate) struct Inlet {
    buffer: Option<Box<Buffer>>,
    /// So many bytes at the buffer's beginning are data of the body.
    data: usize,
    /// So many behind them are done with.
    gap: usize,
    body: Body,
    head: HeadEnd,
    /// The other side says no more.
    ended: bool,
    /// What was read last filled all the room there was.
    floods: bool,
}

impl Inlet {
    /// What an end of a head looks like here.
    pub(crate) fn new(head: HeadEnd) -> Self {
        Self { buffer: None, data: 0, gap: 0, body: Body::none(), head, ended: false, floods: false }
    }

    /// What came and was not taken.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.buffer.as_deref().map(Buffer::bytes).unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether the body was read in full.
    pub(crate) fn is_over(&self) -> bool {
        self.data == 0 && self.body.is_over()
    }

    /// Throws away what is here of the body. Whether that was all of it.
    pub(crate) fn discard_body(&mut self) -> bool {
        self.consume(self.data);
        while !self.body.is_over()
            && let Some(buffer) = self.buffer.as_mut().filter(|buffer| !buffer.is_empty())
        {
            let Ok(decoded) = self.body.decode(buffer.bytes_mut()) else { return false };
            buffer.consume(decoded.taken);
        }
        self.is_over()
    }

    /// The head was looked at; this body follows it.
    pub(crate) fn begin_body(&mut self, head: usize, body: Body) {
        if let Some(buffer) = &mut self.buffer {
            buffer.consume(head);
        }
        self.body = body;
        self.head.restart();
        self.floods = false;
    }

    /// Lets go of a buffer with nothing in it.
    pub(crate) fn rest(&mut self, buffers: &Buffers) {
        if let Some(buffer) = self.buffer.take_if(|buffer| buffer.is_empty()) {
            buffers.give(buffer);
        }
    }

    /// Reads what is there. 0 at the end.
    pub(crate) fn poll_fill(
        &mut self,
        io: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
        buffers: &Buffers,
    ) -> Poll<io::Result<usize>> {
        let is_tight = |buffer: &Buffer| buffer.is_empty() && !buffer.is_large();
        if self.floods
            && self.buffer.as_deref().is_none_or(is_tight)
            && let Some(small) = self.buffer.replace(buffers.take_large())
        {
            buffers.give(small);
        }
        let buffer = self.buffer.get_or_insert_with(|| buffers.take());
        let mut space = ReadBuf::new(buffer.room());
        let polled = Pin::new(io).poll_read(cx, &mut space);
        let count = space.filled().len();
        if polled.is_ready() {
            self.floods = space.remaining() == 0;
        }
        buffer.filled(count);
        if polled.is_pending() {
            self.rest(buffers);
        }
        ready!(polled)?;
        self.ended |= count == 0;
        Poll::Ready(Ok(count))
    }

    /// Whether there is room for more without taking more than one buffer.
    pub(crate) fn has_room(&self) -> bool {
        self.buffer.as_deref().is_none_or(Buffer::has_room)
    }

    /// The length of the next head, once it is there; none at the end of the connection.
    pub(crate) fn poll_head(
        &mut self,
        io: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
        buffers: &Buffers,
    ) -> Poll<Result<Option<usize>, InletError>> {
        loop {
            let bytes = self.buffer.as_deref().map(Buffer::bytes).unwrap_or_default();
            if let Some(length) = self.head.find(bytes)? {
                return Poll::Ready(Ok(Some(length)));
            }
            if self.ended || ready!(self.poll_fill(io, cx, buffers))? == 0 {
                return Poll::Ready(Ok(None));
            }
        }
    }

    /// Passes over a head that has no body, or over an empty line before a request (RFC 9112, section 2.2).
    pub(crate) fn skip(&mut self, head: usize) {
        self.begin_body(head, Body::none());
    }

    /// Whether there is data of the body now; false when it is over.
    fn poll_data(
        &mut self,
        io: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
        buffers: &Buffers,
    ) -> Poll<Result<bool, InletError>> {
        loop {
            if self.data > 0 {
                return Poll::Ready(Ok(true));
            }
            if self.body.is_over() {
                return Poll::Ready(Ok(false));
            }
            if let Some(buffer) = self.buffer.as_mut().filter(|buffer| !buffer.is_empty()) {
                let decoded = self.body.decode(buffer.bytes_mut())?;
                buffer.consume(decoded.data.start);
                self.data = decoded.data.len();
                self.gap = decoded.taken - decoded.data.end;
                if self.data == 0 {
                    buffer.consume(self.gap);
                    self.gap = 0;
                }
            } else if self.ended || ready!(self.poll_fill(io, cx, buffers))? == 0 {
                self.body.end()?;
            }
        }
    }

    fn data(&self) -> &[u8] {
        self.bytes().get(..self.data).unwrap_or_default()
    }

    fn consume(&mut self, count: usize) {
        let Some(buffer) = &mut self.buffer else { return };
        buffer.consume(count);
        self.data = self.data.saturating_sub(count);
        if self.data == 0 {
            buffer.consume(self.gap);
            self.gap = 0;
        }
    }
}

/// An inlet with the socket that it reads from.
pub(crate) struct InletSource<'a, I> {
    pub(crate) io: &'a mut I,
    pub(crate) inlet: &'a mut Inlet,
    pub(crate) buffers: &'a Buffers,
}

impl<I: AsyncRead + Unpin> Source for InletSource<'_, I> {
    type Error = InletError;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, InletError>> {
        self.inlet.poll_data(self.io, cx, self.buffers)
    }

    fn data(&self) -> &[u8] {
        self.inlet.data()
    }

    fn consume(&mut self, count: usize) {
        self.inlet.consume(count);
    }

    fn is_last(&self) -> bool {
        let mut trailers = 0;
        self.inlet.body.each_trailer(|_| trailers += 1);
        self.inlet.body.is_over() && trailers == 0
    }

    fn each_trailer(&self, with: &mut dyn FnMut(&str, &[u8])) {
        self.inlet.body.each_trailer(|(name, value)| with(name, value));
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// An inlet that has read so far.
    fn with(mut bytes: &[u8], body: Body) -> (Inlet, Buffers) {
        let (mut inlet, buffers) = (Inlet::new(HeadEnd::default()), Buffers::default());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(inlet.poll_fill(&mut bytes, &mut cx, &buffers).is_ready());
        inlet.begin_body(0, body);
        (inlet, buffers)
    }

    #[test]
    fn what_is_thrown_away_of_a_body_is_the_body() {
        for (bytes, body, is_all, left) in [
            (&b"abcGET"[..], Body::of_length(3), true, &b"GET"[..]),
            (b"abc", Body::of_length(4), false, b""),
            (b"3\r\n0\r\n\r\n0\r\n\r\nGET", Body::chunked(), true, b"GET"),
            (b"3\r\nabc\r\n1\r\n", Body::chunked(), false, b""),
            (b"GET", Body::none(), true, b"GET"),
        ] {
            // Also when a part of it was shown already.
            for is_shown in [false, true] {
                let (mut inlet, buffers) = with(bytes, body.clone());
                let mut cx = Context::from_waker(Waker::noop());
                if is_shown {
                    assert!(inlet.poll_data(&mut tokio::io::empty(), &mut cx, &buffers).is_ready());
                }
                assert_eq!(inlet.discard_body(), is_all, "{bytes:?}");
                assert_eq!(inlet.bytes(), left, "{bytes:?}");
            }
        }
    }

    #[test]
    fn what_comes_faster_than_it_fits_gets_more_room() {
        let (mut inlet, buffers) = (Inlet::new(HeadEnd::default()), Buffers::default());
        let (bytes, mut cx) = (vec![b'x'; 1 << 20], Context::from_waker(Waker::noop()));
        let mut from = &bytes[..];
        inlet.begin_body(0, Body::of_length(1 << 20));
        let mut sizes = Vec::new();
        while let Poll::Ready(Ok(true)) = inlet.poll_data(&mut from, &mut cx, &buffers) {
            sizes.push(inlet.data().len());
            inlet.consume(inlet.data().len());
        }
        assert_eq!(sizes.iter().sum::<usize>(), bytes.len());
        assert!(sizes[1] > sizes[0], "{sizes:?}");
        assert!(inlet.is_over());
    }

    #[test]
    fn a_buffer_is_held_only_while_there_is_something_in_it() {
        let (mut inlet, buffers) = with(b"abc", Body::of_length(3));
        inlet.rest(&buffers);
        assert!(inlet.buffer.is_some());
        assert!(inlet.discard_body());
        inlet.rest(&buffers);
        assert!(inlet.buffer.is_none());
    }
}
