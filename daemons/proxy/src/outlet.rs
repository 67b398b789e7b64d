//! What goes out on a connection: a head, and the body behind it in its delimiters.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use convoy_http1::{Delimit, write_chunk_size, write_field};
use convoy_hygiene::may_trail;
use tokio::io::AsyncWrite;

use crate::source::Source;

/// Up to this size head and data are put together first: a plain write costs the kernel less than a list of parts.
const TOGETHER_MAX: usize = 2048;
/// What ends a chunk that is the last one with data. Any other one ends as this does.
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";
/// Its bytes, and those of them that end any other chunk.
const LAST_CHUNK_LENGTH: u8 = 7;
const CHUNK_END_LENGTH: u8 = 2;

/// Why a message did not go out in full.
#[derive(Debug)]
pub(crate) enum Failure<E> {
    /// The body breaks off.
    Source(E),
    /// The connection does.
    Write,
}

/// Where a body goes.
pub(crate) trait BodyWriter {
    /// Passes a body on until it is over.
    fn poll_pass<S: Source>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
    ) -> Poll<Result<(), Failure<S::Error>>>;
}

/// An outlet with the connection that it writes to.
#[derive(Debug)]
pub(crate) struct OutletTo<'a, I> {
    pub(crate) outlet: &'a mut Outlet,
    pub(crate) io: &'a mut I,
}

impl<I: AsyncWrite + Unpin> BodyWriter for OutletTo<'_, I> {
    fn poll_pass<S: Source>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
    ) -> Poll<Result<(), Failure<S::Error>>> {
        self.outlet.poll(cx, self.io, source)
    }
}

/// A message on its way out.
#[derive(Debug)]
pub(crate) struct Outlet {
    /// Written before anything else.
    staged: Vec<u8>,
    at: usize,
    /// So much of the source's data comes behind that.
    announced: usize,
    /// And so many bytes behind the data, from the end of [`LAST_CHUNK`].
    tail: u8,
    delimit: Delimit,
    /// Whether the receiver wants to see trailers.
    trailers: bool,
    ended: bool,
    /// Bytes that the kernel took.
    sent: u64,
    /// Bytes of the body among them, or put together with its head.
    passed: u64,
}

impl Outlet {
    pub(crate) fn new() -> Self {
        Self {
            staged: Vec::new(),
            at: 0,
            announced: 0,
            tail: 0,
            delimit: Delimit::Plain,
            trailers: false,
            ended: false,
            sent: 0,
            passed: 0,
        }
    }

    /// A message whose head is written into what this gives. What was there before, such as an interim answer, goes
    /// first.
    pub(crate) fn staged(&mut self) -> &mut Vec<u8> {
        &mut self.staged
    }

    /// Whether something is to be written before anything else.
    pub(crate) fn has_staged(&self) -> bool {
        !self.staged.is_empty()
    }

    /// Room for heads, when there is none.
    pub(crate) fn lend(&mut self, room: impl FnOnce() -> Vec<u8>) {
        if self.staged.capacity() == 0 {
            self.staged = room();
        }
    }

    /// The head is staged; the body follows like this.
    pub(crate) fn begin(&mut self, delimit: Delimit, trailers: bool) {
        self.delimit = delimit;
        self.trailers = trailers;
        self.ended = false;
        self.sent = 0;
        self.passed = 0;
    }

