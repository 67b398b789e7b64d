//! How each declared key stands in the store, and what brings it there: a pure plan, made into one transaction.
//!
//! Every write is guarded by what was read or written last, so that a request that arrives late, long after its
//! sender gave it up, changes nothing that came after it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Answer, Compare, Entry, Operation, Outcome, Revision, Transaction};

/// How much goes into one transaction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Operations.
    pub(super) operations: usize,
    /// Bytes of all values.
    pub(super) bytes: usize,
}

/// etcd's own limits are 128 operations and 1.5 MiB by default.
pub(super) const LIMITS: Limits = Limits { operations: 120, bytes: 1 << 20 };

/// How a key stands, as far as we know.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// It has to be read.
    Unread { announced: bool },
    /// Nobody has it.
    Absent { announced: bool },
    /// In the store with this value under my lease since this revision. `disputed` while a request of mine whose answer
    /// got lost may still change it: its comparison holds as long as the key is not written again.
    Mine { value: Vec<u8>, revision: Revision, disputed: bool },
    /// Somebody else has it since this revision, but I am newer; or it is under a lease that I lost.
    Other { announced: bool, lease: i64, revision: Revision },
    /// A newer owner has it, under this lease. Let go.
    Taken(i64),
}

impl Standing {
    /// True if it was under my lease once.
    fn announced(&self) -> bool {
        match self {
            Self::Unread { announced } | Self::Absent { announced } | Self::Other { announced, .. } => {
                *announced
            }
            Self::Mine { .. } | Self::Taken(_) => true,
        }
    }
}

/// All keys that are declared or were put into the store.
#[derive(Debug, Clone, Default)]
pub(super) struct Standings {
    keys: BTreeMap<String, Standing>,
    /// Leases of mine that were lost.
    former: BTreeSet<i64>,
    /// Keys of a plan under way: they may be in the store though no answer said so.
    under_way: BTreeSet<String>,
}

/// The difference between what is declared and what is in the store: for each key the new value, or none to remove
/// it, and what has to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Plan {
    steps: BTreeMap<String, (Option<Vec<u8>>, Compare)>,
}

/// A key that has or had another owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rival {
    pub(super) key: String,
    pub(super) lease: i64,
}

type Keys = BTreeMap<String, Vec<u8>>;

impl Standings {
    /// Takes up what is declared. Keys that are no longer declared and need no removal are forgotten, and count as
    /// new when they return.
    pub(super) fn heed(&mut self, declared: &Keys) {
        self.keys
            .retain(|key, standing| declared.contains_key(key) || matches!(standing, Standing::Mine { .. }));
        for key in declared.keys() {
            if !self.keys.contains_key(key) {
                self.keys.insert(key.clone(), Standing::Unread { announced: false });
            }
        }
    }

    /// True if keys have to be read before a plan can be made.
    pub(super) fn need_reading(&self) -> bool {
        self.keys.values().any(|standing| matches!(standing, Standing::Unread { .. }))
    }

    /// Transactions that read every key that is declared, was announced or may have been, each small enough for the
    /// store. Keys that are written between two of them fail their comparisons later, and are read again.
    pub(super) fn readings(&self, limits: Limits) -> Vec<Transaction> {
        let keys: BTreeSet<&String> = self.keys.keys().chain(&self.under_way).collect();
        let keys: Vec<&String> = keys.into_iter().collect();
        let read = |keys: &[&String]| {
            keys.iter()
                .fold(Transaction::new(), |reading, key| reading.then(Operation::Get { key: (*key).clone() }))
        };
        keys.chunks(limits.operations.max(1)).map(read).collect()
    }

    /// Takes in what was read. Returns the keys that were found taken.
    pub(super) fn survey(&mut self, found: &BTreeMap<String, Entry>, lease: i64) -> Vec<Rival> {
        let mut taken = Vec::new();
        for (key, standing) in &mut self.keys {
            let announced = standing.announced();
            *standing = match (&standing, found.get(key)) {
                (Standing::Taken(holder), _) => Standing::Taken(*holder),
                (_, None) => Standing::Absent { announced },
                (before, Some(entry)) if entry.lease == lease => {
                    let pending = self.under_way.contains(key);
                    let disputed = matches!(before, Standing::Mine { revision, disputed, .. }
                        if *revision == entry.mod_revision && (pending || *disputed));
                    mine(entry, disputed)
                }
                (_, Some(entry)) if !announced || self.former.contains(&entry.lease) => {
                    Standing::Other { announced, lease: entry.lease, revision: entry.mod_revision }
                }
                (_, Some(entry)) => {
                    taken.push(Rival { key: key.clone(), lease: entry.lease });
                    Standing::Taken(entry.lease)
                }
            };
        }
        // What is under my lease and was not declared came from a request whose answer got lost.
        for key in std::mem::take(&mut self.under_way) {
            if let Some(entry) = found.get(&key).filter(|entry| entry.lease == lease) {
                let standing = mine(entry, false);
                // Those that were known have been looked at above.
                self.keys.entry(key).or_insert(standing);
            }
        }
        taken
    }

