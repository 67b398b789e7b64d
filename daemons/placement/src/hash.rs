//! A fast hash for tables that live as long as one pass or one planner and are never walked through.
//!
//! Eight bytes at a time are mixed in by multiplication. It is no defence against names that are made to collide;
//! whoever may submit units can slow down placement in simpler ways.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// A map with the fast hash.
pub(crate) type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<FastHasher>>;

/// The state of the hash.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FastHasher(u64);

const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

impl FastHasher {
    const fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(MIX);
    }
}

impl Hasher for FastHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let last = rest.iter().fold(rest.len() as u64, |word, byte| word << 8 | u64::from(*byte));
            self.mix(last);
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.mix(byte.into());
    }

    fn write_usize(&mut self, number: usize) {
        self.mix(number as u64);
    }

    fn finish(&self) -> u64 {
        // The table looks at both ends of the number.
        self.0 ^ (self.0 >> 29)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        hash::{Hash, Hasher},
    };

    use super::FastHasher;

    #[test]
    fn similar_names_have_different_hashes_in_both_halves() {
        let hash = |number: u32| {
            let mut hasher = FastHasher::default();
            format!("web@{number}.service").hash(&mut hasher);
            hasher.finish()
        };
        let low: HashSet<u64> = (0..10_000).map(|number| hash(number) & 0xffff_ffff).collect();
        let high: HashSet<u64> = (0..10_000).map(|number| hash(number) >> 32).collect();
        assert!(low.len() > 9_990 && high.len() > 9_990, "{} and {}", low.len(), high.len());
    }
}
