//! Who waits for an answer, as the one sees it who looks for it.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use convoy_hygiene::Field;

use crate::outlet::{BodyWriter, Failure};
use crate::reason::Reason;
use crate::source::Source;
use crate::transfer::Transfer;

/// A client of either version of HTTP.
pub(crate) trait Asker {
    /// Whether it has left.
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Whether it has heard all that it was told before its answer. An error when it can't be told any more.
    fn poll_told(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Passes the body of its request on, until the target has all of it.
    fn poll_request(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut impl BodyWriter,
    ) -> Poll<Result<(), Failure<Reason>>>;

    /// Passes the body of the answer on, whose head it has, until it has all of it.
    fn poll_answer<S: Source>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut S,
    ) -> Poll<Result<(), Failure<S::Error>>>;

    /// Bytes of the answer's body that it got so far.
    fn passed(&self) -> u64;

    /// Somebody listens: it may send its body.
    fn invite(&mut self);

    /// An interim answer (RFC 9110, section 15.2): status, reason and fields.
    fn interim<'a>(&mut self, status: u16, reason: &str, fields: impl Iterator<Item = Field<'a>> + Clone);
}

/// A request's body within its limits.
struct Limited<'a, S> {
    source: S,
    /// None where there is no body.
    transfer: Option<&'a Transfer>,
}

impl<S: Source> Source for Limited<'_, S> {
    type Error = Reason;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Reason>> {
        let polled = self.source.poll_data(cx);
        let Some(transfer) = self.transfer else { return polled.map_err(|_| Reason::ClientBody) };
        transfer.waits(polled.is_pending());
        polled.map(|outcome| match outcome {
            Ok(true) => transfer.came(self.source.data().len()).map(|()| true),
            Ok(false) => Ok(false),
            Err(_) => Err(transfer.broken()),
        })
    }

    fn data(&self) -> &[u8] {
        self.source.data()
    }

    fn consume(&mut self, count: usize) {
        self.source.consume(count);
    }

    fn take(&mut self, count: usize) -> Bytes {
        self.source.take(count)
    }

    fn is_last(&self) -> bool {
        self.source.is_last()
    }

    fn each_trailer(&self, with: &mut dyn FnMut(&str, &[u8])) {
        self.source.each_trailer(with);
    }
}

/// Passes a request's body on, within its limits, until the target has all of it.
pub(crate) fn poll_body(
    cx: &mut Context<'_>,
    to: &mut impl BodyWriter,
    source: impl Source,
    transfer: Option<&Transfer>,
) -> Poll<Result<(), Failure<Reason>>> {
    let passed = ready!(to.poll_pass(cx, &mut Limited { source, transfer }));
    if let Some(transfer) = transfer {
        match passed {
            Ok(()) => transfer.complete(),
            // Nobody waits for the rest.
            Err(_) => transfer.waits(false),
        }
    }
    Poll::Ready(passed)
}
