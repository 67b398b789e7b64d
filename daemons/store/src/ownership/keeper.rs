//! The work behind an ownership: one step at a time, whichever is due.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use convoy_retry::Backoff;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    Applied, Declared, LeaseSettings, OwnershipStatus,
    schedule::Schedule,
    standing::{self, Standings},
    status::lease_name,
};
use crate::{ErrorKind, Revision, Store, StoreError, call::Repeat};

/// A lease we hold.
#[derive(Debug, Clone, Copy)]
struct Lease {
    id: i64,
    schedule: Schedule,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Get a lease.
    Grant,
    /// Keep it alive.
    Beat,
    /// Ask which keys hang on it.
    Inspect,
    /// Read the keys.
    Survey,
    /// Put the difference into the store.
    Sync,
    /// Nothing, until then or until something is declared.
    Rest(Instant),
}

pub(super) struct Keeper {
    store: Store,
    settings: LeaseSettings,
    wishes: watch::Receiver<Declared>,
    status: watch::Sender<OwnershipStatus>,
    applied: watch::Sender<Applied>,
    /// The lease's number, for whoever has to revoke it.
    shared: Arc<AtomicI64>,

    declared: Declared,
    lease: Option<Lease>,
    standings: Standings,
    revision: Revision,
    /// The keys have to be read before anything is written.
    doubt: bool,
    /// The lease has to be asked for its keys.
    inspect: bool,
    /// Why the lease is not to be trusted.
    shaken: Option<String>,
    /// Why the last write failed.
    hindered: Option<String>,
    beats: Backoff,
    tries: Backoff,
    /// No grant, reading or writing before this.
    retry_at: Instant,
}

impl Keeper {
    pub(super) fn new(
        store: Store,
        settings: LeaseSettings,
        wishes: watch::Receiver<Declared>,
        status: watch::Sender<OwnershipStatus>,
        applied: watch::Sender<Applied>,
        shared: Arc<AtomicI64>,
    ) -> Self {
        Self {
            store,
            settings,
            wishes,
            status,
            applied,
            shared,
            declared: Declared::default(),
            lease: None,
            standings: Standings::default(),
            revision: Revision::default(),
            doubt: false,
            inspect: false,
            shaken: None,
            hindered: None,
            beats: Backoff::new(Duration::from_millis(200), Duration::from_secs(2)),
            tries: Backoff::new(Duration::from_millis(100), Duration::from_secs(2)),
            retry_at: Instant::now(),
        }
    }

    /// Runs until the owner is dropped.
    pub(super) async fn run(mut self) {
        loop {
            self.heed();
            self.report();
            match self.next_step(Instant::now()) {
                Step::Rest(until) => tokio::select! {
                    changed = self.wishes.changed() => if changed.is_err() { return },
                    () = sleep_until(until) => {}
                },
                step => self.take(step).await,
            }
        }
    }

    /// Takes up what was declared last.
    fn heed(&mut self) {
        let latest = self.wishes.borrow_and_update();
        if latest.generation != self.declared.generation {
            self.declared = latest.clone();
            self.standings.heed(&self.declared.keys);
            self.hindered = None;
            self.retry_at = Instant::now();
        }
    }

    fn next_step(&self, now: Instant) -> Step {
        let Some(lease) = self.lease else {
            return if now < self.retry_at { Step::Rest(self.retry_at) } else { Step::Grant };
        };
        let (beat, deadline) = (lease.schedule.beat(), lease.schedule.deadline());
        if now >= beat {
            return Step::Beat;
        }
        let wanted = if self.inspect {
            Some(Step::Inspect)
        } else if self.doubt || self.standings.need_reading() {
            Some(Step::Survey)
        } else if self.is_settled() {
            None
        } else {
            Some(Step::Sync)
        };
        let rest = match wanted {
            Some(step) if now >= self.retry_at => return step,
            Some(_) => beat.min(self.retry_at),
            None => beat,
        };
        // The deadline is to be told when it comes.
        Step::Rest(if now < deadline { rest.min(deadline) } else { rest })
    }

    fn is_settled(&self) -> bool {
        !self.doubt && !self.standings.need_reading() && self.standings.plan(&self.declared.keys).is_empty()
    }

    /// Carries a step out, but no longer than to the lease's deadline.
    async fn take(&mut self, step: Step) {
        let now = Instant::now();
        let deadline = self.lease.map(|lease| lease.schedule.deadline()).filter(|deadline| *deadline > now);
        let result = match deadline {
            None => self.perform(step).await,
            Some(deadline) => match timeout_at(deadline, self.perform(step)).await {
                Ok(result) => result,
                Err(_) => Err(late(self.lease.map_or(0, |lease| lease.id))),
            },
        };
        match result {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::LeaseLost => self.lose(&error),
            Err(error) => self.failed(step, &error),
        }
    }

    async fn perform(&mut self, step: Step) -> Result<(), StoreError> {
        match (step, self.lease) {
            (Step::Grant, _) => self.grant().await,
            (Step::Beat, Some(lease)) => self.beat(lease).await,
            (Step::Inspect, Some(lease)) => self.inspect(lease.id).await,
            (Step::Survey, Some(lease)) => self.survey(lease.id).await,
            (Step::Sync, Some(lease)) => self.sync(lease.id).await,
            (Step::Rest(_), _) | (_, None) => Ok(()),
        }
    }

