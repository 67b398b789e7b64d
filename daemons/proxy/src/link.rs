//! A connection to a target that speaks HTTP/1.1. It has no task of its own: whoever has a request on it reads and writes
//! it. A request and its answer then pass in one go, instead of waiting twice for their turn among all other tasks, and
//! what they touch is still in the processor's caches.

use std::io;
use std::task::{Context, Poll};

use convoy_http1::{HeadEnd, HeadError};
use rustix::net::RecvFlags;
use tokio::net::TcpStream;

use crate::buffer::Buffers;
use crate::inlet::{Inlet, InletError, InletSource};
use crate::sender::Open;

/// What every answer begins with.
const START: &[u8] = b"HTTP/1.";

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) stream: TcpStream,
    pub(crate) inlet: Inlet,
    /// Whether it can be used once more after this answer.
    pub(crate) keeps: bool,
    _open: Open,
}

impl Link {
    pub(crate) fn new(stream: TcpStream, open: Open) -> Self {
        Self { stream, inlet: Inlet::new(HeadEnd::of_answer()), keeps: true, _open: open }
    }

    /// Whether an idle one can take a request: the target has neither closed it nor said anything on it. Sees what the
    /// event loop has seen.
    pub(crate) fn is_usable(&self) -> bool {
        self.inlet.is_empty() && !self.inlet.has_ended() && would_block(self.stream.try_read(&mut [0]))
    }

    /// The same, as it is at this moment; costs a system call.
    pub(crate) fn is_usable_now(&self) -> bool {
        let mut byte = [0];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let peeked = rustix::net::recv(&self.stream, &mut byte, flags);
        self.is_usable() && would_block(peeked.map_err(io::Error::from))
    }

    /// The length of the next answer's head, once it is there; none when the target has closed the connection.
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &Buffers,
    ) -> Poll<Result<Option<usize>, InletError>> {
        let polled = self.inlet.poll_head(&mut self.stream, cx, buffers);
        // What is no HTTP is told at once, however much of it comes.
        if self.inlet.bytes().iter().zip(START).any(|(byte, expected)| byte != expected) {
            return Poll::Ready(Err(HeadError::Malformed.into()));
        }
        polled
    }

    pub(crate) fn source<'a>(&'a mut self, buffers: &'a Buffers) -> InletSource<'a, TcpStream> {
        InletSource { io: &mut self.stream, inlet: &mut self.inlet, buffers }
    }
}

fn would_block<T>(outcome: io::Result<T>) -> bool {
    outcome.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}
