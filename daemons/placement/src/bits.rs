//! A set of machines, one bit each.

/// A set of small numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    pub(crate) fn none(len: usize) -> Self {
        Self(vec![0; len.div_ceil(64)])
    }

    pub(crate) fn all(len: usize) -> Self {
        let mut bits = Self::none(len);
        (0..len).for_each(|at| bits.insert(at));
        bits
    }

    pub(crate) fn has(&self, at: usize) -> bool {
        self.0.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    pub(crate) fn insert(&mut self, at: usize) {
        if let Some(word) = self.0.get_mut(at / 64) {
            *word |= 1 << (at % 64);
        }
    }

    pub(crate) fn remove(&mut self, at: usize) {
        if let Some(word) = self.0.get_mut(at / 64) {
            *word &= !(1 << (at % 64));
        }
    }

    pub(crate) fn keep(&mut self, others: &Self) {
        for (at, word) in self.0.iter_mut().enumerate() {
            *word &= others.0.get(at).copied().unwrap_or(0);
        }
    }

    pub(crate) fn join(&mut self, others: &Self) {
        for (word, other) in self.0.iter_mut().zip(&others.0) {
            *word |= other;
        }
    }

    pub(crate) fn take_away(&mut self, others: &Self) {
        for (word, other) in self.0.iter_mut().zip(&others.0) {
            *word &= !other;
        }
    }

    pub(crate) fn meets(&self, others: &Self) -> bool {
        self.0.iter().zip(&others.0).any(|(word, other)| word & other != 0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(at, word)| ones(at, *word))
    }

    /// Those in both, smallest first, without making a new set.
    pub(crate) fn both<'a>(&'a self, others: &'a Self) -> impl Iterator<Item = usize> + 'a {
        self.0.iter().zip(&others.0).enumerate().flat_map(|(at, (word, other))| ones(at, word & other))
    }
}

fn ones(at: usize, mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        if word == 0 {
            return None;
        }
        let bit = word.trailing_zeros() as usize;
        word &= word - 1;
        Some(at * 64 + bit)
    })
}

#[cfg(test)]
mod tests {
    use super::Bits;

    #[test]
    fn a_set_of_machines_behaves_like_a_set() {
        let mut odd = Bits::none(130);
        (0..130).filter(|at| at % 2 == 1).for_each(|at| odd.insert(at));
        let mut low = Bits::all(130);
        (70..130).for_each(|at| low.remove(at));
        assert_eq!((odd.count(), low.count()), (65, 70));
        assert!(odd.has(129) && !odd.has(128) && !odd.has(1000) && odd.meets(&low));
        assert_eq!(odd.both(&low).count(), 35);
        let mut rest = odd.clone();
        rest.take_away(&low);
        assert_eq!(rest.iter().next(), Some(71));
        rest.keep(&low);
        assert!(rest.is_empty());
        rest.join(&odd);
        assert_eq!(rest, odd);
    }
}
