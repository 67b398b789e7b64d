//! What the edge that orders does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use convoy_keys::CertificateName;
use convoy_retry::Backoff;
use convoy_store::{Leadership, Revision, Transaction};
use instant_acme::Account;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::account::{account, forget};
use super::campaign::{Context, Desk, End};
use super::clear::leftovers;
use super::failure::Failure;
use super::job::Job;
use super::prove::Traces;
use super::suggestions::{Suggestion, Suggestions, ask};
use super::writer::Writer;
use super::{ledger, steps};
use crate::rules::Step;
use crate::serve::World;

/// Orders under way at once.
const AT_ONCE: usize = 4;
/// Bounds of the wait after the account could not be had.
const ACCOUNT_RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(3600));
/// A name whose outcome could not be written is left alone for so long.
const UNWRITTEN: Duration = Duration::from_secs(60);

/// What came to an end.
enum Done {
    Order(CertificateName, Option<Revision>, Result<(), Failure>),
    Account(Result<Account, Failure>),
    Suggestion(Suggestion),
    Cleared(Result<Revision, Failure>),
}

/// How far we are with the account.
enum AccountState {
    /// It is asked for when somebody needs it, and not before that.
    Absent { again_at: Instant },
    /// It is being asked for.
    Coming,
    /// Orders can be placed.
    Here(Account),
}

/// One leadership. Whatever is under way ends with it.
struct Lead<'d> {
    desk: &'d mut Desk,
    writer: Writer,
    work: JoinSet<Done>,
    running: BTreeSet<CertificateName>,
    /// Names that are left alone until then.
    paused: BTreeMap<CertificateName, Instant>,
    account: AccountState,
    account_backoff: Backoff,
    suggestions: Suggestions,
    is_asking: bool,
    is_clearing: bool,
    /// Our own writes up to here have to be seen before anything is decided.
    written: Revision,
}

/// Orders as long as a leadership holds. Dropped, it leaves everything to the next one.
pub(super) async fn lead(desk: &mut Desk, leadership: &Leadership) -> End {
    tracing::info!("this edge orders certificates for all edges from now on");
    let writer = Writer::new(desk.store.clone(), leadership.clone());
    let mut lead = Lead {
        desk,
        writer,
        work: JoinSet::new(),
        running: BTreeSet::new(),
        paused: BTreeMap::new(),
        account: AccountState::Absent { again_at: Instant::now() },
        account_backoff: Backoff::new(ACCOUNT_RETRY.0, ACCOUNT_RETRY.1),
        suggestions: Suggestions::default(),
        is_asking: false,
        is_clearing: false,
        written: leadership.since(),
    };
    while leadership.holds() {
        let wake = lead.decide();
        tokio::select! {
            Some(done) = lead.work.join_next() => match done {
                Ok(done) => {
                    if let Some(end) = lead.take(done) {
                        return end;
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "an order ended by a panic");
                    return End::Unable;
                }
            },
            changed = lead.desk.world.changed() => if changed.is_err() { return End::Unable },
            changed = lead.desk.wanted.changed() => if changed.is_err() { return End::Unable },
            () = sleep_until(wake) => {}
        }
    }
    End::Lost
}

