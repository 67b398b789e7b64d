//! What was tried for a name, and what that allows now.
//!
//! Authorities count orders and failures, for weeks, and so does the ledger: in the store, written before an order is
//! placed. An edge that crashes and starts over and over finds what it spent.

use std::time::Duration;

use convoy_keys::LedgerRecord;

/// How much may be tried. The defaults stay well below Let's Encrypt's limits: 5 certificates for a name in a week, 300
/// orders of an account in three hours, 5 failures for a name in an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Orders for a name within the window.
    pub per_name: usize,
    /// The window of a name.
    pub name_window: Duration,
    /// Orders of all names within the window.
    pub per_account: usize,
    /// The window of the account.
    pub account_window: Duration,
    /// The wait after a first failure. It doubles with each one that follows.
    pub shortest_wait: Duration,
    /// The longest wait after failures.
    pub longest_wait: Duration,
    /// The longest wait while the authority can't be reached, which is nobody's fault here.
    pub longest_outage_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let hours = |count: u64| Duration::from_secs(count * 3600);
        Self {
            per_name: 4,
            name_window: hours(7 * 24),
            per_account: 150,
            account_window: hours(3),
            shortest_wait: Duration::from_secs(300),
            longest_wait: hours(24),
            longest_outage_wait: hours(1),
        }
    }
}

/// Who is to blame for a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blame {
    /// The authority or the way to it.
    Outage,
    /// The name, its DNS, our settings: all that the authority refuses.
    Name,
    /// The authority counted too much.
    RateLimit,
}

/// Seconds of a duration, for sums with Unix time.
fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// Orders that count still. A time from the future is a clock's mistake, and counts as long as it may.
fn counted(record: &LedgerRecord, window: Duration, now: i64) -> impl Iterator<Item = i64> + '_ {
    let window = seconds(window);
    record.orders.iter().filter_map(move |order| {
        let order = i64::try_from(*order).ok()?;
        let counts = order > now.saturating_sub(window) && order < now.saturating_add(window);
        counts.then_some(order)
    })
}

/// The moment from which another order fits a limit; none if it does now.
fn room(orders: &[i64], most: usize, window: Duration) -> Option<i64> {
    let mut orders = orders.to_vec();
    orders.sort_unstable();
    // When the oldest ones are forgotten so that `most` minus one are left; never, where nothing is allowed at all.
    let last_to_go = orders.len().checked_sub(most)?;
    let last_to_go = orders.get(last_to_go).filter(|_| most > 0);
    Some(last_to_go.map_or(i64::MAX, |order| order.saturating_add(seconds(window))))
}

/// What may be ordered for all names together.
#[derive(Debug)]
pub(crate) struct Budget {
    orders: Vec<i64>,
    most: usize,
    window: Duration,
}

impl Budget {
    /// Takes one order from it; or tells from when on there is one.
    pub(crate) fn spend(&mut self, now: i64) -> Result<(), i64> {
        if let Some(until) = room(&self.orders, self.most, self.window) {
            return Err(until);
        }
        self.orders.push(now);
        Ok(())
    }
}

impl Limits {
    /// The moment before which nothing is tried for a name because it failed; none if that is over.
    pub(crate) fn held_by_failure(&self, record: &LedgerRecord, now: i64) -> Option<i64> {
        // No record may hold a name for longer than a wait of ours: its clock may have been wrong.
        let longest = now.saturating_add(seconds(self.longest_wait));
        let until = i64::try_from(record.not_before).unwrap_or(i64::MAX).min(longest);
        (until > now).then_some(until)
    }

    /// The moment before which nothing more is ordered for a name; none if there is room now.
    pub(crate) fn held_by_name(&self, record: &LedgerRecord, now: i64) -> Option<i64> {
        let orders: Vec<_> = counted(record, self.name_window, now).collect();
        room(&orders, self.per_name, self.name_window)
    }

