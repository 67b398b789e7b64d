//! What is to be done for each name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use convoy_certificates::{Certificate, Validity};
use convoy_keys::{CertificateName, LedgerRecord};

use super::Limits;

/// A certificate from elsewhere that ends so soon is looked after: nobody may have renewed it by then.
const ENDS_SOON: i64 = 24 * 3600;

/// A certificate that was ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holding {
    pub(crate) not_after: i64,
    /// The moment of renewal.
    pub(crate) renew_at: i64,
    /// It is from the authority of our settings.
    pub(crate) is_ours: bool,
}

/// All that decides.
#[derive(Debug)]
pub(crate) struct Situation<'a> {
    pub(crate) now: i64,
    /// Names that have a route.
    pub(crate) wanted: &'a BTreeSet<CertificateName>,
    /// Certificates from files and keys.
    pub(crate) given: &'a [Arc<Certificate>],
    pub(crate) issued: &'a BTreeMap<CertificateName, Holding>,
    pub(crate) ledger: &'a BTreeMap<CertificateName, LedgerRecord>,
    /// Names with an order that was placed and not finished: to go on costs nothing.
    pub(crate) open: &'a BTreeSet<CertificateName>,
    pub(crate) limits: &'a Limits,
    /// Wildcards can be proved.
    pub(crate) has_dns: bool,
}

/// Why a name has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It failed before.
    Failure,
    /// Enough was ordered for the name.
    NameLimit,
    /// Enough was ordered for all names.
    AccountLimit,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failure => "the last try failed",
            Self::NameLimit => "enough was ordered for the name in the last days",
            Self::AccountLimit => "enough was ordered for all names in the last hours",
        })
    }
}

/// What to do for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A certificate from a file or key, or one for a wildcard, serves it.
    Covered,
    /// Its certificate is good until this moment, in Unix time.
    Fresh {
        /// When it will be renewed.
        renew_at: i64,
    },
    /// A certificate is to be ordered.
    Order,
    /// One would have to be ordered, and must not be yet.
    Wait {
        /// Until when, in Unix time.
        until: i64,
        /// And why.
        why: Why,
    },
    /// A wildcard can only be proved by DNS, and there is no hook for that.
    NeedsDns,
}

/// Decides for all names.
pub(crate) fn plan(situation: &Situation<'_>) -> BTreeMap<CertificateName, Step> {
    let mut steps = BTreeMap::new();
    let mut due = Vec::new();
    let given = given(situation);
    for name in situation.wanted {
        match settled(situation, &given, name) {
            Some(step) => {
                steps.insert(name.clone(), step);
            }
            None => due.push(name),
        }
    }
    // What expires first comes first; then those that have no certificate yet.
    let ends = |name: &CertificateName| situation.issued.get(name).map_or(i64::MAX, |held| held.not_after);
    due.sort_by_key(|name| (ends(name), (*name).clone()));
    let mut budget = situation.limits.budget(situation.ledger.values(), situation.now);
    for name in due {
        let step = if situation.open.contains(name) {
            Step::Order
        } else {
            match budget.spend(situation.now) {
                Ok(()) => Step::Order,
                Err(until) => Step::Wait { until, why: Why::AccountLimit },
            }
        };
        steps.insert(name.clone(), step);
    }
    steps
}

/// What is decided for a name without regard to the others; none if it is due.
fn settled(situation: &Situation<'_>, given: &BTreeSet<&str>, name: &CertificateName) -> Option<Step> {
    let Situation { now, limits, .. } = *situation;
    let wildcard = name.as_str().split_once('.').map(|(_, parent)| format!("*.{parent}"));
    let has_wildcard = wildcard.is_some_and(|wildcard| !name.is_wildcard() && given.contains(&*wildcard));
    if has_wildcard || given.contains(name.as_str()) {
        return Some(Step::Covered);
    }
    if name.is_wildcard() && !situation.has_dns {
        return Some(Step::NeedsDns);
    }
    if let Some(held) = situation.issued.get(name)
        && held.is_ours
        && now < held.renew_at
    {
        return Some(Step::Fresh { renew_at: held.renew_at });
    }
    if is_below_wildcard(situation, name) {
        return Some(Step::Covered);
    }
    let record = situation.ledger.get(name)?;
    if let Some(until) = limits.held_by_failure(record, now) {
        return Some(Step::Wait { until, why: Why::Failure });
    }
    if situation.open.contains(name) {
        return None;
    }
    limits.held_by_name(record, now).map(|until| Step::Wait { until, why: Why::NameLimit })
}

