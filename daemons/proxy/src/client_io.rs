//! A client's socket that tells the connection's control what moves.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::control::{Control, Verdict};
use crate::wire::Wire;

#[derive(Debug)]
pub(crate) struct ClientIo {
    wire: Wire,
    control: Rc<Control>,
}

impl ClientIo {
    pub(crate) fn new(wire: Wire, control: Rc<Control>) -> Self {
        Self { wire, control }
    }

    /// Waits for something to read, the end included. False when the connection's time is over before that.
    pub(crate) async fn something_comes(&mut self, control: &Control) -> bool {
        poll_fn(|cx| {
            control.register(cx.waker());
            if matches!(control.verdict(), Verdict::Cut | Verdict::Close) {
                return Poll::Ready(false);
            }
            self.wire.poll_comes(cx).map(|()| true)
        })
        .await
    }

    /// Reads until the client is done, or broke off.
    pub(crate) fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut space = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut space);
            let read = ready!(Pin::new(&mut self.wire).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(());
            }
        }
    }

    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(written, Poll::Ready(Ok(_))) {
            self.control.sent();
        }
        written
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.wire).poll_read(cx, buffer);
        if matches!(result, Poll::Ready(Ok(()))) {
            self.control.received();
        }
        result
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.wire).poll_write(cx, bytes);
        self.note(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.wire).poll_write_vectored(cx, slices);
        self.note(written)
    }
}
