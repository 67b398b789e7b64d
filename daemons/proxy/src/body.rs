//! Bodies on their way through.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::control::Control;
use crate::exchange::Exchange;

/// What became of a request's body, for the one who waits for the answer.
#[derive(Debug)]
pub(crate) struct Transfer {
    control: Arc<Control>,
    /// The target has all of it.
    pub(crate) complete: Cell<bool>,
    /// The client broke off or sent something malformed.
    pub(crate) broken: Cell<bool>,
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
    pub(crate) fn new(body: Incoming, control: &Arc<Control>) -> (Self, Option<Rc<Transfer>>) {
        if body.is_end_stream() {
            return (Self::Empty, None);
        }
        let transfer = Rc::new(Transfer {
            control: Arc::clone(control),
            complete: Cell::new(false),
            broken: Cell::new(false),
        });
        (Self::Stream(body, Rc::clone(&transfer)), Some(transfer))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self::Stream(body, transfer) = self.get_mut() else { return Poll::Ready(None) };
        let polled = Pin::new(&mut *body).poll_frame(cx);
        match &polled {
            Poll::Pending => transfer.control.set_waits_for_client(true),
            Poll::Ready(frame) => {
                transfer.control.set_waits_for_client(false);
                match frame {
                    Some(Ok(_)) => transfer.complete.set(body.is_end_stream()),
                    Some(Err(_)) => transfer.broken.set(true),
                    None => transfer.complete.set(true),
                }
            }
        }
        polled
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

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(body, exchange) => {
                let polled = Pin::new(&mut *body).poll_frame(cx);
                match &polled {
                    Poll::Pending => {}
                    Poll::Ready(Some(Ok(frame))) => {
                        if let Some(exchange) = exchange {
                            exchange.passed(frame.data_ref().map_or(0, Bytes::len));
                        }
                        if body.is_end_stream()
                            && let Some(exchange) = exchange.take()
                        {
                            exchange.complete();
                        }
                    }
                    Poll::Ready(Some(Err(_))) => {
                        if let Some(exchange) = exchange.take() {
                            exchange.broke_off();
                        }
                    }
                    Poll::Ready(None) => {
                        if let Some(exchange) = exchange.take() {
                            exchange.complete();
                        }
                    }
                }
                polled
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
