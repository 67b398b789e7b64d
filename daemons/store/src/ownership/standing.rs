//! How each declared key stands in the store, and what brings it there: a pure plan, made into one transaction.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Answer, Compare, Entry, Operation, Outcome, Transaction};

/// How a key stands, as far as we know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// In the store with this value under my lease.
    Mine(Vec<u8>),
    /// Was mine and is gone.
    Gone,
    /// Still under a lease that I lost.
    Former(i64),
    /// A newer owner has it, under this lease. Let go.
    Taken(i64),
}

/// All keys that were announced. A declared key that is not among them has never been.
#[derive(Debug, Clone, Default)]
pub(super) struct Standings {
    keys: BTreeMap<String, Standing>,
    /// Leases of mine that were lost.
    former: BTreeSet<i64>,
}

/// What is to be done about one key.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// Write it, whatever is there: the newest owner wins.
    Announce(Vec<u8>),
    /// Write it if this holds.
    Write(Vec<u8>, Compare),
    /// Remove it if it is still under my lease.
    Remove,
}

/// The difference between what is declared and what is in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Plan {
    steps: BTreeMap<String, Step>,
}

/// Somebody whose key was overwritten by a first announcement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Displaced {
    pub(super) key: String,
    pub(super) lease: i64,
}

type Keys = BTreeMap<String, Vec<u8>>;

impl Standings {
    /// What has to be done so that the store holds `declared` under `lease`.
    pub(super) fn plan(&self, declared: &Keys, lease: i64) -> Plan {
        let mut steps = BTreeMap::new();
        for (key, value) in declared {
            let step = match self.keys.get(key) {
                None => Step::Announce(value.clone()),
                Some(Standing::Mine(present)) if present == value => continue,
                Some(Standing::Taken(_)) => continue,
                Some(Standing::Mine(_)) => {
                    Step::Write(value.clone(), Compare::Lease { key: key.clone(), lease })
                }
                Some(Standing::Gone) => Step::Write(value.clone(), Compare::Absent { key: key.clone() }),
                Some(Standing::Former(former)) => {
                    Step::Write(value.clone(), Compare::Lease { key: key.clone(), lease: *former })
                }
            };
            steps.insert(key.clone(), step);
        }
        for (key, standing) in &self.keys {
            if !declared.contains_key(key) && matches!(standing, Standing::Mine(_)) {
                steps.insert(key.clone(), Step::Remove);
            }
        }
        Plan { steps }
    }

    /// Forgets keys that are no longer declared and need no removal, so that they count as new when they return.
    pub(super) fn forget(&mut self, declared: &Keys) {
        self.keys.retain(|key, standing| declared.contains_key(key) || matches!(standing, Standing::Mine(_)));
    }

    /// Takes in that a plan was carried out. Tells whose keys were overwritten.
    pub(super) fn done(&mut self, plan: Plan, outcome: &Outcome, lease: i64) -> Vec<Displaced> {
        let mut displaced = Vec::new();
        let mut answers = outcome.answers.iter();
        for (key, step) in plan.steps {
            let answer = answers.next();
            match step {
                Step::Announce(value) => {
                    if let Some(Answer::Put(Some(before))) = answer
                        && before.lease != lease
                        && !self.former.contains(&before.lease)
                    {
                        displaced.push(Displaced { key: key.clone(), lease: before.lease });
                    }
                    self.keys.insert(key, Standing::Mine(value));
                }
                Step::Write(value, _) => {
                    self.keys.insert(key, Standing::Mine(value));
                }
                Step::Remove => {
                    self.keys.remove(&key);
                }
            }
        }
        displaced
    }

    /// Takes in what was read about the keys: after a comparison failed, an answer got lost, or a key was missing
    /// from the lease. Returns the keys that were found taken.
    pub(super) fn survey(&mut self, found: &BTreeMap<String, Entry>, lease: i64) -> Vec<Displaced> {
        let mut taken = Vec::new();
        for (key, standing) in &mut self.keys {
            if matches!(standing, Standing::Taken(_)) {
                continue;
            }
            *standing = match found.get(key) {
                None => Standing::Gone,
                Some(entry) if entry.lease == lease => Standing::Mine(entry.value.clone()),
                Some(entry) if self.former.contains(&entry.lease) => Standing::Former(entry.lease),
                Some(entry) => {
                    taken.push(Displaced { key: key.clone(), lease: entry.lease });
                    Standing::Taken(entry.lease)
                }
            };
        }
        // An announcement whose answer got lost may have been made.
        for (key, entry) in found {
            if entry.lease == lease {
                self.keys.insert(key.clone(), Standing::Mine(entry.value.clone()));
            }
        }
        taken
    }

    /// The lease is gone, and the keys with it.
    pub(super) fn lose(&mut self, lease: i64) {
        self.former.insert(lease);
        for standing in self.keys.values_mut() {
            if matches!(standing, Standing::Mine(_)) {
                *standing = Standing::Gone;
            }
        }
    }

    /// True if a key that is thought to be mine is not among these.
    pub(super) fn misses(&self, attached: &BTreeSet<Vec<u8>>) -> bool {
        self.keys.iter().any(|(key, standing)| {
            matches!(standing, Standing::Mine(_)) && !attached.contains(key.as_bytes())
        })
    }

    /// The first key that was let go, and the lease that has it.
    pub(super) fn taken(&self) -> Option<(&str, i64)> {
        self.keys.iter().find_map(|(key, standing)| match standing {
            Standing::Taken(lease) => Some((key.as_str(), *lease)),
            _ => None,
        })
    }

    /// A transaction that reads every key that was announced or is about to be.
    pub(super) fn reading(&self, declared: &Keys) -> Transaction {
        let keys: BTreeSet<&String> = self.keys.keys().chain(declared.keys()).collect();
        keys.into_iter()
            .fold(Transaction::new(), |reading, key| reading.then(Operation::Get { key: key.clone() }))
    }
}

impl Plan {
    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The plan as one transaction; where a comparison fails, nothing happens.
    pub(super) fn transaction(&self, lease: i64) -> Transaction {
        self.steps.iter().fold(Transaction::new(), |transaction, (key, step)| match step {
            Step::Announce(value) => transaction.put_leased(key, value.clone(), lease),
            Step::Write(value, compare) => {
                transaction.when(compare.clone()).put_leased(key, value.clone(), lease)
            }
            Step::Remove => transaction.when(Compare::Lease { key: key.clone(), lease }).delete(key.clone()),
        })
    }
}

/// All entries that a reading transaction brought.
pub(super) fn entries(outcome: Outcome) -> BTreeMap<String, Entry> {
    outcome
        .answers
        .into_iter()
        .filter_map(|answer| match answer {
            Answer::Entries(entries) => Some(entries),
            Answer::Put(_) | Answer::Deleted(_) => None,
        })
        .flatten()
        .collect()
}
