//! Bodies that hyper reads or writes: those of HTTP/2.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use convoy_hygiene::may_trail;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::control::Verdict;
use crate::exchange::Exchange;
use crate::handoff::Handoff;
use crate::link_body::LinkBody;
use crate::transfer::Transfer;

/// Why a body ends before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The one who sends it broke off.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
    /// So did one who speaks HTTP/1.
    #[error("the body breaks off")]
    BreaksOff,
    /// Larger than the route allows.
    #[error("the body is larger than its route allows")]
    TooLarge,
    /// It took too long.
    #[error("the body did not move for too long")]
    Stalled,
}

/// A frame with clean trailers.
fn clean(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(trailers) => Frame::trailers(cleaned(trailers)),
        Err(frame) => frame,
    }
}

fn cleaned(trailers: HeaderMap) -> HeaderMap {
    let mut name = None;
    let fields = trailers.into_iter().filter_map(|(next, value)| {
        // A name that several values have comes with the first of them.
        name = next.or_else(|| name.take());
        Some((name.clone()?, value))
    });
    fields.filter(|(name, _)| may_trail(name.as_str())).collect()
}

/// A request's body, for a target that speaks HTTP/2.
#[derive(Debug)]
pub(crate) enum RequestBody {
    /// None.
    Empty,
    /// From a client that speaks it, too.
    Stream(Incoming, Rc<Transfer>),
    /// From one that does not.
    Handed(Rc<Handoff>),
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let (body, transfer) = match self.get_mut() {
            Self::Empty => return Poll::Ready(None),
            Self::Handed(handoff) => return handoff.poll_take(cx),
            Self::Stream(body, transfer) => (body, transfer),
        };
        let polled = Pin::new(&mut *body).poll_frame(cx);
        transfer.waits(polled.is_pending());
        Poll::Ready(match ready!(polled) {
            Some(Ok(frame)) => match transfer.came(frame.data_ref().map_or(0, Bytes::len)) {
                Ok(()) => {
                    if body.is_end_stream() {
                        transfer.complete();
                    }
                    Some(Ok(clean(frame)))
                }
                Err(_) => Some(Err(BodyError::TooLarge)),
            },
            Some(Err(error)) => {
                transfer.broken();
                Some(Err(error.into()))
            }
            None => {
                transfer.complete();
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Stream(body, _) => body.is_end_stream(),
            Self::Handed(handoff) => handoff.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Stream(body, _) => body.size_hint(),
            Self::Handed(_) => SizeHint::default(),
        }
    }
}

/// An answer's body, for a client that speaks HTTP/2.
#[derive(Debug)]
pub(crate) enum AnswerBody {
    /// None.
    Empty,
    /// Our own words.
    Full(Option<Bytes>),
    /// From a target that speaks HTTP/2; the exchange ends with it.
    Stream(Incoming, Option<Box<Exchange>>),
    /// From one that speaks HTTP/1.1.
    Link(Box<LinkBody>),
}

impl AnswerBody {
    /// The exchange is over, well or not.
    fn finish(exchange: &mut Option<Box<Exchange>>, complete: bool) {
        if let Some(exchange) = exchange.take() {
            if complete { exchange.complete(None) } else { exchange.broke_off() }
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let (body, exchange) = match self.get_mut() {
            Self::Empty => return Poll::Ready(None),
            Self::Full(bytes) => return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Link(body) => return body.poll_frame(cx),
            Self::Stream(body, exchange) => (body, exchange),
        };
        if let Some(running) = exchange {
            running.control().register(cx.waker());
            if running.control().verdict() == Verdict::Cut {
                // Dropped as it is, it counts as one that the client let stall.
                *exchange = None;
                return Poll::Ready(Some(Err(BodyError::Stalled)));
            }
        }
        match ready!(Pin::new(&mut *body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                if let Some(exchange) = exchange {
                    exchange.passed(frame.data_ref().map_or(0, Bytes::len) as u64);
                }
                if body.is_end_stream() {
                    Self::finish(exchange, true);
                }
                Poll::Ready(Some(Ok(clean(frame))))
            }
            Some(Err(error)) => {
                Self::finish(exchange, false);
                Poll::Ready(Some(Err(error.into())))
            }
            None => {
                Self::finish(exchange, true);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_none(),
            Self::Stream(body, _) => body.is_end_stream(),
            Self::Link(body) => body.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Stream(body, _) => body.size_hint(),
            Self::Link(_) => SizeHint::default(),
        }
    }
}
