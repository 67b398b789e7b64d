//! A client's connection, whatever it runs over.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

/// Up to this size what is to be written is put together first: a plain write of a small answer costs the kernel less
/// than a list of its parts.
const TOGETHER_MAX: usize = 1024;

/// Writes a list of parts: small ones as one.
pub(crate) fn poll_write_parts<W: AsyncWrite>(
    stream: Pin<&mut W>,
    cx: &mut Context<'_>,
    parts: &[io::IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let mut filled = parts.iter().filter(|part| !part.is_empty());
    let (first, second) = (filled.next(), filled.next());
    let Some(first) = first else { return Poll::Ready(Ok(0)) };
    if second.is_none() {
        return stream.poll_write(cx, first);
    }
    if parts.iter().map(|part| part.len()).sum::<usize>() > TOGETHER_MAX {
        return stream.poll_write_vectored(cx, parts);
    }
    let mut space = [0; TOGETHER_MAX];
    let mut length = 0;
    for part in parts {
        if let Some(place) = space.get_mut(length..length + part.len()) {
            place.copy_from_slice(part);
            length += part.len();
        }
    }
    stream.poll_write(cx, space.get(..length).unwrap_or_default())
}

/// An accepted socket, on its way to a worker.
#[derive(Debug)]
pub(crate) enum Accepted {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl Accepted {
    pub(crate) fn register(self) -> io::Result<Plain> {
        let kind = match self {
            Self::Tcp(stream) => Kind::Tcp(TcpStream::from_std(stream)?),
            Self::Unix(stream) => Kind::Unix(UnixStream::from_std(stream)?),
        };
        Ok(Plain { kind, ahead: None })
    }
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A socket, with what was read from it ahead of time.
#[derive(Debug)]
pub(crate) struct Plain {
    kind: Kind,
    /// Only at the beginning of a connection there is any.
    ahead: Option<Box<Ahead>>,
}

#[derive(Debug, Default)]
struct Ahead {
    bytes: Vec<u8>,
    taken: usize,
}

impl Plain {
    /// What was read ahead and not taken yet.
    pub(crate) fn ahead(&self) -> &[u8] {
        self.ahead.as_ref().and_then(|ahead| ahead.bytes.get(ahead.taken..)).unwrap_or_default()
    }

    /// So many bytes of it are done with.
    pub(crate) fn skip(&mut self, count: usize) {
        if let Some(ahead) = &mut self.ahead {
            ahead.taken = (ahead.taken + count).min(ahead.bytes.len());
        }
    }

    /// Reads some more ahead. False at the end.
    pub(crate) fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut space = [0; 4096];
        let mut buffer = ReadBuf::new(&mut space);
        ready!(self.poll_socket(cx, &mut buffer))?;
        self.ahead.get_or_insert_default().bytes.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(!buffer.filled().is_empty()))
    }

    /// Whether there may be something to read, or an error.
    fn poll_comes(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.ahead.is_some() {
            return Poll::Ready(());
        }
        match &mut self.kind {
            Kind::Tcp(stream) => stream.poll_read_ready(cx).map(drop),
            Kind::Unix(stream) => stream.poll_read_ready(cx).map(drop),
        }
    }

    fn poll_socket(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.kind {
            Kind::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Kind::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncRead for Plain {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_some() {
            let count = self.ahead().len().min(buffer.remaining());
            buffer.put_slice(self.ahead().get(..count).unwrap_or_default());
            self.skip(count);
            if self.ahead().is_empty() {
                self.ahead = None;
            }
            if count > 0 {
                return Poll::Ready(Ok(()));
            }
        }
        self.poll_socket(cx, buffer)
    }
}

impl AsyncWrite for Plain {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.kind {
            Kind::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Kind::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.kind {
            Kind::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Kind::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.kind {
            Kind::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Kind::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.kind {
            Kind::Tcp(stream) => poll_write_parts(Pin::new(stream), cx, slices),
            Kind::Unix(stream) => poll_write_parts(Pin::new(stream), cx, slices),
        }
    }
}

/// With TLS or without.
#[derive(Debug)]
pub(crate) enum Wire {
    Plain(Plain),
    Tls(Box<TlsStream<Plain>>),
}

impl Wire {
    /// Whether there may be something to read, or an error.
    pub(crate) fn poll_comes(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Plain(stream) => stream.poll_comes(cx),
            Self::Tls(stream) => {
                let (stream, session) = stream.get_mut();
                // What was decrypted and not read is nowhere else.
                if session.wants_read() { stream.poll_comes(cx) } else { Poll::Ready(()) }
            }
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }
}

/// A connection to a target.
#[derive(Debug)]
pub(crate) struct ToTarget {
    pub(crate) stream: TcpStream,
    /// Another number whenever bytes have come or gone.
    pub(crate) moved: Rc<Cell<u32>>,
}

impl ToTarget {
    fn note<T>(&self, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if matches!(outcome, Poll::Ready(Ok(_))) {
            self.moved.set(self.moved.get().wrapping_add(1));
        }
        outcome
    }
}

impl AsyncRead for ToTarget {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.note(read)
    }
}

impl AsyncWrite for ToTarget {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = poll_write_parts(Pin::new(&mut self.stream), cx, slices);
        self.note(written)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn parts_arrive_in_order_however_they_are_written() {
        for sizes in [vec![], vec![0, 5], vec![3, 4, 5], vec![1000, 24], vec![1000, 25], vec![5000, 5000]] {
            let (mut near, mut far) = tokio::io::duplex(1 << 20);
            let bytes: Vec<Vec<u8>> = sizes
                .iter()
                .enumerate()
                .map(|(index, size)| vec![u8::try_from(index).unwrap(); *size])
                .collect();
            let parts: Vec<_> = bytes.iter().map(|part| io::IoSlice::new(part)).collect();
            let written = poll_fn(|cx| poll_write_parts(Pin::new(&mut near), cx, &parts)).await.unwrap();
            drop(near);
            let mut received = Vec::new();
            far.read_to_end(&mut received).await.unwrap();
            // A stream may take less than all; what it took is the beginning.
            assert_eq!(received, bytes.concat()[..written], "{sizes:?}");
            assert!(written > 0 || bytes.concat().is_empty());
        }
    }
}
