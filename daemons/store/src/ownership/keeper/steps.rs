//! The steps: what is asked of the store, and what its answers change.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::Ordering,
    time::Duration,
};

use convoy_retry::Backoff;
use tokio::time::Instant;

use super::{Keeper, Lease, Step};
use crate::{
    Entry, ErrorKind, Outcome, StoreError,
    call::Repeat,
    ownership::{Answered, OwnershipStatus, lease_name, schedule::Schedule, standing, standing::LIMITS},
};

/// The answer to a request.
#[derive(Debug)]
pub(super) enum Reply {
    /// The keys that hang on the lease.
    Attached(BTreeSet<String>),
    /// What the keys hold.
    Found(BTreeMap<String, Entry>),
    /// What became of a plan.
    Synced(standing::Plan, Outcome),
}

impl Keeper {
    /// Asks for a lease under a number of our choice, so that asking again after a lost answer can't make two.
    pub(super) async fn grant(&mut self) -> Result<(), StoreError> {
        let mut id = self.shared.load(Ordering::Acquire);
        if id == 0 {
            id = fastrand::i64(1..i64::MAX);
            self.shared.store(id, Ordering::Release);
        }
        let sent = Instant::now();
        let grant = self.store.grant(id, self.settings.ttl).await?;
        let now = Instant::now();
        let mut schedule = Schedule::granted(grant.ttl, self.settings.margin, sent, now, jitter());
        if grant.fresh {
            self.heard.send_replace(Some(Answered {
                lease: id,
                sent,
                ttl: grant.ttl,
                margin: schedule.margin(),
            }));
        } else {
            // It began to run when an earlier request arrived.
            schedule.failed(now, Duration::ZERO);
        }
        self.beats = Backoff::new(Duration::from_millis(200), schedule.longest_wait());
        self.lease = Some(Lease { id, schedule });
        self.revision = grant.revision;
        self.shaken = None;
        self.written();
        Ok(())
    }

    pub(super) async fn beat(&mut self, mut lease: Lease) -> Result<(), StoreError> {
        let sent = Instant::now();
        self.store.keep_alive(lease.id).await?;
        lease.schedule.answered(sent, Instant::now(), jitter());
        let (ttl, margin) = (lease.schedule.ttl(), lease.schedule.margin());
        self.heard.send_replace(Some(Answered { lease: lease.id, sent, ttl, margin }));
        self.lease = Some(lease);
        self.beats.reset();
        self.shaken = None;
        self.inspect = true;
        Ok(())
    }

    /// The request of a step. It borrows nothing, so that the lease can be kept alive while it is under way.
    pub(super) fn request(
        &mut self,
        step: Step,
        lease: i64,
    ) -> impl Future<Output = Result<Reply, StoreError>> + Send + 'static {
        let store = self.store.clone();
        let readings = if step == Step::Survey { self.standings.readings(LIMITS) } else { Vec::new() };
        let plan = (step == Step::Sync).then(|| self.standings.plan(&self.declared.keys).first_part(LIMITS));
        if let Some(plan) = &plan {
            self.standings.begin(plan);
        }
        async move {
            if let Some(plan) = plan {
                // Made twice, the second fails its comparisons, and the reading that follows tells that the first
                // was made.
                let outcome = store.commit_as(plan.transaction(lease), Repeat::SameTwice).await?;
                return Ok(Reply::Synced(plan, outcome));
            }
            if step == Step::Inspect {
                return store.attached(lease).await.map(Reply::Attached);
            }
            let mut found = BTreeMap::new();
            for reading in readings {
                found.extend(standing::entries(store.commit(reading).await?));
            }
            Ok(Reply::Found(found))
        }
    }

    /// Takes in the answer to a request.
    pub(super) fn answered(&mut self, reply: Reply, lease: i64) {
        match reply {
            // A keep-alive doesn't tell that a key was deleted or taken over; the lease's list of keys does.
            Reply::Attached(attached) => {
                self.inspect = false;
                self.doubt |= self.standings.differ(&attached);
            }
            Reply::Found(found) => {
                let taken = self.standings.survey(&found, lease);
                self.doubt = false;
                for taken in taken {
                    tracing::warn!(
                        key = taken.key,
                        holder = lease_name(taken.lease),
                        "Let go a key that another owner announced after us."
                    );
                }
            }
            Reply::Synced(_, outcome) if !outcome.succeeded => {
                self.doubt = true;
                self.retry_at = Instant::now() + self.tries.next();
            }
            Reply::Synced(plan, outcome) => {
                self.revision = outcome.revision;
                let displaced = self.standings.done(plan, outcome.revision);
                if let Some(first) = displaced.first() {
                    tracing::info!(
                        key = first.key,
                        holder = lease_name(first.lease),
                        keys = displaced.len(),
                        "Took over what was announced before."
                    );
                }
                self.written();
            }
        }
    }

    fn written(&mut self) {
        self.hindered = None;
        self.tries.reset();
        self.retry_at = Instant::now();
    }

    pub(super) fn failed(&mut self, step: Step, error: &StoreError) {
        let now = Instant::now();
        match (step, &mut self.lease) {
            (Step::Beat, Some(lease)) => {
                lease.schedule.failed(now, self.beats.next());
                self.shaken = Some(error.to_string());
            }
            // Only a look; the next beat brings another.
            (Step::Inspect, _) => {
                self.inspect = false;
                tracing::debug!(error = %error, "Could not ask a lease for its keys.");
            }
            _ => {
                self.doubt |=
                    step == Step::Sync && (error.is_uncertain() || error.kind() == ErrorKind::Deadline);
                self.retry_at = now + self.tries.next();
                self.hindered = Some(error.to_string());
                if is_final(error.kind()) {
                    self.tell_applied(Err(error.clone()));
                }
            }
        }
    }

    /// The lease is gone, and with it the keys.
    pub(super) fn lose(&mut self, error: &StoreError) {
        let Some(lease) = self.lease.take() else { return };
        tracing::warn!(lease = lease_name(lease.id), error = %error, "Lost a lease; asking for a new one.");
        self.standings.lose(lease.id);
        self.heard.send_replace(None);
        self.shared.store(0, Ordering::Release);
        self.shaken = Some(error.to_string());
        self.doubt = false;
        self.inspect = false;
        self.retry_at = Instant::now();
        self.applied.send_modify(|applied| applied.generation = 0);
        self.status.send_replace(OwnershipStatus::Lost { error: error.to_string() });
    }
}

/// Errors that waiting doesn't mend.
fn is_final(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::TooLarge | ErrorKind::TooManyOperations | ErrorKind::Refused | ErrorKind::Rejected
    )
}

fn jitter() -> f64 {
    fastrand::f64() * 2.0 - 1.0
}
