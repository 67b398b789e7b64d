//! The body of a message of HTTP/2, as it comes and as it goes.

use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use convoy_hygiene::may_trail;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::outlet::{BodyWriter, Failure};
use crate::sender::Call;
use crate::source::Source;

/// A body as it comes. Whoever sends it gets room for more only as it is consumed.
#[derive(Debug)]
pub(crate) struct Frames {
    body: RecvStream,
    data: Bytes,
    data_is_over: bool,
    trailers: Option<HeaderMap>,
    /// Of an answer: held as long as it lasts.
    _call: Option<Call>,
}

impl Frames {
    pub(crate) fn of_request(body: RecvStream) -> Self {
        Self { body, data: Bytes::new(), data_is_over: false, trailers: None, _call: None }
    }

    pub(crate) fn of_answer(body: RecvStream, call: Call) -> Self {
        Self { _call: Some(call), ..Self::of_request(body) }
    }

    fn consumed(&mut self, count: usize) {
        // Fails for a stream that is over, where nobody waits for room.
        let _ = self.body.flow_control().release_capacity(count);
    }

    /// Whatever else comes is no part of it.
    pub(crate) fn end(&mut self) {
        self.data = Bytes::new();
        self.data_is_over = true;
    }
}

impl Source for Frames {
    type Error = h2::Error;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, h2::Error>> {
        while self.data.is_empty() && !self.data_is_over {
            match ready!(self.body.poll_data(cx)) {
                Some(Ok(data)) => self.data = data,
                // An end without an error is one as well, when it comes before the end of the message.
                Some(Err(error)) => return Poll::Ready(Err(error)),
                None => {
                    self.trailers = ready!(self.body.poll_trailers(cx))?;
                    self.data_is_over = true;
                }
            }
        }
        Poll::Ready(Ok(!self.data.is_empty()))
    }

    fn data(&self) -> &[u8] {
        &self.data
    }

    fn consume(&mut self, count: usize) {
        let count = count.min(self.data.len());
        self.data.advance(count);
        self.consumed(count);
    }

    fn take(&mut self, count: usize) -> Bytes {
        let piece = self.data.split_to(count.min(self.data.len()));
        self.consumed(piece.len());
        piece
    }

    fn is_last(&self) -> bool {
        self.trailers.is_none() && (self.data_is_over || self.body.is_end_stream())
    }

    fn each_trailer(&self, with: &mut dyn FnMut(&str, &[u8])) {
        for (name, value) in self.trailers.iter().flatten() {
            with(name.as_str(), value.as_bytes());
        }
    }
}

/// A body as it goes. No more is taken from its source than the receiver has room for.
#[derive(Debug)]
pub(crate) struct FrameOutlet {
    stream: SendStream<Bytes>,
    /// So much of the source's data is still to be sent.
    announced: usize,
    ended: bool,
    passed: u64,
}

impl FrameOutlet {
    pub(crate) fn new(stream: SendStream<Bytes>) -> Self {
        Self { stream, announced: 0, ended: false, passed: 0 }
    }

    /// Bytes so far.
    pub(crate) fn passed(&self) -> u64 {
        self.passed
    }

    /// Whether anything was taken from the source, or looked at.
    pub(crate) fn has_begun(&self) -> bool {
        self.passed > 0 || self.announced > 0 || self.ended
    }

    /// Whether the receiver wants no more.
    pub(crate) fn poll_refused(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.ended { Poll::Pending } else { self.stream.poll_reset(cx).map(drop) }
    }

    /// Ends it before its end.
    pub(crate) fn reset(&mut self, reason: Reason) {
        self.stream.send_reset(reason);
    }

    /// How much the receiver takes at the moment; more than nothing.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        loop {
            let room = self.stream.capacity();
            if room > 0 {
                return Poll::Ready(Some(room));
            }
            self.stream.reserve_capacity(self.announced);
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(None),
            }
        }
    }

    fn end(&mut self, source: &impl Source) -> Result<(), h2::Error> {
        self.ended = true;
        match trailers(source) {
            Some(trailers) => self.stream.send_trailers(trailers),
            None => self.stream.send_data(Bytes::new(), true),
        }
    }
}

impl BodyWriter for FrameOutlet {
    fn poll_pass<S: Source>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
    ) -> Poll<Result<(), Failure<S::Error>>> {
        if self.poll_refused(cx).is_ready() {
            return Poll::Ready(Err(Failure::Write));
        }
        while !self.ended {
            if self.announced == 0 {
                if !ready!(source.poll_data(cx)).map_err(Failure::Source)? {
                    return Poll::Ready(self.end(source).map_err(|_| Failure::Write));
                }
                self.announced = source.data().len();
                self.stream.reserve_capacity(self.announced);
            }
            let Some(room) = ready!(self.poll_room(cx)) else { return Poll::Ready(Err(Failure::Write)) };
            let piece = source.take(room.min(self.announced));
            self.announced -= piece.len();
            self.passed += piece.len() as u64;
            self.ended = self.announced == 0 && source.is_last();
            self.stream.send_data(piece, self.ended).map_err(|_| Failure::Write)?;
        }
        Poll::Ready(Ok(()))
    }
}

/// What may be said behind a body, where something is.
fn trailers(source: &impl Source) -> Option<HeaderMap> {
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
