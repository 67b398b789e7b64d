//! Where a body comes from.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::Body;
use hyper::body::Incoming;

/// A body, piece by piece. What was shown stays until it is consumed, and only then is there more: whoever can't pass it
/// on stops whoever sends it.
pub(crate) trait Source {
    type Error;

    /// Whether there is data now; false when the body is over.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Self::Error>>;

    /// The data.
    fn data(&self) -> &[u8];

    /// So much of it is done with.
    fn consume(&mut self, count: usize);

    /// Whether nothing comes behind this data, no trailers either.
    fn is_last(&self) -> bool;

    /// The fields behind a body that is over.
    fn each_trailer(&self, with: &mut dyn FnMut(&str, &[u8]));
}

impl<S: Source> Source for &mut S {
    type Error = S::Error;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, S::Error>> {
        (**self).poll_data(cx)
    }

    fn data(&self) -> &[u8] {
        (**self).data()
    }

    fn consume(&mut self, count: usize) {
        (**self).consume(count);
    }

    fn is_last(&self) -> bool {
        (**self).is_last()
    }

    fn each_trailer(&self, with: &mut dyn FnMut(&str, &[u8])) {
        (**self).each_trailer(with);
    }
}

/// The body of an HTTP/2 message.
#[derive(Debug)]
pub(crate) struct Frames {
    body: Incoming,
    data: Bytes,
    trailers: Option<HeaderMap>,
}

impl Frames {
    pub(crate) fn new(body: Incoming) -> Self {
        Self { body, data: Bytes::new(), trailers: None }
    }
}

impl Source for Frames {
    type Error = hyper::Error;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, hyper::Error>> {
        while self.data.is_empty() {
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)?) else {
                return Poll::Ready(Ok(false));
            };
            match frame.into_data() {
                Ok(data) => self.data = data,
                Err(frame) => self.trailers = frame.into_trailers().ok(),
            }
        }
        Poll::Ready(Ok(true))
    }

    fn data(&self) -> &[u8] {
        &self.data
    }

    fn consume(&mut self, count: usize) {
        self.data.advance(count.min(self.data.len()));
    }

    fn is_last(&self) -> bool {
        self.trailers.is_none() && self.body.is_end_stream()
    }

    fn each_trailer(&self, with: &mut dyn FnMut(&str, &[u8])) {
        for (name, value) in self.trailers.iter().flatten() {
            with(name.as_str(), value.as_bytes());
        }
    }
}
