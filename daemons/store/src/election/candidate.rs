//! The work behind an election: wait for a vacancy, claim, lead, and over again.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use convoy_retry::Backoff;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use super::{ElectionStatus, Leadership, Value};
use crate::{
    Answer, Change, Compare, Entry, ErrorKind, Feed, FeedEvent, LeaseSettings, Mirror, Operation, Revision,
    Store, StoreError, Transaction,
    ownership::{lease_name, schedule::Schedule},
};

/// Bounds of the wait after an attempt that the store did not answer.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

pub(super) struct Candidate {
    store: Store,
    key: Arc<str>,
    settings: LeaseSettings,
    value: Value,
    status: watch::Sender<ElectionStatus>,
    /// The lease's number, for whoever has to revoke it.
    shared: Arc<AtomicI64>,
    /// The lease of a leadership that is to be given up.
    yields: watch::Receiver<i64>,
    feed: Feed,
    mirror: Mirror,
}

/// A leadership that was won.
struct Term {
    lease: i64,
    schedule: Schedule,
    since: Revision,
}

impl Candidate {
    pub(super) fn new(
        store: Store,
        key: Arc<str>,
        settings: LeaseSettings,
        value: Value,
        status: watch::Sender<ElectionStatus>,
        shared: Arc<AtomicI64>,
        yields: watch::Receiver<i64>,
    ) -> Self {
        let feed = store.follow(&[&key]);
        Self { store, key, settings, value, status, shared, yields, feed, mirror: Mirror::new() }
    }

    /// Runs until the election is dropped.
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        loop {
            self.until_vacant().await;
            match self.claim().await {
                Ok(Some(term)) => {
                    backoff.reset();
                    let reason = self.lead(term).await;
                    tracing::debug!(key = &*self.key, reason, "Stopped leading.");
                    self.status.send_replace(ElectionStatus::Vacant { error: Some(reason) });
                }
                // Somebody was faster.
                Ok(None) => backoff.reset(),
                Err(error) => {
                    self.status.send_replace(ElectionStatus::Vacant { error: Some(error.to_string()) });
                    sleep(backoff.next()).await;
                }
            }
        }
    }

    /// Follows the key until nobody has it, for all that is known.
    async fn until_vacant(&mut self) {
        loop {
            if let Some(leader) = self.mirror.get(&self.key) {
                let leader = leader.clone();
                let stale = match &*self.status.borrow() {
                    ElectionStatus::Follows { stale, .. } if self.mirror.is_stale() => stale.clone(),
                    _ => None,
                };
                self.status.send_if_modified(|told| {
                    let next = ElectionStatus::Follows { leader, stale };
                    let news = !same(told, &next);
                    *told = next;
                    news
                });
            } else if self.mirror.has_listed() && !self.mirror.is_stale() {
                return;
            }
            let event = self.feed.next().await;
            if let FeedEvent::Stale { error } = &event {
                self.status.send_modify(|told| match told {
                    ElectionStatus::Follows { stale, .. } => *stale = Some(error.clone()),
                    ElectionStatus::Vacant { error: told } => *told = Some(error.clone()),
                    ElectionStatus::Leads(_) => {}
                });
            }
            self.mirror.apply(&event);
        }
    }

    /// Takes a lease and creates the key under it. `None` if somebody else has it.
    async fn claim(&mut self) -> Result<Option<Term>, StoreError> {
        let lease = fastrand::i64(1..i64::MAX);
        self.shared.store(lease, Ordering::Release);
        let outcome = self.create(lease).await;
        if !matches!(outcome, Ok(Some(_))) {
            // Whatever became of the request: without its lease the key is not there.
            self.abandon(lease);
        }
        outcome
    }

    async fn create(&mut self, lease: i64) -> Result<Option<Term>, StoreError> {
        let sent = Instant::now();
        let granted = self.store.grant(lease, self.settings.ttl).await?;
        let jitter = fastrand::f64() * 2.0 - 1.0;
        let schedule = Schedule::granted(granted.ttl, self.settings.margin, sent, Instant::now(), jitter);
        let key = self.key.as_ref();
        let transaction = Transaction::new()
            .when(Compare::Absent { key: key.to_owned() })
            .put_leased(key, (self.value)(), lease)
            .otherwise(Operation::Get { key: key.to_owned() });
        let late = |_| {
            let detail = "no answer before the lease could have run out";
            StoreError::new(ErrorKind::Deadline, "claim", key, detail).uncertain(true)
        };
        let outcome =
            timeout_at(schedule.deadline(), self.store.commit(transaction)).await.map_err(late)??;
        if outcome.succeeded {
            return Ok(Some(Term { lease, schedule, since: outcome.revision }));
        }
        // The feed tells of it too, but later.
        let found = outcome.answers.into_iter().filter_map(|answer| match answer {
            Answer::Entries(entries) => Some(entries.into_values()),
            Answer::Put(_) | Answer::Deleted(_) => None,
        });
        let changes = found.flatten().map(Change::Put).collect();
        self.mirror.apply(&FeedEvent::Changed { revision: outcome.revision, changes });
        Ok(None)
    }

    /// Leads until that ends, and tells why it did.
    async fn lead(&mut self, mut term: Term) -> String {
        let (good_until, receiver) = watch::channel(term.schedule.deadline());
        let mut yields = self.yields.clone();
        self.status.send_replace(ElectionStatus::Leads(Leadership {
            key: Arc::clone(&self.key),
            lease: term.lease,
            since: term.since,
            good_until: receiver,
        }));
        let store = self.store.clone();
        let mut beats = Backoff::new(Duration::from_millis(200), term.schedule.longest_wait());
        let reason = loop {
            let due = term.schedule.beat();
            let mut beat = pin!(async {
                sleep_until(due).await;
                let sent = Instant::now();
                (sent, store.keep_alive(term.lease).await)
            });
            let (sent, answer) = loop {
                tokio::select! {
                    biased;
                    () = sleep_until(term.schedule.deadline()) => break (Instant::now(), None),
                    Ok(_) = yields.wait_for(|lease| *lease == term.lease) => break (Instant::now(), Some(Err(stepped_down(&self.key)))),
                    (sent, answer) = &mut beat => break (sent, Some(answer)),
                    event = self.feed.next() => {
                        self.mirror.apply(&event);
                        if let Some(error) = overthrown(&event, &self.key, &term) {
                            break (Instant::now(), Some(Err(error)));
                        }
                    }
                }
            };
            let now = Instant::now();
            match answer {
                // Whether the answer came too late is for the clock to say, not for the order of events.
                _ if now >= term.schedule.deadline() => {
                    break format!("no keep-alive of {} was answered in time", lease_name(term.lease));
                }
                Some(Ok(())) => {
                    beats.reset();
                    term.schedule.answered(sent, now, fastrand::f64() * 2.0 - 1.0);
                    good_until.send_replace(term.schedule.deadline());
                }
                Some(Err(error)) if is_end(error.kind()) => break error.to_string(),
                Some(Err(_)) | None => term.schedule.failed(now, beats.next()),
            }
        };
        good_until.send_replace(Instant::now());
        // The key may be ours still, in the store or in the mirror; its end is what the next election waits for.
        self.abandon(term.lease);
        reason
    }

    /// Ends a lease that is of no use, without waiting for the answer.
    fn abandon(&self, lease: i64) {
        self.shared.store(0, Ordering::Release);
        let store = self.store.clone();
        tokio::spawn(async move {
            if let Err(error) = store.revoke(lease).await {
                tracing::debug!(%error, "A lease is left to its time to live.");
            }
        });
    }
}

