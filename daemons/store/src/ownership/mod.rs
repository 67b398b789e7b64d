//! Ownership: keys that live as long as their owner does.
//!
//! One lease per owner, kept alive at a third of its time to live. Keep-alives are no writes: while nothing changes
//! the store's revision stands still. The newest owner of a key wins; an older one that finds its key taken lets it
//! go and says so.

mod keeper;
pub(crate) mod schedule;
mod standing;
#[cfg(test)]
mod standing_tests;
mod status;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use convoy_retry::Backoff;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout_at},
};

use crate::{ErrorKind, Revision, Store, StoreError};
use keeper::Keeper;
pub(crate) use status::lease_name;
pub use status::{Answered, OwnershipStatus};

/// How a lease is to be held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseSettings {
    /// How long the keys outlive an owner that died, in whole seconds. etcd raises it to 1.5 times its election
    /// timeout (2 s by default).
    pub ttl: Duration,
    /// How long before the end of the time to live an owner without an answer has to take its keys for lost.
    /// `None` is a tenth of the time to live, at least half a second and at most five.
    pub margin: Option<Duration>,
}

impl LeaseSettings {
    /// Settings with that time to live.
    pub fn new(ttl: Duration) -> Self {
        Self { ttl, margin: None }
    }
}

impl Default for LeaseSettings {
    /// 30 s: the TTL the tutorials of 2014 used with a heartbeat of 20 s.
    fn default() -> Self {
        Self::new(Duration::from_secs(30))
    }
}

/// What an owner wants to have in the store.
#[derive(Debug, Clone, Default)]
struct Declared {
    generation: u64,
    keys: Arc<BTreeMap<String, Vec<u8>>>,
}

/// What became of it: the last declaration that was dealt with.
#[derive(Debug, Clone)]
struct Applied {
    generation: u64,
    result: Result<Revision, StoreError>,
}

/// A lease and the keys under it, made by [`Store::own`]. Its work goes on in a task of its own. When it is dropped
/// that ends, and the lease runs out; [`Ownership::release`] ends it at once.
#[derive(Debug)]
pub struct Ownership {
    store: Store,
    declared: watch::Sender<Declared>,
    applied: watch::Receiver<Applied>,
    status: watch::Receiver<OwnershipStatus>,
    answered: watch::Receiver<Option<Answered>>,
    /// The present lease, or one that is being asked for; 0 is none.
    lease: Arc<AtomicI64>,
    task: JoinHandle<()>,
}

impl Ownership {
    pub(crate) fn start(store: Store, settings: LeaseSettings) -> Self {
        let (declared, wishes) = watch::channel(Declared::default());
        let (report, status) = watch::channel(OwnershipStatus::Pending { error: None });
        let unapplied =
            StoreError::new(ErrorKind::Closed, "declare", "keys", "nothing was put into the store yet");
        let (done, applied) = watch::channel(Applied { generation: 0, result: Err(unapplied) });
        let lease = Arc::new(AtomicI64::new(0));
        let (heard, answered) = watch::channel(None);
        let keeper = Keeper::new(store.clone(), settings, wishes, report, done, heard, Arc::clone(&lease));
        let task = tokio::spawn(keeper.run());
        Self { store, declared, applied, status, answered, lease, task }
    }

    /// Says what shall be in the store under this lease, in place of what was said before. The difference is put
    /// there in one transaction, or where it is too large for one (more than 120 keys), in several, in the order of
    /// the keys. No keys remove the old ones and keep the lease.
    ///
    /// A key that a newer owner took is not fought over: to announce it again, leave it out once.
    pub fn declare(&self, keys: BTreeMap<String, Vec<u8>>) {
        self.declared.send_modify(|declared| {
            declared.generation += 1;
            declared.keys = Arc::new(keys);
        });
    }

    /// How things stand, now and from now on.
    pub fn status(&self) -> watch::Receiver<OwnershipStatus> {
        self.status.clone()
    }

    /// When the last grant or keep-alive that was answered had been sent, now and from now on; none while there is no
    /// lease. For those who have to stop before anybody else may take the keys for gone.
    pub fn answered(&self) -> watch::Receiver<Option<Answered>> {
        self.answered.clone()
    }

    /// Waits until the last declared set is in the store, however long that takes. Gives the revision at which it
    /// was; or an error where waiting doesn't help: a newer owner has one of the keys ([`ErrorKind::Replaced`]), or
    /// the store refuses the set.
    pub async fn applied(&self) -> Result<Revision, StoreError> {
        let generation = self.declared.borrow().generation;
        let mut applied = self.applied.clone();
        let done = applied.wait_for(|applied| applied.generation >= generation.max(1)).await;
        match done {
            Ok(applied) => applied.result.clone(),
            Err(_) => Err(StoreError::new(ErrorKind::Closed, "declare", "keys", "the owner's task ended")),
        }
    }

    /// Ends the lease, and with it all its keys, in one revision. Tries again until `deadline` has passed; after
    /// that the time to live does it.
    pub async fn release(mut self, deadline: Duration) -> Result<(), StoreError> {
        let deadline = Instant::now() + deadline;
        self.task.abort();
        // Its own end is what is waited for; that it was cancelled is no news.
        let _ = (&mut self.task).await;
        release_lease(&self.store, self.lease.load(Ordering::Acquire), deadline).await
    }
}

impl Drop for Ownership {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Revokes a lease, 0 being none, again and again until the deadline.
pub(crate) async fn release_lease(store: &Store, lease: i64, deadline: Instant) -> Result<(), StoreError> {
    if lease == 0 {
        return Ok(());
    }
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(500));
    let mut failed =
        StoreError::new(ErrorKind::Deadline, "revoke", lease_name(lease), "no answer before the deadline");
    loop {
        match timeout_at(deadline, store.revoke(lease)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => failed = error,
            Err(_) => return Err(failed),
        }
        let wait = backoff.next();
        if Instant::now() + wait >= deadline {
            return Err(failed);
        }
        sleep(wait).await;
    }
}
