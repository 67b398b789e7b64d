//! Leader election: a key that exists as long as somebody leads.
//!
//! A candidate follows the key. When it is gone, the candidate takes a lease and creates the key under it, if it is
//! still absent: the store decides who was first. The leader keeps its lease alive, which is no write; standbys hold no
//! lease at all, so that they cost nothing.
//!
//! Two candidates never lead at the same time by their own clocks: a leader without an answered keep-alive steps down
//! before its lease can have expired. Clocks may stop all the same (a process that is paused, a machine that sleeps), so
//! every write of a leader carries [`Leadership::guard`], and the store refuses it when the leadership is gone.

mod candidate;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, task::JoinHandle, time::Instant};

use crate::{Compare, Entry, LeaseSettings, Revision, Store, StoreError, ownership::release_lease};
use candidate::Candidate;

/// What a candidate writes into the key: made anew for each attempt.
pub(crate) type Value = Box<dyn Fn() -> Vec<u8> + Send + Sync>;

/// How a candidate stands.
#[derive(Debug, Clone)]
pub enum ElectionStatus {
    /// Nobody is known to lead.
    Vacant {
        /// What stands in the way of an election, if anything does.
        error: Option<String>,
    },
    /// Somebody else leads.
    Follows {
        /// The key as it was read last.
        leader: Entry,
        /// Why the store can't be asked whether that still holds.
        stale: Option<String>,
    },
    /// This candidate leads.
    Leads(Leadership),
}

/// The right to write as the leader. Cheap to clone; all clones end together.
#[derive(Debug, Clone)]
pub struct Leadership {
    key: Arc<str>,
    lease: i64,
    since: Revision,
    good_until: watch::Receiver<Instant>,
}

impl Leadership {
    /// Holds in the store exactly as long as this leadership does. Every write of the leader carries it.
    pub fn guard(&self) -> Compare {
        Compare::Lease { key: self.key.as_ref().to_owned(), lease: self.lease }
    }

    /// The lease, for keys that shall end with the leadership.
    pub fn lease(&self) -> i64 {
        self.lease
    }

    /// The revision at which it began.
    pub fn since(&self) -> Revision {
        self.since
    }

    /// Whether it certainly holds at this moment, by the monotonic clock. To be asked right before acting.
    pub fn holds(&self) -> bool {
        Instant::now() < *self.good_until.borrow()
    }
}

/// A candidate, made by [`Store::campaign`]. Its work goes on in a task of its own. When it is dropped that ends, and a
/// leadership runs out; [`Election::resign`] ends it at once.
pub struct Election {
    store: Store,
    status: watch::Receiver<ElectionStatus>,
    /// The present lease, or one that is being asked for; 0 is none.
    lease: Arc<AtomicI64>,
    yields: watch::Sender<i64>,
    task: JoinHandle<()>,
}

impl fmt::Debug for Election {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Election").field("status", &*self.status.borrow()).finish_non_exhaustive()
    }
}

impl Store {
    /// Takes part in the election for a key, from now on and after every leadership again. `value` is what the key
    /// says while this candidate leads. Needs a tokio runtime.
    pub fn campaign(
        &self,
        key: &str,
        settings: LeaseSettings,
        value: impl Fn() -> Vec<u8> + Send + Sync + 'static,
    ) -> Election {
        let (report, status) = watch::channel(ElectionStatus::Vacant { error: None });
        let lease = Arc::new(AtomicI64::new(0));
        let (yields, yielded) = watch::channel(0);
        let candidate = Candidate::new(
            self.clone(),
            key.into(),
            settings,
            Box::new(value),
            report,
            Arc::clone(&lease),
            yielded,
        );
        let task = tokio::spawn(candidate.run());
        Election { store: self.clone(), status, lease, yields, task }
    }
}

impl Election {
    /// How things stand, now and from now on.
    pub fn status(&self) -> watch::Receiver<ElectionStatus> {
        self.status.clone()
    }

    /// Gives up this leadership, if it still holds, and takes part in the next election. For a leader that found its
    /// guard refused, or itself unable to lead.
    pub fn step_down(&self, leadership: &Leadership) {
        self.yields.send_replace(leadership.lease);
    }

    /// Ends the candidacy. A leadership ends at once, so that the next leader takes over within milliseconds. Tries
    /// again until `deadline` has passed; after that the time to live does it.
    pub async fn resign(mut self, deadline: Duration) -> Result<(), StoreError> {
        let deadline = Instant::now() + deadline;
        self.task.abort();
        // Its own end is what is waited for; that it was cancelled is no news.
        let _ = (&mut self.task).await;
        release_lease(&self.store, self.lease.load(Ordering::Acquire), deadline).await
    }
}

impl Drop for Election {
    fn drop(&mut self) {
        self.task.abort();
    }
}