    /// What may be ordered for all names together, given what was.
    pub(crate) fn budget<'r>(&self, records: impl Iterator<Item = &'r LedgerRecord>, now: i64) -> Budget {
        let orders = records.flat_map(|record| counted(record, self.account_window, now)).collect();
        Budget { orders, most: self.per_account, window: self.account_window }
    }
}

/// True for a record that holds nothing back, now and later.
pub(crate) fn counts_nothing(record: &LedgerRecord, limits: &Limits, now: i64) -> bool {
    let window = limits.name_window.max(limits.account_window);
    counted(record, window, now).next().is_none() && limits.held_by_failure(record, now).is_none()
}

/// The record to write before something is ordered. What counts no more is left out.
pub(crate) fn ordered(record: &LedgerRecord, limits: &Limits, now: i64) -> LedgerRecord {
    let window = limits.name_window.max(limits.account_window);
    let mut record = record.clone();
    record.orders = counted(&record, window, now).filter_map(|order| u64::try_from(order).ok()).collect();
    record.orders.extend(u64::try_from(now));
    record
}

/// The same without the last order, which never got to the authority.
pub(crate) fn refunded(record: &LedgerRecord) -> LedgerRecord {
    let mut record = record.clone();
    record.orders.pop();
    record
}

/// The record to write after a failure. `chance` is between 0 and 1 and shortens the wait by up to a fifth.
pub(crate) fn failed(
    record: &LedgerRecord,
    limits: &Limits,
    now: i64,
    blame: Blame,
    error: &str,
    chance: f64,
) -> LedgerRecord {
    let doubled = limits.shortest_wait.saturating_mul(1u32.checked_shl(record.failures.min(30)).unwrap_or(1));
    let wait = match blame {
        Blame::Name => doubled.min(limits.longest_wait),
        Blame::Outage => doubled.min(limits.longest_outage_wait).min(limits.longest_wait),
        Blame::RateLimit => doubled.max(limits.longest_outage_wait).min(limits.longest_wait),
    };
    let wait = wait.mul_f64(1.0 - 0.2 * chance.clamp(0.0, 1.0));
    LedgerRecord {
        orders: record.orders.clone(),
        failures: record.failures.saturating_add(1),
        not_before: u64::try_from(now.saturating_add(seconds(wait).max(1))).unwrap_or(0),
        error: Some(error.chars().filter(|letter| !letter.is_control()).take(1000).collect()),
    }
}