    /// Asks for a lease under a number of our choice, so that asking again after a lost answer can't make two.
    async fn grant(&mut self) -> Result<(), StoreError> {
        let mut id = self.shared.load(Ordering::Acquire);
        if id == 0 {
            id = fastrand::i64(1..i64::MAX);
            self.shared.store(id, Ordering::Release);
        }
        let sent = Instant::now();
        let grant = self.store.grant(id, self.settings.ttl).await?;
        let now = Instant::now();
        let mut schedule = Schedule::granted(grant.ttl, self.settings.margin, sent, now, jitter());
        if !grant.fresh {
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

    async fn beat(&mut self, mut lease: Lease) -> Result<(), StoreError> {
        let sent = Instant::now();
        self.store.keep_alive(lease.id).await?;
        lease.schedule.answered(sent, Instant::now(), jitter());
        self.lease = Some(lease);
        self.beats.reset();
        self.shaken = None;
        self.inspect = true;
        Ok(())
    }

    /// A keep-alive doesn't tell that a key was deleted or taken over; the lease's list of keys does.
    async fn inspect(&mut self, lease: i64) -> Result<(), StoreError> {
        let attached = self.store.attached(lease).await?;
        self.inspect = false;
        self.doubt |= self.standings.differ(&attached);
        Ok(())
    }

    async fn survey(&mut self, lease: i64) -> Result<(), StoreError> {
        let outcome = self.store.commit(self.standings.reading()).await?;
        let taken = self.standings.survey(&standing::entries(outcome), lease);
        self.doubt = false;
        for taken in taken {
            tracing::warn!(
                key = taken.key,
                holder = lease_name(taken.lease),
                "Let go a key that another owner announced after us."
            );
        }
        Ok(())
    }

    async fn sync(&mut self, lease: i64) -> Result<(), StoreError> {
        let plan = self.standings.plan(&self.declared.keys);
        self.standings.begin(&plan);
        // Made twice, the second fails its comparisons, and the reading that follows tells that the first was made.
        let outcome = self.store.commit_as(plan.transaction(lease), Repeat::SameTwice).await?;
        if !outcome.succeeded {
            self.doubt = true;
            self.retry_at = Instant::now() + self.tries.next();
            return Ok(());
        }
        self.revision = outcome.revision;
        for displaced in self.standings.done(plan, outcome.revision) {
            tracing::warn!(
                key = displaced.key,
                holder = lease_name(displaced.lease),
                "Took over a key that another owner had announced."
            );
        }
        self.written();
        Ok(())
    }

    fn written(&mut self) {
        self.hindered = None;
        self.tries.reset();
        self.retry_at = Instant::now();
    }

    fn failed(&mut self, step: Step, error: &StoreError) {
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
    fn lose(&mut self, error: &StoreError) {
        let Some(lease) = self.lease.take() else { return };
        tracing::warn!(lease = lease_name(lease.id), error = %error, "Lost a lease; asking for a new one.");
        self.standings.lose(lease.id);
        self.shared.store(0, Ordering::Release);
        self.shaken = Some(error.to_string());
        self.doubt = false;
        self.inspect = false;
        self.retry_at = Instant::now();
        self.applied.send_modify(|applied| applied.generation = 0);
        self.status.send_replace(OwnershipStatus::Lost { error: error.to_string() });
    }

    fn report(&self) {
        if self.lease.is_some() && self.is_settled() {
            self.tell_applied(match self.standings.taken() {
                None => Ok(self.revision),
                Some((key, holder)) => Err(replaced(key, holder)),
            });
        }
        let status = self.stand(Instant::now());
        self.status.send_if_modified(|told| {
            let news = *told != status;
            *told = status;
            news
        });
    }

    fn tell_applied(&self, result: Result<Revision, StoreError>) {
        let generation = self.declared.generation;
        self.applied.send_if_modified(|applied| {
            let news = applied.generation != generation || applied.result != result;
            *applied = Applied { generation, result };
            news
        });
    }

    fn stand(&self, now: Instant) -> OwnershipStatus {
        let Some(lease) = self.lease else {
            return match (&self.shaken, &self.hindered) {
                (Some(lost), _) => OwnershipStatus::Lost { error: lost.clone() },
                (None, error) => OwnershipStatus::Pending { error: error.clone() },
            };
        };
        let left = lease.schedule.deadline().saturating_duration_since(now);
        match &self.shaken {
            Some(error) if left.is_zero() => return OwnershipStatus::Lost { error: error.clone() },
            None if left.is_zero() => return OwnershipStatus::Lost { error: late(lease.id).to_string() },
            Some(error) => return OwnershipStatus::AtRisk { error: error.clone(), expires_in: left },
            None => {}
        }
        if !self.is_settled() {
            return OwnershipStatus::Pending { error: self.hindered.clone() };
        }
        match self.standings.taken() {
            Some((key, lease)) => OwnershipStatus::Replaced { key: key.to_owned(), lease },
            None => OwnershipStatus::Held { lease: lease.id, revision: self.revision },
        }
    }
}

/// Errors that waiting doesn't mend.
fn is_final(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::TooLarge | ErrorKind::TooManyOperations | ErrorKind::Refused | ErrorKind::Rejected
    )
}

fn replaced(key: &str, holder: i64) -> StoreError {
    let detail = format!("another owner announced it after us, under {}", lease_name(holder));
    StoreError::new(ErrorKind::Replaced, "own", key, detail)
}

fn late(lease: i64) -> StoreError {
    let detail = "no keep-alive was answered before its time ran out";
    StoreError::new(ErrorKind::Deadline, "keep alive", lease_name(lease), detail)
}

fn jitter() -> f64 {
    fastrand::f64() * 2.0 - 1.0
}
