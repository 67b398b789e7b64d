//! A body on its way from one task to another.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::Frame;

use crate::body::BodyError;

/// One piece of a body on its way from a task that reads it to one that writes it.
#[derive(Debug, Default)]
pub(crate) struct Handoff {
    piece: RefCell<Option<Result<Frame<Bytes>, BodyError>>>,
    over: Cell<bool>,
    giver: RefCell<Option<Waker>>,
    taker: RefCell<Option<Waker>>,
}

impl Handoff {
    /// Whether there is room for a piece.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.piece.borrow().is_none() {
            return Poll::Ready(());
        }
        *self.giver.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(crate) fn give(&self, piece: Result<Frame<Bytes>, BodyError>) {
        *self.piece.borrow_mut() = Some(piece);
        wake(&self.taker);
    }

    /// Nothing more comes.
    pub(crate) fn end(&self) {
        self.over.set(true);
        wake(&self.taker);
    }

    pub(crate) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(piece) = self.piece.borrow_mut().take() {
            wake(&self.giver);
            return Poll::Ready(Some(piece));
        }
        if self.over.get() {
            return Poll::Ready(None);
        }
        *self.taker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.get() && self.piece.borrow().is_none()
    }
}

fn wake(waker: &RefCell<Option<Waker>>) {
    if let Some(waker) = waker.borrow_mut().take() {
        waker.wake();
    }
}