/// Names of certificates from elsewhere that will do.
fn given<'a>(situation: &Situation<'a>) -> BTreeSet<&'a str> {
    let will_do = |certificate: &&Arc<Certificate>| {
        certificate.validity(situation.now) == Validity::Valid
            && certificate.not_after() > situation.now.saturating_add(ENDS_SOON)
    };
    let certificates = situation.given.iter().filter(will_do);
    certificates.flat_map(|certificate| certificate.names()).map(String::as_str).collect()
}

/// A wildcard that is wanted, too, and can be had, or is there, saves the order for a single name.
fn is_below_wildcard(situation: &Situation<'_>, name: &CertificateName) -> bool {
    let Some(wildcard) = name.wildcard().filter(|wildcard| situation.wanted.contains(wildcard)) else {
        return false;
    };
    let is_there = situation.issued.get(&wildcard).is_some_and(|held| held.not_after > situation.now);
    let has_failed = situation.ledger.get(&wildcard).is_some_and(|record| record.failures > 0);
    is_there || (situation.has_dns && !has_failed)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    const NOW: i64 = 1_800_000_000; // 2027
    const DAY: i64 = 86400;

    fn name(text: &str) -> CertificateName {
        CertificateName::parse(text).unwrap()
    }

    fn given(host: &str, last_year: i32) -> Arc<Certificate> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(last_year, 1, 1);
        let chain = params.self_signed(&key).unwrap().pem();
        Arc::new(Certificate::parse(chain.as_bytes(), key.serialize_pem().as_bytes(), None).unwrap())
    }

    /// One name in different situations.
    #[derive(Default)]
    struct World {
        wanted: BTreeSet<CertificateName>,
        given: Vec<Arc<Certificate>>,
        issued: BTreeMap<CertificateName, Holding>,
        ledger: BTreeMap<CertificateName, LedgerRecord>,
        open: BTreeSet<CertificateName>,
        limits: Limits,
        has_dns: bool,
    }

    impl World {
        fn of(names: &[&str]) -> Self {
            Self { wanted: names.iter().map(|text| name(text)).collect(), ..Self::default() }
        }

        fn holds(mut self, text: &str, renew_in: i64, ends_in: i64) -> Self {
            let held = Holding { not_after: NOW + ends_in, renew_at: NOW + renew_in, is_ours: true };
            self.issued.insert(name(text), held);
            self
        }

        fn given(mut self, host: &str, last_year: i32) -> Self {
            self.given.push(given(host, last_year));
            self
        }

        fn failed(mut self, text: &str, wait: i64) -> Self {
            let not_before = u64::try_from(NOW + wait).unwrap();
            self.ledger
                .insert(name(text), LedgerRecord { failures: 1, not_before, ..LedgerRecord::default() });
            self
        }

        fn ordered(mut self, text: &str, times: usize) -> Self {
            let orders = vec![u64::try_from(NOW - 100).unwrap(); times];
            self.ledger.insert(name(text), LedgerRecord { orders, ..LedgerRecord::default() });
            self
        }

        fn with_dns(self) -> Self {
            Self { has_dns: true, ..self }
        }

        fn steps(&self) -> BTreeMap<CertificateName, Step> {
            plan(&Situation {
                now: NOW,
                wanted: &self.wanted,
                given: &self.given,
                issued: &self.issued,
                ledger: &self.ledger,
                open: &self.open,
                limits: &self.limits,
                has_dns: self.has_dns,
            })
        }
    }

    #[test]
    fn a_name_gets_what_it_needs() {
        let one = || World::of(&["a.x.example"]);
        let both = || World::of(&["a.x.example", "*.x.example"]);
        let other = Holding { not_after: NOW + 50 * DAY, renew_at: NOW + 20 * DAY, is_ours: false };
        let mut elsewhere = one();
        elsewhere.issued.insert(name("a.x.example"), other);
        let mut open = one().ordered("a.x.example", 9);
        open.open.insert(name("a.x.example"));
        for (why, world, expected) in [
            ("it has none", one(), Step::Order),
            ("a file has it", one().given("a.x.example", 2040), Step::Covered),
            ("a file has a wildcard", one().given("*.x.example", 2040), Step::Covered),
            ("the file has expired", one().given("a.x.example", 2025), Step::Order),
            ("the file is for another", one().given("x.example", 2040), Step::Order),
            (
                "its own is fresh",
                one().holds("a.x.example", DAY, 30 * DAY),
                Step::Fresh { renew_at: NOW + DAY },
            ),
            ("its own is to be renewed", one().holds("a.x.example", 0, 30 * DAY), Step::Order),
            ("its own is from another authority", elsewhere, Step::Order),
            ("it failed", one().failed("a.x.example", 50), Step::Wait { until: NOW + 50, why: Why::Failure }),
            ("the wait is over", one().failed("a.x.example", 0), Step::Order),
            (
                "it was ordered again and again",
                one().ordered("a.x.example", 9),
                Step::Wait { until: NOW - 100 + 7 * DAY, why: Why::NameLimit },
            ),
            ("its order is open", open, Step::Order),
            ("a wildcard will come", both().with_dns(), Step::Covered),
            ("a wildcard is there", both().holds("*.x.example", DAY, 30 * DAY), Step::Covered),
            ("a wildcard can't be had", both(), Step::Order),
            ("a wildcard failed", both().with_dns().failed("*.x.example", 50), Step::Order),
        ] {
            assert_eq!(world.steps()[&name("a.x.example")], expected, "{why}");
        }
    }

    #[test]
    fn a_wildcard_needs_dns() {
        let steps = |world: World| world.steps()[&name("*.x.example")];
        assert_eq!(steps(World::of(&["*.x.example"])), Step::NeedsDns);
        assert_eq!(steps(World::of(&["*.x.example"]).with_dns()), Step::Order);
        assert_eq!(steps(World::of(&["*.x.example"]).given("a.x.example", 2040)), Step::NeedsDns);
        assert_eq!(steps(World::of(&["*.x.example"]).given("*.x.example", 2040)), Step::Covered);
    }

    #[test]
    fn when_the_account_has_room_for_few_what_expires_first_comes_first() {
        let mut world = World::of(&["a.example", "b.example", "c.example"])
            .holds("c.example", 0, 5 * DAY)
            .holds("b.example", 0, 9 * DAY)
            .ordered("old.example", 1);
        world.limits = Limits { per_account: 2, ..Limits::default() };
        let wait = Step::Wait { until: NOW - 100 + 3 * 3600, why: Why::AccountLimit };
        let steps = world.steps();
        assert_eq!(steps.into_values().collect::<Vec<_>>(), [wait, wait, Step::Order]);
    }

    #[test]
    fn nothing_is_done_for_names_without_a_route() {
        assert!(World::default().holds("a.example", 0, 0).failed("b.example", 0).steps().is_empty());
    }

    proptest! {
        #[test]
        fn never_more_orders_than_the_account_has_room_for(
            names in 0usize..30, spent in 0usize..20, most in 0usize..20, seconds in 1u64..10_000
        ) {
            let texts: Vec<_> = (0..names).map(|n| format!("n{n}.example")).collect();
            let mut world = World::of(&texts.iter().map(String::as_str).collect::<Vec<_>>()).ordered("old.example", spent);
            world.limits.per_account = most;
            world.limits.account_window = Duration::from_secs(seconds);
            let counted = if seconds > 100 { spent } else { 0 };
            let steps = world.steps();
            prop_assert_eq!(steps.len(), names);
            let orders = steps.values().filter(|step| **step == Step::Order).count();
            prop_assert_eq!(orders, names.min(most.saturating_sub(counted)));
        }
    }
}
