//! A mass disappearance is not believed at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How much may vanish without a question.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GuardLimits {
    /// The share of a service's upstreams, from 0 to 1, that may vanish within the grace time.
    pub share: f64,
    /// How long more than that is held back; nothing is with zero.
    pub grace: Duration,
}

impl Default for GuardLimits {
    fn default() -> Self {
        Self { share: 0.5, grace: Duration::from_secs(10) }
    }
}

/// Holds back the removal of a service's last upstream, or of too many of them at once, unless their owners let go of
/// them: a target that is really gone costs a retry, an empty list costs every request.
///
/// Counts no time itself: every call is told what time it is.
#[derive(Debug, Clone)]
pub struct Guard {
    limits: GuardLimits,
    /// What is served, held entries included.
    served: BTreeMap<String, Vec<u8>>,
    /// What is served although it is gone, and until when.
    held: BTreeMap<String, Instant>,
    /// What went without a word of its owner, and when.
    vanished: BTreeMap<String, Instant>,
    /// Owners that said that they go.
    let_go: BTreeSet<String>,
}

impl Guard {
    /// Nothing is served yet. `served` is what was served before, if that is known.
    pub fn new(limits: GuardLimits, served: BTreeMap<String, Vec<u8>>) -> Self {
        Self { limits, served, held: BTreeMap::new(), vanished: BTreeMap::new(), let_go: BTreeSet::new() }
    }

    /// The owner of this key says that it should get requests, or no more.
    pub fn owner_says(&mut self, key: &str, is_offered: bool) {
        if is_offered {
            self.let_go.remove(key);
        } else {
            self.let_go.insert(key.to_owned());
        }
    }

    /// What to serve, given what is there: all of it, and what is held back.
    pub fn judge(&mut self, there: BTreeMap<String, Vec<u8>>, now: Instant) -> BTreeMap<String, Vec<u8>> {
        self.vanished.retain(|key, at| {
            !there.contains_key(key) && now.saturating_duration_since(*at) < self.limits.grace
        });
        let gone: Vec<String> = self.served.keys().filter(|key| !there.contains_key(*key)).cloned().collect();
        self.held.retain(|key, _| !there.contains_key(key));
        let mut asked = Vec::new();
        for key in gone {
            if self.let_go.remove(&key) {
                self.held.remove(&key);
                self.vanished.remove(&key);
            } else if !self.held.contains_key(&key) {
                asked.push(key);
            }
        }
        if !asked.is_empty() && self.is_too_much(there.len(), asked.len()) {
            let until = now + self.limits.grace;
            self.held.extend(asked.iter().map(|key| (key.clone(), until)));
        } else {
            self.vanished.extend(asked.into_iter().map(|key| (key, now)));
        }
        let ended: Vec<String> =
            self.held.iter().filter(|(_, until)| **until <= now).map(|(key, _)| key.clone()).collect();
        for key in ended {
            self.held.remove(&key);
        }
        let mut serve = there;
        for key in self.held.keys() {
            if let Some(value) = self.served.get(key) {
                serve.insert(key.clone(), value.clone());
            }
        }
        self.served.clone_from(&serve);
        serve
    }

    fn is_too_much(&self, there: usize, asked: usize) -> bool {
        if self.limits.grace.is_zero() {
            return false;
        }
        let gone = asked + self.vanished.len() + self.held.len();
        #[allow(clippy::cast_precision_loss)] // nobody has 2^52 upstreams
        let share = gone as f64 / (gone + there) as f64;
        there == 0 || share > self.limits.share
    }

    /// What is served, entries that are held included.
    pub fn served(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.served
    }

    /// What is served although it is gone.
    pub fn held(&self) -> impl ExactSizeIterator<Item = &str> {
        self.held.keys().map(String::as_str)
    }

