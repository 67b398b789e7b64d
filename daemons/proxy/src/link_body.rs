//! The body of an answer over HTTP/1.1, for a client that speaks HTTP/2.

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;

use crate::asker::Asker;
use crate::body::BodyError;
use crate::control::Verdict;
use crate::exchange::Exchange;
use crate::link::Link;
use crate::outlet::{Failure, Outlet};
use crate::serve_http2::Streaming;
use crate::source::Source;
use crate::turn::trailers;
use crate::worker::Worker;

#[derive(Debug)]
pub(crate) struct LinkBody {
    link: Option<Box<Link>>,
    /// What is still to be sent of the request.
    request: Option<(Outlet, Streaming)>,
    worker: Rc<Worker>,
    /// It ends with the answer.
    exchange: Option<Box<Exchange>>,
}

impl LinkBody {
    /// The head of the answer was taken off the link.
    pub(crate) fn new(exchange: Box<Exchange>, link: Box<Link>, outlet: Outlet, asker: Streaming) -> Self {
        let worker = Rc::clone(&exchange.client.worker);
        let request = exchange.body_is_incomplete().then_some((outlet, asker));
        Self { link: Some(link), request, worker, exchange: Some(exchange) }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.link.is_none()
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let (Some(link), Some(exchange)) = (&mut self.link, &mut self.exchange) else {
            return Poll::Ready(None);
        };
        exchange.control().register(cx.waker());
        if exchange.control().verdict() == Verdict::Cut {
            // Dropped as it is, it counts as one that the client let stall.
            self.exchange = None;
            return Poll::Ready(Some(Err(BodyError::Stalled)));
        }
        if let Some((outlet, asker)) = &mut self.request {
            match asker.poll_request(cx, outlet, &mut link.stream) {
                Poll::Ready(Err(Failure::Source(_))) => {
                    self.exchange = None;
                    return Poll::Ready(Some(Err(BodyError::BreaksOff)));
                }
                // Who has answered need not read the rest.
                Poll::Ready(Ok(()) | Err(Failure::Write)) => self.request = None,
                Poll::Pending => {}
            }
        }
        let mut source = link.source(&self.worker.buffers);
        match ready!(source.poll_data(cx)) {
            Ok(true) => {
                let data = Bytes::copy_from_slice(source.data());
                source.consume(data.len());
                exchange.passed(data.len() as u64);
                let is_last = source.is_last();
                link.inlet.rest(&self.worker.buffers);
                if is_last {
                    self.complete();
                }
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Ok(false) => {
                let trailers = trailers(&source);
                self.complete();
                Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
            }
            Err(_) => {
                self.link = None;
                if let Some(exchange) = self.exchange.take() {
                    exchange.broke_off();
                }
                Poll::Ready(Some(Err(BodyError::BreaksOff)))
            }
        }
    }

    fn complete(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            exchange.complete(self.link.take());
        }
    }
}
