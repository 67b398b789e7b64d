//! Values of which many are the same, each kept once.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::{Policy, Treatment};

/// Whoever writes routes by a template uses a handful of values; what comes after so many others is kept once more.
const REMEMBERED: usize = 16;

/// Has a value that most have.
pub(crate) trait Ordinary {
    /// That value, the same one in the whole process.
    fn ordinary() -> Arc<Self>;
}

/// Those of a kind that were seen last.
#[derive(Debug)]
struct Recent<T>(VecDeque<Arc<T>>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: Ordinary + PartialEq> Recent<T> {
    fn share(&mut self, value: T) -> Arc<T> {
        let ordinary = T::ordinary();
        if value == *ordinary {
            return ordinary;
        }
        if let Some(known) = self.0.iter().find(|known| ***known == value) {
            return Arc::clone(known);
        }
        self.0.truncate(REMEMBERED - 1);
        let value = Arc::new(value);
        self.0.push_front(Arc::clone(&value));
        value
    }
}

/// Gives one value for all that are equal, as far as they come soon after each other.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    policies: Recent<Policy>,
    treatments: Recent<Treatment>,
}

impl Shared {
    pub(crate) fn policy(&mut self, policy: Policy) -> Arc<Policy> {
        self.policies.share(policy)
    }

    pub(crate) fn treatment(&mut self, treatment: Treatment) -> Arc<Treatment> {
        self.treatments.share(treatment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(body_max: u64) -> Treatment {
        Treatment { body_max: Some(body_max), ..Treatment::default() }
    }

    #[test]
    fn equal_values_are_one_and_the_ordinary_one_is_that_of_everybody() {
        let (mut shared, mut other) = (Shared::default(), Shared::default());
        let first = shared.treatment(limited(1));
        assert!(!Arc::ptr_eq(&first, &shared.treatment(limited(2))));
        assert!(Arc::ptr_eq(&first, &shared.treatment(limited(1))));
        assert!(Arc::ptr_eq(&shared.treatment(Treatment::default()), &other.treatment(Treatment::default())));
        assert!(Arc::ptr_eq(&shared.policy(Policy::default()), &Policy::ordinary()));
    }

    #[test]
    fn only_so_many_are_remembered() {
        let mut shared = Shared::default();
        for number in 0..100 {
            assert_eq!(*shared.treatment(limited(number)), limited(number));
        }
        assert_eq!(shared.treatments.0.len(), REMEMBERED);
    }
}
