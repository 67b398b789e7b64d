//! Feeds: the state of some ranges of keys, then every change to it.

mod cautious;
mod message;
mod position;
mod silence;
mod supervisor;

use tokio::{sync::mpsc, task::JoinHandle};

use crate::{Change, KeyRange, Revision, Snapshot, Store};
pub use cautious::{CautiousFeed, OUTAGE_GRACE};
use supervisor::Supervisor;

/// Events that may wait for their reader. Above that etcd has to hold them back, which it does.
const WAITING_EVENTS: usize = 32;

/// What a feed tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedEvent {
    /// The whole state: first, and again after any doubt whether changes were missed (compaction, a watch that was
    /// cancelled, another cluster behind the endpoint, a store that went back in time).
    Listed(Snapshot),
    /// The changes of one answer, in the order in which they happened.
    Changed {
        /// The revision of the last of them.
        revision: Revision,
        /// What changed. With several ranges, a transaction that touches two of them comes as two events.
        changes: Vec<Change>,
    },
    /// The connection is lost. The last known state stays valid; the feed goes on trying. Told once per outage.
    Stale {
        /// What went wrong, for people.
        error: String,
    },
    /// In step: nothing was missed up to this revision. Told after an outage and, when nothing changes, about every
    /// ten seconds.
    Current {
        /// The revision of the last change told.
        revision: Revision,
    },
}

/// A feed, made by [`Store::follow`]. Its work goes on in a task of its own and ends when it is dropped.
#[derive(Debug)]
pub struct Feed {
    events: mpsc::Receiver<FeedEvent>,
    task: JoinHandle<()>,
}

impl Feed {
    pub(crate) fn start(store: Store, ranges: Vec<KeyRange>) -> Self {
        let (sender, events) = mpsc::channel(WAITING_EVENTS);
        let task = tokio::spawn(Supervisor::new(store, ranges, sender).run());
        Self { events, task }
    }

    /// Waits for the next event. Dropping the future loses nothing.
    pub async fn next(&mut self) -> FeedEvent {
        match self.events.recv().await {
            Some(event) => event,
            // Only when the runtime is being taken down.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.task.abort();
    }
}
