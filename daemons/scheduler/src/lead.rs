//! A leadership: follow the store, look, commit.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use convoy_keys::{
    CLUSTER, FREEZE, MACHINES, MAINTENANCE, MOVES, MachineId, RESUME, SCHEDULE, STATES, UNITS,
};
use convoy_service::message;
use convoy_store::{
    CautiousFeed, Compare, FeedEvent, Leadership, OUTAGE_GRACE, Store, StoreError, Transaction,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::journal::tell;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::pass::step;
use crate::policy::Policy;
use crate::step::{Batch, Expected, Summary, Write};
use crate::time::Now;
use crate::world::{News, World};

/// All that placement depends on.
const PREFIXES: [&str; 9] = [MACHINES, MAINTENANCE, UNITS, MOVES, SCHEDULE, STATES, FREEZE, RESUME, CLUSTER];
/// News come in bursts: a listing of units, an agent that reports a dozen states. One look serves them all.
const COALESCE: Duration = Duration::from_millis(10);
/// A burst that never ends is looked at all the same.
const LONGEST: Duration = Duration::from_millis(100);
/// For the answers about all machines' leases.
const LEASES: Duration = Duration::from_millis(500);
/// Before the next look after a commit that failed.
const PAUSE: Duration = Duration::from_millis(200);

/// Why a leadership is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StepDown;

/// How a commit ended.
#[derive(Debug)]
enum Committed {
    Made,
    /// The leadership is over.
    Refused,
    /// The store is not what it seemed to be.
    Outdated,
    Failed(StoreError),
}

/// The leader's part.
pub(crate) struct Lead {
    store: Store,
    policy: Policy,
    metrics: Metrics,
    leadership: Leadership,
    feed: CautiousFeed,
    world: World,
    memory: Memory,
    /// The monotonic clock of the rules begins here.
    epoch: Instant,
    /// When to look, if nothing more happens.
    due: Option<Instant>,
    /// The latest moment for a look that news ask for.
    limit: Option<Instant>,
    /// A machine may have vanished: the leases of the others are to be looked at.
    asks: bool,
    pub(crate) summary: Option<Summary>,
    pub(crate) stale: Option<String>,
}

impl Lead {
    pub(crate) fn begin(store: Store, policy: Policy, metrics: Metrics, leadership: Leadership) -> Self {
        let name = format!("{:032x}", fastrand::u128(..));
        Self {
            feed: follow(&store),
            memory: Memory::new(name),
            store,
            policy,
            metrics,
            leadership,
            world: World::new(),
            epoch: Instant::now(),
            due: None,
            limit: None,
            asks: false,
            summary: None,
            stale: None,
        }
    }

    pub(crate) fn leadership(&self) -> &Leadership {
        &self.leadership
    }

    /// Waits for the next news, and takes them in. Dropping the future loses nothing.
    pub(crate) async fn news(&mut self) {
        let event = self.feed.next().await;
        self.take(&event);
    }

    /// When a look is due; nothing while the picture may be old.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due.filter(|_| self.world.is_current())
    }

    fn take(&mut self, event: &FeedEvent) {
        let now = Instant::now();
        match self.world.apply(event) {
            News::None => {}
            News::Ordinary => {
                let limit = *self.limit.get_or_insert(now + LONGEST);
                self.due = Some((now + COALESCE).min(limit));
            }
            News::Urgent => {
                self.asks = true;
                self.limit.get_or_insert(now);
                self.due = Some(now);
            }
        }
        if let FeedEvent::Stale { error } = event {
            self.metrics.store_up.set(0);
            tracing::warn!(
                MESSAGE_ID = message::STORE_UNREACHABLE,
                error = %error,
                "the store can't be reached; nothing is decided until it answers"
            );
            self.stale = Some(error.clone());
            return;
        }
        self.metrics.store_up.set(1);
        if self.stale.take().is_some() {
            let revision = self.world.revision().get();
            tracing::info!(MESSAGE_ID = message::STORE_BACK, revision, "the store answers again");
        }
    }

    /// Looks, and commits what the rules say.
    pub(crate) async fn look(&mut self) -> Result<(), StepDown> {
        self.due = None;
        self.limit = None;
        if std::mem::take(&mut self.asks) || self.memory.is_in_suspense() {
            self.world.wavering = self.wavering().await;
        }
        let began = Instant::now();
        let now = self.now();
        let step = step(&self.world, &self.policy, &mut self.memory, now);
        self.world.looked();
        self.metrics.pass_seconds.observe(began.elapsed().as_secs_f64());
        for event in &step.events {
            tell(event, &self.metrics);
        }
        self.count(&step.summary);
        self.summary = Some(step.summary);
        self.due = step.again.map(|again| self.epoch + again);
        for batch in &step.batches {
            match self.commit(batch).await {
                Committed::Made => {
                    for event in &batch.events {
                        tell(event, &self.metrics);
                    }
                }
                Committed::Refused => return Err(StepDown),
                Committed::Outdated => {
                    self.metrics.refused.inc();
                    self.start_over("a key was not as expected");
                    return Ok(());
                }
                Committed::Failed(error) => {
                    self.metrics.refused.inc();
                    if error.is_uncertain() {
                        self.start_over(&error.to_string());
                    } else {
                        tracing::warn!(error = %error, "a decision could not be written; it is made again");
                        self.due = Some(Instant::now() + PAUSE);
                    }
                    return Ok(());
                }
            }
        }
        // What was written may ask for more: whoever waited for it is next.
        if !step.batches.is_empty() {
            self.due = Some(self.due.map_or_else(Instant::now, |due| due.min(Instant::now())));
        }
        Ok(())
    }

    /// When a machine is missing: who of the others does not renew its lease, or can't be said to do so in time. `None`
    /// when none is missing.
    async fn wavering(&self) -> Option<BTreeSet<MachineId>> {
        if !self.world.misses_machines() {
            return None;
        }
        let mut questions = JoinSet::new();
        for (id, seen) in &self.world.machines {
            let (store, id, lease) = (self.store.clone(), id.clone(), seen.lease);
            questions.spawn(async move { (id, store.lease_left(lease).await) });
        }
        // Whoever does not answer for sure may be gone: that delays a move by one more question, and is no more than that.
        let mut wavering: BTreeSet<MachineId> = self.world.machines.keys().cloned().collect();
        let deadline = Instant::now() + LEASES;
        while let Ok(Some(answer)) = timeout_at(deadline, questions.join_next()).await {
            if let Ok((id, Ok(Some((left, granted))))) = answer
                && left * 2 >= granted
            {
                wavering.remove(&id);
            }
        }
        Some(wavering)
    }

    fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Now { monotonic: self.epoch.elapsed(), unix }
    }

    /// What is in the store is not known any more: it is read anew before anything else is decided.
    fn start_over(&mut self, reason: &str) {
        tracing::info!(reason, "reading the store anew before the next decision");
        self.world = World::new();
        self.feed = follow(&self.store);
    }

    async fn commit(&mut self, batch: &Batch) -> Committed {
        if !self.leadership.holds() {
            return Committed::Refused;
        }
        let transaction = transaction(batch, &self.leadership);
        match self.store.commit(transaction).await {
            Ok(outcome) if outcome.succeeded => {
                self.metrics.transactions.inc();
                self.world.wrote(&batch.writes, outcome.revision);
                Committed::Made
            }
            Ok(_) => self.why_refused().await,
            Err(error) => Committed::Failed(error),
        }
    }

    /// Either the leadership is over, or something else was not as expected.
    async fn why_refused(&self) -> Committed {
        match self.store.commit(Transaction::new().when(self.leadership.guard())).await {
            Ok(outcome) if outcome.succeeded => Committed::Outdated,
            Ok(_) => Committed::Refused,
            Err(error) => Committed::Failed(error),
        }
    }

    fn count(&self, summary: &Summary) {
        let metrics = &self.metrics;
        for (gauge, number) in [
            (&metrics.units, summary.units),
            (&metrics.pending, summary.pending.len()),
            (&metrics.moving, summary.moving),
            (&metrics.machines, summary.machines),
            (&metrics.frozen, summary.frozen.len()),
            (&metrics.unusable, summary.unusable),
        ] {
            gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
        }
    }
}