/// Errors that end a leadership at once.
fn is_end(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::LeaseLost | ErrorKind::Replaced | ErrorKind::Closed)
}

fn stepped_down(key: &str) -> StoreError {
    StoreError::new(ErrorKind::Closed, "lead", key, "it stepped down")
}

/// What the feed tells that ends a leadership: the key was removed, or is somebody else's.
fn overthrown(event: &FeedEvent, key: &str, term: &Term) -> Option<StoreError> {
    let error = |detail: &str| Some(StoreError::new(ErrorKind::Replaced, "lead", key, detail));
    let other = |entry: &Entry| entry.lease != term.lease && entry.mod_revision > term.since;
    match event {
        FeedEvent::Listed(snapshot) if snapshot.revision >= term.since => match snapshot.entries.get(key) {
            None => error("the key was removed"),
            Some(entry) if other(entry) => error("somebody else has the key"),
            Some(_) => None,
        },
        FeedEvent::Changed { changes, .. } => changes.iter().find_map(|change| match change {
            Change::Delete { key: gone, mod_revision } if gone == key && *mod_revision > term.since => {
                error("the key was removed")
            }
            Change::Put(entry) if entry.key == key && other(entry) => error("somebody else has the key"),
            _ => None,
        }),
        _ => None,
    }
}

fn same(a: &ElectionStatus, b: &ElectionStatus) -> bool {
    match (a, b) {
        (
            ElectionStatus::Follows { leader: a, stale: x },
            ElectionStatus::Follows { leader: b, stale: y },
        ) => a == b && x == y,
        _ => false,
    }
}
