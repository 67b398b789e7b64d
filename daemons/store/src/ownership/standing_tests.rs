//! Two owners, one store, and everything that can happen between them.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::standing::{LIMITS, Limits, Rival, Standings, entries};
use crate::{Answer, Compare, Entry, Operation, Outcome, Revision, Transaction};

/// So small that most sets take several transactions.
const SMALL: Limits = Limits { operations: 2, bytes: 3 };

/// A store that knows transactions and leases.
#[derive(Debug, Default)]
struct Model {
    keys: BTreeMap<String, Entry>,
    leases: BTreeSet<i64>,
    revision: i64,
    /// How many keys were written or removed by transactions.
    writes: usize,
}

impl Model {
    fn holds(&self, compare: &Compare) -> bool {
        let entry = |key: &String| self.keys.get(key);
        match compare {
            Compare::Absent { key } => entry(key).is_none(),
            Compare::Present { key } => entry(key).is_some(),
            Compare::Lease { key, lease } => entry(key).map_or(0, |entry| entry.lease) == *lease,
            Compare::ModRevision { key, revision } => {
                entry(key).map_or(Revision::default(), |entry| entry.mod_revision) == *revision
            }
            Compare::Value { key, value } => entry(key).is_some_and(|entry| entry.value == *value),
        }
    }

    /// None where etcd would refuse: a lease that is gone.
    fn commit(&mut self, transaction: &Transaction) -> Option<Outcome> {
        let succeeded = transaction.compares.iter().all(|compare| self.holds(compare));
        let branch = if succeeded { &transaction.then } else { &transaction.otherwise };
        let dead = |operation: &Operation| matches!(operation, Operation::Put { lease, .. } if *lease != 0 && !self.leases.contains(lease));
        if branch.iter().any(dead) {
            return None;
        }
        self.revision += 1;
        let answers = branch.iter().map(|operation| self.make(operation)).collect();
        Some(Outcome { succeeded, revision: Revision::new(self.revision), answers })
    }

    fn make(&mut self, operation: &Operation) -> Answer {
        match operation {
            Operation::Put { key, value, lease } => {
                self.writes += 1;
                let revision = Revision::new(self.revision);
                let entry = Entry {
                    key: key.clone(),
                    value: value.clone(),
                    create_revision: revision,
                    mod_revision: revision,
                    version: 1,
                    lease: *lease,
                };
                Answer::Put(self.keys.insert(key.clone(), entry))
            }
            Operation::Delete { key } => {
                self.writes += 1;
                Answer::Deleted(self.keys.remove(key))
            }
            Operation::Get { key } => Answer::Entries(
                self.keys.get(key).map(|entry| (key.clone(), entry.clone())).into_iter().collect(),
            ),
            Operation::List { .. } => Answer::Entries(self.keys.clone()),
        }
    }

    fn revoke(&mut self, lease: i64) {
        self.leases.remove(&lease);
        self.keys.retain(|_, entry| entry.lease != lease);
    }
}

/// An owner as the keeper drives it, one step at a time.
#[derive(Debug, Default)]
struct Owner {
    declared: BTreeMap<String, Vec<u8>>,
    standings: Standings,
    lease: i64,
    doubt: bool,
    /// A request that is still on its way, though its sender gave it up.
    late: Option<Transaction>,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    AnswerLost,
    Late,
}

impl Owner {
    fn declare(&mut self, declared: BTreeMap<String, Vec<u8>>) {
        self.declared = declared;
        self.standings.heed(&self.declared);
    }

    fn is_settled(&self) -> bool {
        self.lease != 0
            && !self.doubt
            && !self.standings.need_reading()
            && self.standings.plan(&self.declared).is_empty()
    }

    fn step(&mut self, store: &mut Model, next_lease: &mut i64, fate: Fate) {
        if self.lease == 0 {
            *next_lease += 1;
            self.lease = *next_lease;
            store.leases.insert(self.lease);
        } else if self.doubt || self.standings.need_reading() {
            let readings = self.standings.readings(SMALL);
            let found = readings.iter().flat_map(|reading| entries(store.commit(reading).unwrap())).collect();
            self.standings.survey(&found, self.lease);
            self.doubt = false;
        } else {
            let plan = self.standings.plan(&self.declared).first_part(SMALL);
            if plan.is_empty() {
                return;
            }
            self.standings.begin(&plan);
            if fate == Fate::Late {
                self.late = Some(plan.transaction(self.lease));
                self.doubt = true;
                return;
            }
            match store.commit(&plan.transaction(self.lease)) {
                None => self.lose(),
                Some(_) if fate == Fate::AnswerLost => self.doubt = true,
                Some(outcome) if outcome.succeeded => {
                    self.standings.done(plan, outcome.revision);
                }
                Some(_) => self.doubt = true,
            }
        }
    }

