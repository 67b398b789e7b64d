//! An answer on its way to a client.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::asker::Asker;
use crate::buffer::Buffers;
use crate::control::{Phase, Verdict};
use crate::exchange::Exchange;
use crate::frames::{FrameOutlet, Frames};
use crate::link::Link;
use crate::outlet::{Failure, Outlet, OutletTo};
use crate::reason::Reason;

/// The target's side of it.
pub(crate) trait Behind {
    /// Passes the answer's body on.
    fn poll_answer(&mut self, cx: &mut Context<'_>, asker: &mut impl Asker) -> Poll<Ended>;

    /// Passes the rest of the request on.
    fn poll_request(&mut self, cx: &mut Context<'_>, asker: &mut impl Asker) -> Poll<Result<(), Reason>>;

    /// The connection, where it may be used again.
    fn into_link(self) -> Option<Box<Link>>;
}

/// How it ended that an answer was passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Complete {
        /// Before the request was there in full.
        is_early: bool,
    },
    /// The target broke off.
    BrokeOff,
    /// The client did, or its time is over.
    Cut,
}

impl Ended {
    fn of<E>(outcome: &Result<(), Failure<E>>) -> Self {
        match outcome {
            Ok(()) => Self::Complete { is_early: false },
            Err(Failure::Source(_)) => Self::BrokeOff,
            Err(Failure::Write) => Self::Cut,
        }
    }
}

/// Who has answered need not read the rest.
fn rest_of_request(outcome: &Result<(), Failure<Reason>>) -> Result<(), Reason> {
    match outcome {
        Ok(()) | Err(Failure::Write) => Ok(()),
        Err(Failure::Source(reason)) => Err(*reason),
    }
}

/// A target that speaks HTTP/1.1.
pub(crate) struct ByLink<'a> {
    pub(crate) link: Box<Link>,
    pub(crate) request: &'a mut Outlet,
    pub(crate) buffers: &'a Buffers,
}

impl Behind for ByLink<'_> {
    fn poll_answer(&mut self, cx: &mut Context<'_>, asker: &mut impl Asker) -> Poll<Ended> {
        asker.poll_answer(cx, &mut self.link.source(self.buffers)).map(|outcome| Ended::of(&outcome))
    }

    fn poll_request(&mut self, cx: &mut Context<'_>, asker: &mut impl Asker) -> Poll<Result<(), Reason>> {
        let mut to = OutletTo { outlet: self.request, io: &mut self.link.stream };
        asker.poll_request(cx, &mut to).map(|outcome| rest_of_request(&outcome))
    }

    fn into_link(self) -> Option<Box<Link>> {
        Some(self.link)
    }
}

/// A target that speaks HTTP/2.
pub(crate) struct ByFrames<'a> {
    pub(crate) answer: Frames,
    pub(crate) request: Option<&'a mut FrameOutlet>,
}

impl Behind for ByFrames<'_> {
    fn poll_answer(&mut self, cx: &mut Context<'_>, asker: &mut impl Asker) -> Poll<Ended> {
        asker.poll_answer(cx, &mut self.answer).map(|outcome| Ended::of(&outcome))
    }

    fn poll_request(&mut self, cx: &mut Context<'_>, asker: &mut impl Asker) -> Poll<Result<(), Reason>> {
        let Some(request) = self.request.as_deref_mut() else { return Poll::Ready(Ok(())) };
        asker.poll_request(cx, request).map(|outcome| rest_of_request(&outcome))
    }

    fn into_link(self) -> Option<Box<Link>> {
        None
    }
}

/// Passes an answer on whose head the client gets.
pub(crate) async fn pass_on(
    mut exchange: Box<Exchange>,
    asker: &mut impl Asker,
    mut behind: impl Behind,
) -> Ended {
    let control = Rc::clone(exchange.control());
    control.enter(Phase::Answer);
    let mut is_sent = !exchange.body_is_incomplete();
    let ended = poll_fn(|cx| {
        control.register(cx.waker());
        if control.verdict() == Verdict::Cut {
            return Poll::Ready(Ended::Cut);
        }
        let before = asker.passed();
        let polled = behind.poll_answer(cx, asker);
        let passed = asker.passed() - before;
        if passed > 0 {
            exchange.passed(passed);
        }
        if polled.is_ready() {
            return polled;
        }
        if !is_sent {
            match behind.poll_request(cx, asker) {
                Poll::Ready(Err(_)) => return Poll::Ready(Ended::Cut),
                Poll::Ready(Ok(())) => is_sent = true,
                Poll::Pending => return Poll::Pending,
            }
        }
        asker.poll_left(cx).map(|()| Ended::Cut)
    })
    .await;
    match ended {
        Ended::Complete { .. } => {
            let is_early = exchange.body_is_incomplete();
            exchange.complete(behind.into_link());
            Ended::Complete { is_early }
        }
        Ended::BrokeOff => {
            exchange.broke_off();
            ended
        }
        Ended::Cut => ended,
    }
}