fn follow(store: &Store) -> CautiousFeed {
    store.follow(&PREFIXES).cautious(OUTAGE_GRACE)
}

/// The writes, under the leader's guard and with what is known of each key: a request that arrives late changes nothing
/// that came after it.
fn transaction(batch: &Batch, leadership: &Leadership) -> Transaction {
    let mut transaction = Transaction::new().when(leadership.guard());
    for key in &batch.present {
        transaction = transaction.when(Compare::Present { key: key.clone() });
    }
    for key in &batch.absent {
        transaction = transaction.when(Compare::Absent { key: key.clone() });
    }
    for Write { key, expected, value } in &batch.writes {
        transaction = match expected {
            Expected::Absent => transaction.when(Compare::Absent { key: key.clone() }),
            Expected::At(revision) => {
                transaction.when(Compare::ModRevision { key: key.clone(), revision: *revision })
            }
            Expected::Any => transaction,
        };
        transaction = match value {
            Some(value) => transaction.put(key, value.clone()),
            None => transaction.delete(key.clone()),
        };
    }
    transaction
}

/// An event that is no decision.
pub(crate) fn leader_changed(name: &str, is_own: bool) {
    if is_own {
        tracing::info!(MESSAGE_ID = message::LEADER_CHANGED, leader = name, "this scheduler leads");
    } else {
        tracing::info!(MESSAGE_ID = message::LEADER_CHANGED, leader = name, "the scheduler of {name} leads");
    }
}
