//! What becomes of a request's body.

use std::cell::Cell;
use std::rc::Rc;

use crate::control::Control;
use crate::reason::Reason;

/// What became of a request's body, for the one who waits for the answer.
#[derive(Debug)]
pub(crate) struct Transfer {
    control: Rc<Control>,
    /// The target has all of it.
    complete: Cell<bool>,
    /// What was wrong with it.
    fault: Cell<Option<Reason>>,
    /// Bytes that may still come.
    left: Cell<u64>,
}

impl Transfer {
    /// At most `limit` bytes.
    pub(crate) fn new(control: &Rc<Control>, limit: Option<u64>) -> Rc<Self> {
        Rc::new(Self {
            control: Rc::clone(control),
            complete: Cell::new(false),
            fault: Cell::new(None),
            left: Cell::new(limit.unwrap_or(u64::MAX)),
        })
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.complete.get()
    }

    pub(crate) fn complete(&self) {
        self.complete.set(true);
    }

    /// The client broke off or sent something malformed.
    pub(crate) fn broken(&self) -> Reason {
        self.fault.set(Some(Reason::ClientBody));
        Reason::ClientBody
    }

    /// So much more came; an error when it is more than is allowed.
    pub(crate) fn came(&self, count: usize) -> Result<(), Reason> {
        if let Some(left) = self.left.get().checked_sub(count as u64) {
            self.left.set(left);
            Ok(())
        } else {
            self.fault.set(Some(Reason::TooLarge));
            Err(Reason::TooLarge)
        }
    }

    /// Whether it is awaited from the client.
    pub(crate) fn waits(&self, waits: bool) {
        self.control.set_waits_for_client(waits);
    }

    /// Whether it is the client's fault that the request was not answered.
    pub(crate) fn outcome(&self) -> Result<(), Reason> {
        self.fault.get().map_or(Ok(()), Err)
    }
}