    fn arrive(&mut self, store: &mut Model) {
        if let Some(transaction) = self.late.take() {
            store.commit(&transaction);
        }
    }

    fn lose(&mut self) {
        self.standings.lose(self.lease);
        self.lease = 0;
        self.doubt = false;
    }

    /// What a keep-alive brings.
    fn beat(&mut self, store: &Model) {
        if self.lease == 0 {
            return;
        }
        if !store.leases.contains(&self.lease) {
            return self.lose();
        }
        let attached = store
            .keys
            .values()
            .filter(|entry| entry.lease == self.lease)
            .map(|entry| entry.key.clone())
            .collect();
        self.doubt |= self.standings.differ(&attached);
    }

    fn settle(&mut self, store: &mut Model, next_lease: &mut i64) {
        self.beat(store);
        for _ in 0..20 {
            if self.is_settled() {
                return;
            }
            self.step(store, next_lease, Fate::Answered);
        }
        panic!("an owner does not come to rest: {self:?} {store:?}");
    }

    fn has_let_go(&self, key: &str) -> bool {
        self.standings.is_taken(key)
    }
}

#[derive(Debug, Clone)]
enum Act {
    Declare(usize, BTreeMap<u8, u8>),
    Step(usize, Fate),
    Arrive(usize),
    Beat(usize),
    Revoke(usize),
    /// Somebody deletes a key by hand.
    Delete(u8),
}

fn act() -> impl Strategy<Value = Act> {
    let set = proptest::collection::btree_map(0u8..4, 0u8..3, 0..4);
    prop_oneof![
        2 => (0usize..2, set).prop_map(|(owner, set)| Act::Declare(owner, set)),
        6 => (0usize..2).prop_map(|owner| Act::Step(owner, Fate::Answered)),
        2 => (0usize..2).prop_map(|owner| Act::Step(owner, Fate::AnswerLost)),
        2 => (0usize..2).prop_map(|owner| Act::Step(owner, Fate::Late)),
        2 => (0usize..2).prop_map(Act::Arrive),
        2 => (0usize..2).prop_map(Act::Beat),
        1 => (0usize..2).prop_map(Act::Revoke),
        1 => (0u8..4).prop_map(Act::Delete),
    ]
}

fn named(set: BTreeMap<u8, u8>) -> BTreeMap<String, Vec<u8>> {
    set.into_iter().map(|(key, value)| (format!("/{key}"), vec![value])).collect()
}

fn run(acts: Vec<Act>) -> (Model, [Owner; 2], i64) {
    let (mut store, mut owners, mut next_lease) = (Model::default(), [Owner::default(), Owner::default()], 0);
    for act in acts {
        match act {
            Act::Declare(owner, set) => owners[owner].declare(named(set)),
            Act::Step(owner, fate) => owners[owner].step(&mut store, &mut next_lease, fate),
            Act::Arrive(owner) => owners[owner].arrive(&mut store),
            Act::Beat(owner) => owners[owner].beat(&store),
            Act::Revoke(owner) => store.revoke(owners[owner].lease),
            Act::Delete(key) => {
                // A deletion by hand just before a creation arrives late can't be told from the key never having
                // been there; hands are slower than requests.
                for owner in &mut owners {
                    owner.arrive(&mut store);
                }
                store.keys.remove(&format!("/{key}"));
            }
        }
    }
    for owner in &mut owners {
        owner.arrive(&mut store);
    }
    (store, owners, next_lease)
}

proptest! {
    #[test]
    fn whatever_happened_two_owners_come_to_rest_with_each_key_held_by_one(
        acts in proptest::collection::vec(act(), 0..60),
    ) {
        let (mut store, [mut one, mut two], mut next_lease) = run(acts);
        // The first may find that the second announced something after it looked.
        for _ in 0..3 {
            one.settle(&mut store, &mut next_lease);
            two.settle(&mut store, &mut next_lease);
        }
        let writes = store.writes;
        one.settle(&mut store, &mut next_lease);
        two.settle(&mut store, &mut next_lease);
        prop_assert_eq!(writes, store.writes, "at rest nothing is written");

        for (me, other) in [(&one, &two), (&two, &one)] {
            for (key, value) in &me.declared {
                let held = store.keys.get(key).is_some_and(|e| e.lease == me.lease && e.value == *value);
                prop_assert!(held || me.has_let_go(key), "{} is neither held nor let go", key);
                prop_assert!(!(held && me.has_let_go(key)));
            }
            for entry in store.keys.values().filter(|entry| entry.lease == me.lease) {
                prop_assert!(me.declared.contains_key(&entry.key), "{} was withdrawn", entry.key);
                let rival = other.declared.contains_key(&entry.key);
                prop_assert!(!rival || other.has_let_go(&entry.key), "the other knows that {} is lost", entry.key);
            }
        }
    }

    #[test]
    fn an_owner_alone_ends_with_what_it_declared_and_nothing_else(
        acts in proptest::collection::vec(act(), 0..60),
    ) {
        let alone = acts.into_iter().filter(|act| !matches!(act,
            Act::Declare(1, _) | Act::Step(1, _) | Act::Arrive(1) | Act::Beat(1) | Act::Revoke(1)));
        let (mut store, [mut owner, _], mut next_lease) = run(alone.collect());
        owner.settle(&mut store, &mut next_lease);
        owner.settle(&mut store, &mut next_lease);
        let held: BTreeMap<_, _> = store.keys.values().map(|e| (e.key.clone(), e.value.clone())).collect();
        prop_assert_eq!(held, owner.declared);
        prop_assert!(store.keys.values().all(|entry| entry.lease == owner.lease));
    }
}