/// The record to write with a certificate.
pub(crate) fn succeeded(record: &LedgerRecord) -> LedgerRecord {
    LedgerRecord { orders: record.orders.clone(), ..LedgerRecord::default() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn limits() -> Limits {
        Limits {
            per_name: 2,
            name_window: Duration::from_secs(1000),
            per_account: 3,
            account_window: Duration::from_secs(100),
            shortest_wait: Duration::from_secs(10),
            longest_wait: Duration::from_secs(60),
            longest_outage_wait: Duration::from_secs(20),
        }
    }

    fn record(ages: &[i64]) -> LedgerRecord {
        let orders = ages.iter().map(|age| u64::try_from(NOW - age).unwrap()).collect();
        LedgerRecord { orders, ..LedgerRecord::default() }
    }

    #[test]
    fn orders_for_a_name_wait_until_the_window_has_room() {
        for (ages, expected) in [
            (&[][..], None),
            (&[1], None),
            (&[1, 2000], None),
            (&[1, 400], Some(NOW + 600)),
            (&[1, 400, 500], Some(NOW + 600)),
            (&[-5, 400], Some(NOW + 600)),
            (&[-5, -5000], None),
        ] {
            assert_eq!(limits().held_by_name(&record(ages), NOW), expected, "{ages:?}");
        }
    }

    #[test]
    fn all_names_share_the_account() {
        let records = [record(&[1, 50]), record(&[70, 400])];
        assert_eq!(limits().budget(records.iter(), NOW).spend(NOW), Err(NOW + 30));
        let mut budget = limits().budget(records.iter().take(1), NOW);
        assert_eq!([budget.spend(NOW), budget.spend(NOW)], [Ok(()), Err(NOW + 50)]);
    }

    #[test]
    fn a_limit_of_nothing_allows_nothing_ever() {
        let none = Limits { per_name: 0, per_account: 0, ..limits() };
        for ages in [&[][..], &[1, 5]] {
            assert_eq!(none.held_by_name(&record(ages), NOW), Some(i64::MAX));
            assert_eq!(none.budget([&record(ages)].into_iter(), NOW).spend(NOW), Err(i64::MAX));
        }
    }

    #[test]
    fn waits_double_up_to_the_longest_and_a_success_ends_them() {
        let mut known = record(&[1]);
        for (failures, wait) in [(1, 10), (2, 20), (3, 40), (4, 60), (5, 60)] {
            known = failed(&known, &limits(), NOW, Blame::Name, "no", 0.0);
            assert_eq!((known.failures, known.not_before), (failures, u64::try_from(NOW + wait).unwrap()));
            assert_eq!(limits().held_by_failure(&known, NOW), Some(NOW + wait));
            assert_eq!(limits().held_by_failure(&known, NOW + wait), None);
        }
        let known = succeeded(&known);
        assert_eq!((known.failures, known.error, known.orders.len()), (0, None, 1));
    }

    #[test]
    fn an_outage_is_waited_for_less_long_and_a_rate_limit_longer() {
        let known = LedgerRecord { failures: 2, ..LedgerRecord::default() };
        let wait = |known: &LedgerRecord, blame| {
            failed(known, &limits(), NOW, blame, "no", 0.0).not_before - u64::try_from(NOW).unwrap()
        };
        assert_eq!(wait(&known, Blame::Outage), 20);
        assert_eq!(wait(&LedgerRecord::default(), Blame::RateLimit), 20);
        assert_eq!(wait(&known, Blame::RateLimit), 40);
    }

    #[test]
    fn a_wrong_clock_holds_a_name_no_longer_than_a_wait_of_ours() {
        let known = LedgerRecord { not_before: u64::MAX, ..LedgerRecord::default() };
        assert_eq!(limits().held_by_failure(&known, NOW), Some(NOW + 60));
    }

    #[test]
    fn an_error_is_kept_without_what_could_move_a_terminal() {
        let known = failed(&record(&[]), &limits(), NOW, Blame::Name, &"\u{1b}[2Jx".repeat(1000), 0.0);
        let error = known.error.unwrap();
        assert!(error.starts_with("[2Jx") && error.len() == 1000);
    }

    proptest! {
        #[test]
        fn however_often_it_is_asked_no_window_has_more_orders_than_it_may(steps in proptest::collection::vec(0i64..400, 1..80)) {
            let (limits, mut known, mut now) = (limits(), LedgerRecord::default(), NOW);
            let mut placed: Vec<i64> = Vec::new();
            for step in steps {
                now += step;
                if limits.held_by_name(&known, now).is_none() && limits.budget([&known].into_iter(), now).spend(now).is_ok() {
                    known = ordered(&known, &limits, now);
                    placed.push(now);
                }
                prop_assert!(placed.iter().filter(|order| **order > now - 1000).count() <= 2);
                prop_assert!(known.orders.len() <= 3);
            }
        }

        #[test]
        fn a_hostile_record_neither_panics_nor_frees(orders in proptest::collection::vec(any::<u64>(), 0..20), failures in any::<u32>(), not_before in any::<u64>()) {
            let known = LedgerRecord { orders, failures, not_before, error: None };
            let _ = limits().budget([&known].into_iter(), NOW).spend(NOW);
            let next = failed(&ordered(&known, &limits(), NOW), &limits(), NOW, Blame::Name, "no", 0.5);
            prop_assert!(limits().held_by_failure(&next, NOW).is_some());
        }
    }
}
