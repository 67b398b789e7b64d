//! The work behind an ownership: one step at a time, whichever is due.

mod report;
mod steps;

use std::{
    sync::{Arc, atomic::AtomicI64},
    time::Duration,
};

use convoy_retry::Backoff;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    Answered, Applied, Declared, LeaseSettings, OwnershipStatus, schedule::Schedule, standing::Standings,
    status::lease_name,
};
use crate::{ErrorKind, Revision, Store, StoreError};

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
    heard: watch::Sender<Option<Answered>>,
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
        heard: watch::Sender<Option<Answered>>,
        shared: Arc<AtomicI64>,
    ) -> Self {
        Self {
            store,
            settings,
            wishes,
            status,
            applied,
            heard,
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

    /// Carries a step out.
    async fn take(&mut self, step: Step) {
        match (step, self.lease) {
            (Step::Grant, _) => {
                let granted = self.grant().await;
                self.conclude(step, granted);
            }
            (Step::Rest(_), _) | (_, None) => {}
            (Step::Beat, Some(lease)) => self.keep_alive(lease).await,
            (step, Some(lease)) => self.work(step, lease.id).await,
        }
    }

    /// Keeps the lease alive, or finds out that its time is over.
    async fn keep_alive(&mut self, lease: Lease) {
        let (now, deadline) = (Instant::now(), lease.schedule.deadline());
        let kept = if deadline <= now {
            self.beat(lease).await
        } else {
            match timeout_at(deadline, self.beat(lease)).await {
                Ok(kept) => kept,
                Err(_) => Err(late(lease.id)),
            }
        };
        self.conclude(Step::Beat, kept);
    }

    /// Waits for the answer to a request, and keeps the lease alive meanwhile: a slow store must not cost it.
    async fn work(&mut self, step: Step, id: i64) {
        let mut request = Box::pin(self.request(step, id));
        loop {
            let Some(lease) = self.lease.filter(|lease| lease.id == id) else { return };
            let deadline = lease.schedule.deadline();
            let until = if Instant::now() < deadline {
                lease.schedule.beat().min(deadline)
            } else {
                lease.schedule.beat()
            };
            tokio::select! {
                answer = &mut request => {
                    let done = answer.map(|answer| self.answered(answer, id));
                    return self.conclude(step, done);
                }
                () = sleep_until(until) => {
                    if Instant::now() >= lease.schedule.beat() {
                        self.keep_alive(lease).await;
                    }
                    self.report();
                }
            }
        }
    }

    fn conclude(&mut self, step: Step, result: Result<(), StoreError>) {
        match result {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::LeaseLost => self.lose(&error),
            Err(error) => self.failed(step, &error),
        }
    }
}

fn late(lease: i64) -> StoreError {
    let detail = "no keep-alive was answered before its time ran out";
    StoreError::new(ErrorKind::Deadline, "keep alive", lease_name(lease), detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreSettings;

    const SECOND: Duration = Duration::from_secs(1);

    /// A keeper that never reaches a store: only its decisions are looked at.
    fn keeper() -> Keeper {
        let store = Store::new(StoreSettings::default()).unwrap();
        let unapplied = StoreError::new(ErrorKind::Closed, "declare", "keys", "nothing yet");
        Keeper::new(
            store,
            LeaseSettings::new(30 * SECOND),
            watch::channel(Declared::default()).1,
            watch::channel(OwnershipStatus::Pending { error: None }).0,
            watch::channel(Applied { generation: 0, result: Err(unapplied) }).0,
            watch::channel(None).0,
            Arc::default(),
        )
    }

    fn with_lease() -> Keeper {
        let now = Instant::now();
        let schedule = Schedule::granted(30 * SECOND, None, now, now, 0.0);
        Keeper { lease: Some(Lease { id: 7, schedule }), ..keeper() }
    }

    fn refusal(kind: ErrorKind) -> StoreError {
        StoreError::new(kind, "commit", "/a", "no")
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_comes_first_and_is_asked_for_again_after_a_pause() {
        let mut keeper = keeper();
        assert_eq!(keeper.next_step(Instant::now()), Step::Grant);
        keeper.failed(Step::Grant, &refusal(ErrorKind::Unreachable));
        let Step::Rest(until) = keeper.next_step(Instant::now()) else { panic!("no pause") };
        assert!(until > Instant::now() && until <= Instant::now() + SECOND);
        assert_eq!(keeper.next_step(until), Step::Grant);
    }

    #[tokio::test(start_paused = true)]
    async fn at_rest_only_the_beat_is_due_and_then_a_look_at_the_keys() {
        let mut keeper = with_lease();
        let beat = Instant::now() + 10 * SECOND;
        assert_eq!(keeper.next_step(Instant::now()), Step::Rest(beat));
        assert_eq!(keeper.next_step(beat), Step::Beat);
        keeper.inspect = true;
        assert_eq!(keeper.next_step(Instant::now()), Step::Inspect);
        keeper.failed(Step::Inspect, &refusal(ErrorKind::Deadline));
        assert_eq!(keeper.next_step(Instant::now()), Step::Rest(beat), "the next beat brings another look");
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_key_is_read_before_it_is_written() {
        let mut keeper = with_lease();
        keeper.declared.keys = Arc::new([("/a".to_owned(), vec![1])].into());
        keeper.standings.heed(&keeper.declared.keys);
        assert_eq!(keeper.next_step(Instant::now()), Step::Survey);
        keeper.standings.survey(&std::collections::BTreeMap::new(), 7);
        assert_eq!(keeper.next_step(Instant::now()), Step::Sync);
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_fails_again_and_again_does_not_keep_the_lease_from_being_kept_alive() {
        let mut keeper = with_lease();
        let beat = Instant::now() + 10 * SECOND;
        keeper.declared.keys = Arc::new([("/a".to_owned(), vec![1])].into());
        keeper.standings.heed(&keeper.declared.keys);
        for _ in 0..20 {
            keeper.failed(Step::Sync, &refusal(ErrorKind::NoSpace));
        }
        let Step::Rest(until) = keeper.next_step(Instant::now()) else { panic!("no pause") };
        assert!(until <= Instant::now() + 2 * SECOND);
        assert_eq!(keeper.next_step(beat), Step::Beat);
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_is_told_when_it_comes_and_the_lease_is_still_tried() {
        let mut keeper = with_lease();
        let deadline = Instant::now() + 27 * SECOND;
        tokio::time::advance(26 * SECOND).await;
        keeper.failed(Step::Beat, &refusal(ErrorKind::Unreachable));
        let now = Instant::now();
        assert!(
            matches!(keeper.stand(now), OwnershipStatus::AtRisk { expires_in, .. } if expires_in == SECOND)
        );
        keeper.lease.as_mut().unwrap().schedule.failed(now, 5 * SECOND);
        assert_eq!(keeper.next_step(now), Step::Rest(deadline));
        assert!(matches!(keeper.stand(deadline), OwnershipStatus::Lost { .. }));
        assert_eq!(keeper.next_step(deadline), Step::Rest(now + 5 * SECOND));
        assert_eq!(keeper.next_step(now + 5 * SECOND), Step::Beat);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_lease_is_told_and_replaced_at_once() {
        let mut keeper = with_lease();
        keeper.lose(&refusal(ErrorKind::LeaseLost));
        assert!(matches!(keeper.stand(Instant::now()), OwnershipStatus::Lost { .. }));
        assert_eq!(keeper.next_step(Instant::now()), Step::Grant);
    }
}