    /// When the next of them is given up.
    pub fn due(&self) -> Option<Instant> {
        self.held.values().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GRACE: Duration = Duration::from_secs(10);

    fn upstreams(names: &[&str]) -> BTreeMap<String, Vec<u8>> {
        names.iter().map(|name| ((*name).to_owned(), name.as_bytes().to_vec())).collect()
    }

    fn names(served: &BTreeMap<String, Vec<u8>>) -> Vec<&str> {
        served.keys().map(String::as_str).collect()
    }

    fn serving(before: &[&str]) -> (Guard, Instant) {
        (Guard::new(GuardLimits::default(), upstreams(before)), Instant::now())
    }

    #[test]
    fn a_few_may_go_at_once_the_last_and_too_many_are_held() {
        for (name, before, there, expected) in [
            ("one of two", vec!["a", "b"], vec!["a"], vec!["a"]),
            ("one of four", vec!["a", "b", "c", "d"], vec!["a", "b", "c"], vec!["a", "b", "c"]),
            ("three of four", vec!["a", "b", "c", "d"], vec!["a"], vec!["a", "b", "c", "d"]),
            ("the last", vec!["a"], vec![], vec!["a"]),
            ("all", vec!["a", "b"], vec![], vec!["a", "b"]),
            ("all, and others come", vec!["a", "b"], vec!["c", "d"], vec!["c", "d"]),
            ("nothing was there", vec![], vec![], vec![]),
        ] {
            let (mut guard, now) = serving(&before);
            assert_eq!(names(&guard.judge(upstreams(&there), now)), expected, "{name}");
        }
    }

    #[test]
    fn what_is_held_goes_after_the_grace_time_or_when_its_owner_says_so_and_may_return() {
        let (mut guard, now) = serving(&["a", "b", "c"]);
        assert_eq!(guard.judge(upstreams(&[]), now).len(), 3);
        assert_eq!(guard.due(), Some(now + GRACE));
        guard.owner_says("b", false);
        assert_eq!(names(&guard.judge(upstreams(&["c"]), now)), ["a", "c"]);
        assert_eq!(guard.held().collect::<Vec<_>>(), ["a"]);
        assert_eq!(names(&guard.judge(upstreams(&["c"]), now + GRACE)), ["c"]);
        assert_eq!(guard.due(), None);
    }

    #[test]
    fn owners_that_let_go_are_never_held() {
        let (mut guard, now) = serving(&["a", "b"]);
        guard.owner_says("a", false);
        guard.owner_says("b", false);
        assert!(guard.judge(upstreams(&[]), now).is_empty());
        guard.judge(upstreams(&["a"]), now);
        assert_eq!(names(&guard.judge(upstreams(&[]), now)), ["a"], "a new life needs a new word");
        guard.owner_says("a", false);
        guard.owner_says("a", true);
        assert_eq!(names(&guard.judge(upstreams(&[]), now)), ["a"], "it thought better of it");
    }

    #[test]
    fn one_after_the_other_is_as_many_as_all_at_once() {
        let (mut guard, now) = serving(&["a", "b", "c", "d"]);
        let at = |millis| now + Duration::from_millis(millis);
        assert_eq!(names(&guard.judge(upstreams(&["b", "c", "d"]), at(0))), ["b", "c", "d"]);
        assert_eq!(names(&guard.judge(upstreams(&["c", "d"]), at(10))), ["c", "d"]);
        assert_eq!(names(&guard.judge(upstreams(&["d"]), at(20))), ["c", "d"]);
        assert_eq!(names(&guard.judge(upstreams(&[]), at(30))), ["c", "d"]);
        // With time in between, each is one of those that are left.
        let (mut guard, now) = serving(&["a", "b", "c", "d"]);
        assert_eq!(guard.judge(upstreams(&["b", "c", "d"]), now).len(), 3);
        assert_eq!(guard.judge(upstreams(&["c", "d"]), now + 2 * GRACE).len(), 2);
        assert_eq!(guard.judge(upstreams(&["d"]), now + 4 * GRACE).len(), 1);
    }

    #[test]
    fn without_a_grace_time_everything_is_believed() {
        let limits = GuardLimits { grace: Duration::ZERO, ..GuardLimits::default() };
        let mut guard = Guard::new(limits, upstreams(&["a", "b"]));
        assert!(guard.judge(upstreams(&[]), Instant::now()).is_empty());
    }

    proptest! {
        #[test]
        fn what_is_there_is_always_served_and_what_is_gone_no_longer_than_the_grace_time(
            steps in prop::collection::vec((0u8..64, 0u64..8_000, 0u8..8), 1..40),
        ) {
            let start = Instant::now();
            let mut guard = Guard::new(GuardLimits::default(), BTreeMap::new());
            let mut now = start;
            let mut gone_since: BTreeMap<String, Instant> = BTreeMap::new();
            for (mask, pause, says) in steps {
                now += Duration::from_millis(pause);
                let there: BTreeMap<String, Vec<u8>> = (0..6u8).filter(|n| mask & (1 << n) != 0)
                    .map(|n| (n.to_string(), vec![n])).collect();
                if says < 6 {
                    guard.owner_says(&says.to_string(), false);
                }
                for n in 0..6u8 {
                    let key = n.to_string();
                    if there.contains_key(&key) { gone_since.remove(&key); } else { gone_since.entry(key).or_insert(now); }
                }
                let served = guard.judge(there.clone(), now);
                for (key, value) in &there {
                    prop_assert_eq!(served.get(key), Some(value));
                }
                for key in served.keys().filter(|key| !there.contains_key(*key)) {
                    prop_assert!(now.duration_since(gone_since[key]) < GRACE);
                }
                prop_assert!(guard.due().is_none_or(|due| due > now && due <= now + GRACE));
            }
        }
    }
}