impl Lead<'_> {
    /// Starts what is due, and tells when to look again if nothing happens.
    fn decide(&mut self) -> Instant {
        let context = Arc::clone(&self.desk.context);
        let (now, at_the_latest) = (Instant::now(), Instant::now() + Duration::from_secs(3600));
        let world = Arc::clone(&self.desk.world.borrow_and_update());
        let wanted = self.desk.wanted.borrow_and_update().clone();
        let Some(wanted) = wanted else { return at_the_latest };
        // What was not read is not absent, and what we wrote is to be seen first.
        if !world.has_listed || world.revision < self.written.get() {
            return at_the_latest;
        }
        self.suggestions.retain(&world);
        let windows = self.suggestions.windows();
        self.desk.windows.send_if_modified(|known| {
            let differs = *known != windows;
            if differs {
                known.clone_from(&windows);
            }
            differs
        });
        self.paused.retain(|_, until| *until > now);
        let unix = context.clock.now();
        let steps = steps(&world, &wanted, &context.orders, &windows, unix);
        let mut moments: Vec<i64> = Vec::new();
        let mut due = Vec::new();
        for (name, step) in steps {
            match step {
                Step::Order if !self.running.contains(&name) && !self.paused.contains_key(&name) => {
                    due.push(name);
                }
                Step::Fresh { renew_at: moment } | Step::Wait { until: moment, .. } => moments.push(moment),
                Step::Order | Step::Covered | Step::NeedsDns => {}
            }
        }
        let is_due = !due.is_empty();
        self.want_account(&world, is_due, now);
        let mut account_at = None;
        match &self.account {
            AccountState::Here(account) => {
                let account = account.clone();
                for name in due.into_iter().take(AT_ONCE.saturating_sub(self.running.len())) {
                    self.start(&account, &world, name);
                }
                self.ask(&account, &world);
            }
            AccountState::Absent { again_at } => account_at = Some(*again_at).filter(|_| is_due),
            AccountState::Coming => {}
        }
        self.clear(&world, &wanted, unix);
        let wake = moments.into_iter().map(|moment| now + context.clock.until(moment));
        let wake = wake.chain(self.paused.values().copied()).chain(self.suggestions.next());
        let wake = wake.chain(account_at);
        // A moment that has come, while its work is under way, is no reason to look at once.
        wake.filter(|moment| *moment > now).min().unwrap_or(at_the_latest).min(at_the_latest)
    }

    fn want_account(&mut self, world: &World, is_due: bool, now: Instant) {
        let (context, writer) = (Arc::clone(&self.desk.context), self.writer.clone());
        let known = world.accounts.get(&context.authority).cloned();
        let is_wanted = is_due || (known.is_some() && !world.issued.is_empty());
        if let AccountState::Absent { again_at } = self.account
            && is_wanted
            && again_at <= now
        {
            self.account = AccountState::Coming;
            self.work.spawn(async move { Done::Account(account(&context, &writer, known).await) });
        }
    }

    fn start(&mut self, account: &Account, world: &World, name: CertificateName) {
        let context = Arc::clone(&self.desk.context);
        let record = ledger(world, &context.orders).remove(&name).unwrap_or_default();
        let order = world.orders.get(&name).filter(|order| order.authority == context.orders.directory);
        // An authority that does not take the hint is asked without it.
        let replaces = self.suggestions.replaced(world, &name).filter(|_| record.failures == 0);
        let job = Job {
            name: name.clone(),
            context,
            writer: self.writer.clone(),
            account: account.clone(),
            world: self.desk.world.clone(),
            record,
            order: order.cloned(),
            replaces,
            traces: Traces::default(),
        };
        self.running.insert(name.clone());
        self.work.spawn(async move {
            let (revision, outcome) = job.run().await;
            Done::Order(name, revision, outcome)
        });
    }

    fn ask(&mut self, account: &Account, world: &World) {
        if self.is_asking {
            return;
        }
        if let Some((name, issued)) = self.suggestions.due(world, &self.desk.context.orders.directory) {
            let (account, name, issued) = (account.clone(), name.clone(), issued.clone());
            self.is_asking = true;
            self.work.spawn(async move { Done::Suggestion(ask(account, name, issued).await) });
        }
    }

    fn clear(&mut self, world: &World, wanted: &BTreeSet<CertificateName>, now: i64) {
        let Context { authority, orders, .. } = &*self.desk.context;
        let keys = leftovers(world, authority, wanted, &self.running, &orders.limits, now);
        if keys.is_empty() || self.is_clearing {
            return;
        }
        let transaction =
            keys.iter().fold(Transaction::new(), |transaction, key| transaction.delete(key.to_string()));
        let writer = self.writer.clone();
        self.is_clearing = true;
        self.work.spawn(async move { Done::Cleared(writer.commit(transaction).await) });
    }

    /// Takes in what came to an end; with it the leadership may, too.
    fn take(&mut self, done: Done) -> Option<End> {
        match done {
            Done::Order(name, revision, outcome) => {
                self.running.remove(&name);
                self.seen(revision);
                if let Err(Failure::NoAccount(_)) = outcome {
                    self.forget_account();
                }
                if revision.is_none() {
                    self.paused.insert(name, Instant::now() + UNWRITTEN);
                }
            }
            Done::Account(Ok(account)) => {
                self.account = AccountState::Here(account);
                self.account_backoff.reset();
                self.desk.trouble.send_replace(None);
            }
            Done::Account(Err(failure)) => {
                let authority = &self.desk.context.authority;
                tracing::warn!(error = %failure, AUTHORITY = %authority, "nothing can be ordered: {failure}");
                self.desk.trouble.send_replace(Some(failure.to_string()));
                match failure {
                    Failure::Locked(_) => return Some(End::Unable),
                    Failure::NoAccount(_) => self.forget_account(),
                    _ => self.account_again(),
                }
            }
            Done::Suggestion(suggestion) => {
                self.is_asking = false;
                self.suggestions.take(suggestion);
            }
            Done::Cleared(outcome) => {
                self.is_clearing = false;
                self.seen(outcome.ok());
            }
        }
        None
    }

    fn account_again(&mut self) {
        self.account = AccountState::Absent { again_at: Instant::now() + self.account_backoff.next() };
    }

    fn seen(&mut self, revision: Option<Revision>) {
        self.written = self.written.max(revision.unwrap_or_default());
    }

    /// The next order makes another account, after the wait for an account that can't be had.
    fn forget_account(&mut self) {
        let (context, writer) = (Arc::clone(&self.desk.context), self.writer.clone());
        self.account_again();
        self.is_clearing = true;
        self.work.spawn(async move { Done::Cleared(forget(&context, &writer).await) });
    }
}