    /// What has to be done so that the store holds what is declared.
    pub(super) fn plan(&self, declared: &Keys) -> Plan {
        let mut steps = BTreeMap::new();
        for (key, standing) in &self.keys {
            let wanted = declared.get(key);
            let guard = match standing {
                Standing::Mine { value, disputed: false, .. } if wanted == Some(value) => continue,
                Standing::Mine { revision, .. } => unchanged(key, *revision),
                Standing::Taken(_) | Standing::Unread { .. } => continue,
                _ if wanted.is_none() => continue,
                Standing::Absent { .. } => Compare::Absent { key: key.clone() },
                Standing::Other { revision, .. } => unchanged(key, *revision),
            };
            steps.insert(key.clone(), (wanted.cloned(), guard));
        }
        Plan { steps }
    }

    /// Takes in that a plan is about to be carried out.
    pub(super) fn begin(&mut self, plan: &Plan) {
        self.under_way.extend(plan.steps.keys().cloned());
    }

    /// Takes in that a plan was carried out at that revision. Tells whose keys were overwritten.
    pub(super) fn done(&mut self, plan: Plan, revision: Revision) -> Vec<Rival> {
        self.under_way.clear();
        let mut displaced = Vec::new();
        for (key, (value, _)) in plan.steps {
            let before = match value {
                Some(value) => {
                    let standing = Standing::Mine { value, revision, disputed: false };
                    self.keys.insert(key.clone(), standing)
                }
                None => self.keys.remove(&key),
            };
            if let Some(Standing::Other { announced: false, lease, .. }) = before {
                displaced.push(Rival { key, lease });
            }
        }
        displaced
    }

    /// The lease is gone, and the keys with it, unless somebody has taken them.
    pub(super) fn lose(&mut self, lease: i64) {
        self.under_way.clear();
        self.former.insert(lease);
        for standing in self.keys.values_mut() {
            if !matches!(standing, Standing::Taken(_)) {
                *standing = Standing::Unread { announced: standing.announced() };
            }
        }
    }

    /// Compares with the keys that hang on my lease, which can't be taken for certain: true if they have to be read.
    /// A key too few was deleted or taken over; a key too many was written by a request that arrived late.
    pub(super) fn differ(&mut self, attached: &BTreeSet<String>) -> bool {
        let mine = |key: &String| matches!(self.keys.get(key), Some(Standing::Mine { .. }));
        let too_few = self.keys.keys().any(|key| mine(key) && !attached.contains(key));
        let too_many: Vec<_> = attached.iter().filter(|key| !mine(key)).cloned().collect();
        let differ = too_few || !too_many.is_empty();
        self.under_way.extend(too_many);
        differ
    }

    /// The first key that was let go, and the lease that has it.
    pub(super) fn taken(&self) -> Option<(&str, i64)> {
        self.keys.iter().find_map(|(key, standing)| match standing {
            Standing::Taken(lease) => Some((key.as_str(), *lease)),
            _ => None,
        })
    }

    #[cfg(test)]
    pub(super) fn is_taken(&self, key: &str) -> bool {
        matches!(self.keys.get(key), Some(Standing::Taken(_)))
    }
}

impl Plan {
    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The beginning of the plan that fits into one transaction, in the order of the keys. At least one step, so that
    /// a value that is too large is refused by the store and not passed over.
    pub(super) fn first_part(mut self, limits: Limits) -> Self {
        let mut bytes = 0;
        let fitting = self.steps.values().take(limits.operations).take_while(|(value, _)| {
            bytes += value.as_ref().map_or(0, Vec::len);
            bytes <= limits.bytes
        });
        let count = fitting.count().max(1);
        if let Some(key) = self.steps.keys().nth(count).cloned() {
            self.steps.split_off(&key);
        }
        self
    }

    /// The plan as one transaction; where a comparison fails, nothing happens.
    pub(super) fn transaction(&self, lease: i64) -> Transaction {
        self.steps.iter().fold(Transaction::new(), |transaction, (key, (value, guard))| {
            let transaction = transaction.when(guard.clone());
            match value {
                Some(value) => transaction.put_leased(key, value.clone(), lease),
                None => transaction.delete(key.clone()),
            }
        })
    }
}

fn mine(entry: &Entry, disputed: bool) -> Standing {
    Standing::Mine { value: entry.value.clone(), revision: entry.mod_revision, disputed }
}

fn unchanged(key: &str, revision: Revision) -> Compare {
    Compare::ModRevision { key: key.to_owned(), revision }
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
