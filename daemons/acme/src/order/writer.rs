//! Writes of the edge that orders. Each one is refused once it leads no more.

use std::time::Duration;

use convoy_retry::Backoff;
use convoy_store::{ErrorKind, Leadership, Revision, Store, Transaction};
use tokio::time::sleep;

use super::failure::Failure;

/// Bounds of the wait after a write that the store did not answer.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Writes as long as a leadership holds.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    store: Store,
    leadership: Leadership,
}

impl Writer {
    pub(super) fn new(store: Store, leadership: Leadership) -> Self {
        Self { store, leadership }
    }

    /// Makes a transaction, whatever it takes, as long as this edge leads. Nobody else writes these keys meanwhile, so making
    /// it twice comes to the same.
    pub(super) async fn commit(&self, transaction: Transaction) -> Result<Revision, Failure> {
        let transaction = transaction.when(self.leadership.guard());
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        loop {
            if !self.leadership.holds() {
                return Err(Failure::Lost);
            }
            match self.store.commit(transaction.clone()).await {
                Ok(outcome) if outcome.succeeded => return Ok(outcome.revision),
                Ok(_) => return Err(Failure::Lost),
                Err(error) if is_outage(error.kind()) => sleep(backoff.next()).await,
                Err(error) => return Err(Failure::Unwritten(error.to_string())),
            }
        }
    }
}

fn is_outage(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Unreachable | ErrorKind::Deadline | ErrorKind::NoLeader | ErrorKind::Busy)
}
