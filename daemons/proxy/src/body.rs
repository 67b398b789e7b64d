//! Bodies on their way through.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use convoy_hygiene::clean_trailers;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::control::{Control, Verdict};
use crate::exchange::Exchange;
use crate::reason::Reason;

/// Why a body ends before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The one who sends it broke off.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
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
        Ok(mut trailers) => {
            clean_trailers(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

/// What became of a request's body, for the one who waits for the answer.
#[derive(Debug)]
pub(crate) struct Transfer {
    control: Arc<Control>,
    /// The target has all of it.
    pub(crate) complete: Cell<bool>,
    /// The client broke off or sent something malformed.
    broken: Cell<bool>,
    /// More came than is allowed.
    too_large: Cell<bool>,
    /// Bytes that may still come.
    left: Cell<u64>,
}

impl Transfer {
    /// Whether it is the client's fault that the request was not answered.
    pub(crate) fn outcome(&self) -> Result<(), Reason> {
        if self.too_large.get() {
            Err(Reason::TooLarge)
        } else if self.broken.get() {
            Err(Reason::ClientBody)
        } else {
            Ok(())
        }
    }
}

/// A request's body, from the client to the target.
#[derive(Debug)]
pub(crate) enum RequestBody {
    /// None.
    Empty,
    /// As it comes.
    Stream(Incoming, Rc<Transfer>),
}

impl RequestBody {
    /// At most `limit` bytes of it.
    pub(crate) fn new(
        body: Incoming,
        control: &Arc<Control>,
        limit: Option<u64>,
    ) -> (Self, Option<Rc<Transfer>>) {
        if body.is_end_stream() {
            return (Self::Empty, None);
        }
        let transfer = Rc::new(Transfer {
            control: Arc::clone(control),
            complete: Cell::new(false),
            broken: Cell::new(false),
            too_large: Cell::new(false),
            left: Cell::new(limit.unwrap_or(u64::MAX)),
        });
        (Self::Stream(body, Rc::clone(&transfer)), Some(transfer))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self::Stream(body, transfer) = self.get_mut() else { return Poll::Ready(None) };
        let polled = Pin::new(&mut *body).poll_frame(cx);
        let Poll::Ready(frame) = polled else {
            transfer.control.set_waits_for_client(true);
            return Poll::Pending;
        };
        transfer.control.set_waits_for_client(false);
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                let size = frame.data_ref().map_or(0, Bytes::len) as u64;
                if let Some(left) = transfer.left.get().checked_sub(size) {
                    transfer.left.set(left);
                    transfer.complete.set(body.is_end_stream());
                    Some(Ok(clean(frame)))
                } else {
                    transfer.too_large.set(true);
                    Some(Err(BodyError::TooLarge))
                }
            }
            Some(Err(error)) => {
                transfer.broken.set(true);
                Some(Err(error.into()))
            }
            None => {
                transfer.complete.set(true);
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Stream(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Stream(body, _) => body.size_hint(),
        }
    }
}

/// An answer's body, from the target or from ourselves to the client.
#[derive(Debug)]
pub(crate) enum AnswerBody {
    /// None.
    Empty,
    /// Our own words.
    Full(Option<Bytes>),
    /// As it comes from the target; the exchange ends with it.
    Stream(Incoming, Option<Box<Exchange>>),
}

impl AnswerBody {
    /// The exchange is over, well or not.
    fn finish(exchange: &mut Option<Box<Exchange>>, complete: bool) {
        if let Some(exchange) = exchange.take() {
            if complete { exchange.complete() } else { exchange.broke_off() }
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
            Self::Stream(body, exchange) => (body, exchange),
        };
        if let Some(running) = exchange
            && running.has_own_control()
        {
            running.control().register(cx.waker());
            if running.control().verdict() == Verdict::Cut {
                // Dropped as it is, it counts as one that the client let stall.
                *exchange = None;
                return Poll::Ready(Some(Err(BodyError::Stalled)));
            }
        }
        if let Some(running) = exchange {
            running.drive(cx);
        }
        match std::task::ready!(Pin::new(&mut *body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                if let Some(exchange) = exchange {
                    exchange.passed(frame.data_ref().map_or(0, Bytes::len));
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
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Stream(body, _) => body.size_hint(),
        }
    }
}