#[test]
fn a_request_that_arrives_late_does_not_bring_an_old_value_back() {
    let (mut store, mut next_lease, mut owner) = (Model::default(), 0, Owner::default());
    owner.declare(named([(1, 1)].into()));
    owner.settle(&mut store, &mut next_lease);
    owner.declare(named([(1, 2)].into()));
    owner.step(&mut store, &mut next_lease, Fate::Late);
    // It thinks better of it, and a look says that all is as it was.
    owner.declare(named([(1, 1)].into()));
    owner.settle(&mut store, &mut next_lease);
    owner.arrive(&mut store);
    assert_eq!(store.keys["/1"].value, [1]);
    let writes = store.writes;
    owner.settle(&mut store, &mut next_lease);
    assert_eq!(store.writes, writes, "and then nothing more is written");
}

#[test]
fn only_a_first_announcement_overwrites_and_tells_whom() {
    let (mut store, mut next_lease) = (Model::default(), 0);
    let (mut old, mut new) = (Owner::default(), Owner::default());
    for owner in [&mut old, &mut new] {
        owner.declare(named([(1, 1)].into()));
    }
    old.settle(&mut store, &mut next_lease);
    let holder = old.lease;

    // A lease, then a look.
    new.step(&mut store, &mut next_lease, Fate::Answered);
    new.step(&mut store, &mut next_lease, Fate::Answered);
    let plan = new.standings.plan(&new.declared);
    let outcome = store.commit(&plan.transaction(new.lease)).unwrap();
    assert!(outcome.succeeded);
    let displaced = new.standings.done(plan, outcome.revision);
    assert_eq!(displaced, [Rival { key: "/1".into(), lease: holder }]);

    old.declare(named([(1, 2)].into()));
    old.settle(&mut store, &mut next_lease);
    assert_eq!(old.standings.taken(), Some(("/1", new.lease)));
    assert_eq!(store.keys["/1"].lease, new.lease);
}

#[test]
fn a_large_set_is_put_in_parts_in_the_order_of_its_keys() {
    let mut standings = Standings::default();
    let declared: BTreeMap<_, _> = (0..300).map(|number| (format!("/{number:03}"), vec![0; 1])).collect();
    standings.heed(&declared);
    assert_eq!(
        standings.readings(LIMITS).iter().map(|reading| reading.then.len()).collect::<Vec<_>>(),
        [120, 120, 60]
    );
    standings.survey(&BTreeMap::new(), 7);
    let mut parts = Vec::new();
    for revision in 1.. {
        let part = standings.plan(&declared).first_part(LIMITS);
        if part.is_empty() {
            break;
        }
        let transaction = part.transaction(7);
        assert_eq!(transaction.compares.len(), transaction.then.len());
        parts.push((transaction.then.len(), transaction.subject()));
        standings.begin(&part);
        standings.done(part, Revision::new(revision));
    }
    let parts: Vec<_> = parts.iter().map(|(length, first)| (*length, first.as_str())).collect();
    assert_eq!(parts, [(120, "/000 and 119 more"), (120, "/120 and 119 more"), (60, "/240 and 59 more")]);
}

#[test]
fn a_value_beyond_all_limits_is_a_part_of_its_own() {
    let mut standings = Standings::default();
    let declared: BTreeMap<_, _> = [("/a".to_owned(), vec![0; 9]), ("/b".to_owned(), vec![0; 1])].into();
    standings.heed(&declared);
    standings.survey(&BTreeMap::new(), 7);
    let part = standings.plan(&declared).first_part(SMALL);
    assert_eq!(part.transaction(7).then.len(), 1, "the store is asked, and refuses it");
}
