//! The client's side of an HTTP/1 connection.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use convoy_http1::{HeadEnd, HeadError};
use tokio::io::AsyncWrite;

use crate::buffer::Buffers;
use crate::client_io::ClientIo;
use crate::control::{Control, Phase, Verdict};
use crate::inlet::{Inlet, InletError, InletSource};
use crate::outlet::Outlet;

/// An empty line, which some clients send behind a body.
const EMPTY_LINE: usize = 2;

/// What comes next on a connection.
#[derive(Debug)]
pub(crate) enum Next {
    /// A request, whose head has so many bytes.
    Head(usize),
    /// Something else.
    Malformed(HeadError),
    /// Nothing: the client is done, or its time is over.
    End,
}

#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) io: ClientIo,
    pub(crate) inlet: Inlet,
    pub(crate) outlet: Outlet,
}

impl Front {
    pub(crate) fn new(io: ClientIo) -> Self {
        Self { io, inlet: Inlet::new(HeadEnd::default()), outlet: Outlet::new() }
    }

    pub(crate) async fn next(&mut self, control: &Control, buffers: &Buffers) -> Next {
        if !self.inlet.is_empty() {
            // It was sent ahead.
            control.enter(Phase::Head);
        }
        poll_fn(|cx| {
            control.register(cx.waker());
            if matches!(control.verdict(), Verdict::Cut | Verdict::Close) {
                return Poll::Ready(Next::End);
            }
            loop {
                match ready!(self.inlet.poll_head(&mut self.io, cx, buffers)) {
                    Ok(Some(EMPTY_LINE)) => self.inlet.skip(EMPTY_LINE),
                    Ok(Some(length)) => return Poll::Ready(Next::Head(length)),
                    Err(InletError::Head(error)) => return Poll::Ready(Next::Malformed(error)),
                    Ok(None) | Err(_) => return Poll::Ready(Next::End),
                }
            }
        })
        .await
    }

    /// The body of the request, as it comes.
    pub(crate) fn source<'a>(&'a mut self, buffers: &'a Buffers) -> InletSource<'a, ClientIo> {
        InletSource { io: &mut self.io, inlet: &mut self.inlet, buffers }
    }

    /// Whether the client has left although it gets an answer. What it sends ahead is kept, up to a buffer of it.
    pub(crate) fn poll_left(&mut self, cx: &mut Context<'_>, buffers: &Buffers) -> Poll<()> {
        while self.inlet.is_over() && self.inlet.has_room() {
            match ready!(self.inlet.poll_fill(&mut self.io, cx, buffers)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
        Poll::Pending
    }

    /// Writes what is staged. An error when the client's time is over before that.
    pub(crate) async fn flush(&mut self, control: &Control) -> io::Result<()> {
        poll_fn(|cx| {
            control.register(cx.waker());
            if matches!(control.verdict(), Verdict::Cut | Verdict::Close) {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.outlet.poll_staged(cx, &mut self.io)
        })
        .await
    }

    /// Gives back what only a request needs.
    pub(crate) fn rest(&mut self, buffers: &Buffers) {
        buffers.give_head(self.outlet.finish());
        self.inlet.rest(buffers);
    }

    /// Says good-bye.
    pub(crate) async fn close(mut self, control: &Control) {
        control.enter(Phase::Linger);
        poll_fn(|cx| {
            control.register(cx.waker());
            if control.verdict() == Verdict::Cut {
                return Poll::Ready(());
            }
            Pin::new(&mut self.io).poll_shutdown(cx).map(drop)
        })
        .await;
    }

    /// Says good-bye to a client that may still be sending. Closed at once, the kernel would answer those bytes with a
    /// reset, and the client could lose the answer over it (RFC 9112, section 9.6).
    pub(crate) async fn linger(mut self, control: &Control) {
        control.enter(Phase::Linger);
        let mut is_shut = false;
        poll_fn(|cx| {
            control.register(cx.waker());
            if control.verdict() == Verdict::Cut {
                return Poll::Ready(());
            }
            if !is_shut {
                if ready!(Pin::new(&mut self.io).poll_shutdown(cx)).is_err() {
                    return Poll::Ready(());
                }
                is_shut = true;
            }
            self.io.poll_discard(cx)
        })
        .await;
    }
}