    /// Gives the room back, with nothing in it.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let mut room = std::mem::take(&mut self.staged);
        room.clear();
        *self = Self::new();
        room
    }

    /// Whether the kernel took anything of it.
    pub(crate) fn was_sent(&self) -> bool {
        self.sent > 0
    }

    /// Starts over, for another connection. Only for a message of which nothing was sent, or one without a body, whose
    /// head is still staged.
    pub(crate) fn rewind(&mut self) {
        self.at = 0;
        self.sent = 0;
    }

    /// Bytes of the body so far.
    pub(crate) fn passed(&self) -> u64 {
        self.passed
    }

    /// Writes what is staged, without a body.
    pub(crate) fn poll_staged(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        while self.at < self.staged.len() {
            let rest = self.staged.get(self.at..).unwrap_or_default();
            let count = ready!(Pin::new(&mut *io).poll_write(cx, rest))?;
            self.note(count)?;
            self.at += count;
        }
        self.staged.clear();
        self.at = 0;
        Pin::new(io).poll_flush(cx)
    }

    fn note(&mut self, count: usize) -> io::Result<()> {
        self.sent += count as u64;
        if count == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(()) }
    }

    /// Passes the body on until it is over.
    pub(crate) fn poll<S: Source>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut (impl AsyncWrite + Unpin),
        source: &mut S,
    ) -> Poll<Result<(), Failure<S::Error>>> {
        loop {
            let mut starved = false;
            if self.announced == 0 && self.tail == 0 && !self.ended {
                match source.poll_data(cx) {
                    Poll::Ready(Ok(true)) => self.announce(source),
                    Poll::Ready(Ok(false)) => self.end(source),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(Failure::Source(error))),
                    Poll::Pending => starved = true,
                }
            }
            if self.at == self.staged.len() && self.announced == 0 && self.tail == 0 {
                // TLS may hold something back.
                let flushed = Pin::new(&mut *io).poll_flush(cx).map_err(|_| Failure::Write)?;
                return if starved { Poll::Pending } else { flushed.map(Ok) };
            }
            let written = ready!(self.poll_write(cx, io, source.data())).and_then(|count| {
                self.note(count)?;
                Ok(count)
            });
            let written = written.map_err(|_| Failure::Write)?;
            self.advance(written, source);
        }
    }

    fn tail(&self) -> &'static [u8] {
        LAST_CHUNK.get(LAST_CHUNK.len() - usize::from(self.tail)..).unwrap_or_default()
    }

    fn announce(&mut self, source: &mut impl Source) {
        if self.at == self.staged.len() {
            self.staged.clear();
            self.at = 0;
        }
        self.announced = source.data().len();
        self.ended = source.is_last();
        if self.delimit == Delimit::Chunks {
            write_chunk_size(&mut self.staged, self.announced);
            self.tail = if self.ended { LAST_CHUNK_LENGTH } else { CHUNK_END_LENGTH };
        }
        let whole = self.staged.len() - self.at + self.announced + self.tail().len();
        if self.at < self.staged.len() && whole <= TOGETHER_MAX {
            self.staged.extend_from_slice(source.data());
            let tail = self.tail();
            self.staged.extend_from_slice(tail);
            self.tail = 0;
            self.take(self.announced, source);
        }
    }

    /// The body is over; what is behind it is staged.
    fn end(&mut self, source: &impl Source) {
        self.ended = true;
        if self.delimit == Delimit::Chunks {
            write_chunk_size(&mut self.staged, 0);
            if self.trailers {
                source.each_trailer(&mut |name, value| {
                    if may_trail(name) {
                        write_field(&mut self.staged, (name, value));
                    }
                });
            }
            self.staged.extend_from_slice(b"\r\n");
        }
    }

    fn poll_write(
        &self,
        cx: &mut Context<'_>,
        io: &mut (impl AsyncWrite + Unpin),
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let staged = self.staged.get(self.at..).unwrap_or_default();
        let data = data.get(..self.announced).unwrap_or_default();
        let io = Pin::new(io);
        match (staged.is_empty(), data.is_empty(), self.tail == 0) {
            (_, true, true) => io.poll_write(cx, staged),
            (true, false, true) => io.poll_write(cx, data),
            _ => {
                let parts = [io::IoSlice::new(staged), io::IoSlice::new(data), io::IoSlice::new(self.tail())];
                io.poll_write_vectored(cx, &parts)
            }
        }
    }

    fn advance(&mut self, written: usize, source: &mut impl Source) {
        let staged = written.min(self.staged.len() - self.at);
        self.at += staged;
        let data = (written - staged).min(self.announced);
        self.take(data, source);
        let tail = u8::try_from(written - staged - data).unwrap_or(u8::MAX);
        self.tail = self.tail.saturating_sub(tail);
    }

    fn take(&mut self, count: usize, source: &mut impl Source) {
        source.consume(count);
        self.announced -= count;
        self.passed += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use convoy_http1::{Body, HeadEnd};
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::buffer::Buffers;
    use crate::inlet::{Inlet, InletSource};

    /// Bytes that come through pipes of these sizes, as a message goes from one connection to another.
    fn passed(body: Body, bytes: &[u8], pipes: (usize, usize), outlet: &mut Outlet) -> Vec<u8> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut sender, mut from) = tokio::io::duplex(pipes.0);
            let (mut to, mut receiver) = tokio::io::duplex(pipes.1);
            let (buffers, mut inlet) = (Buffers::default(), Inlet::new(HeadEnd::default()));
            inlet.begin_body(0, body);
            let pass = async {
                poll_fn(|cx| {
                    let source = InletSource { io: &mut from, inlet: &mut inlet, buffers: &buffers };
                    outlet.poll(cx, &mut to, &mut { source })
                })
                .await
                .unwrap();
                drop(to);
            };
            let send = async {
                sender.write_all(bytes).await.unwrap();
                drop(sender);
            };
            let mut arrived = Vec::new();
            let (.., outcome) = tokio::join!(pass, send, receiver.read_to_end(&mut arrived));
            outcome.unwrap();
            arrived
        })
    }

    proptest! {
        #[test]
        fn a_body_arrives_as_it_was_sent_through_any_pipes(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..3000), 0..8),
            trailer: bool,
            wanted: bool,
            delimit in prop_oneof![Just(Delimit::Plain), Just(Delimit::Chunks)],
            from in 1usize..5000,
            to in 1usize..5000,
        ) {
            let mut bytes = Vec::new();
            for piece in &pieces {
                write_chunk_size(&mut bytes, piece.len());
                bytes.extend_from_slice(piece);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(if trailer { b"0\r\nX-T: 1\r\n\r\n" } else { b"0\r\n\r\n" });
            let data = pieces.concat();

            let mut outlet = Outlet::new();
            outlet.staged().extend_from_slice(b"head");
            outlet.begin(delimit, wanted);
            let mut received = passed(Body::chunked(), &bytes, (from, to), &mut outlet);
            prop_assert!(received.starts_with(b"head"));
            received.drain(..4);
            prop_assert_eq!(outlet.passed(), data.len() as u64);
            if delimit == Delimit::Plain {
                prop_assert_eq!(received, data);
                return Ok(());
            }
            let trailers = trailer && wanted;
            prop_assert_eq!(received.ends_with(b"X-T: 1\r\n\r\n"), trailers);
            // And back.
            let mut outlet = Outlet::new();
            outlet.begin(Delimit::Plain, false);
            prop_assert_eq!(passed(Body::chunked(), &received, (to, from), &mut outlet), data);
        }
    }
}
