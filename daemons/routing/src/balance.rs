//! Which target gets the next request.
//!
//! Targets are sorted into classes first: sound ones before those that are about to stop, and these before those that
//! don't answer (fail open: when nothing else is left, they are tried); within that, by tier. The best class that has a
//! target which this request was not at yet is used, and inside it one of three ways decides.

use std::ops::Range;

/// Up to this many targets all of them are compared; beyond it two are.
const COMPARE_ALL: usize = 8;
/// Faster than this is fast, and differences below are noise: who is busy is seen by what it has to do.
const FAST_MICROS: u32 = 5_000;
/// A slow target counts for at most so many requests per request.
const FACTOR_MAX: u32 = 16;
/// A latency that nobody renews is halved in this time, so that a slow target is tried again.
const HALF_LIFE_MS: u64 = 5_000;

/// What is known of a target when a choice is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Requests that it is working on.
    pub outstanding: usize,
    /// How long it lets wait for the head of an answer, in microseconds; 0 when it isn't known.
    pub latency: u32,
    /// Its share; 100 is ordinary.
    pub weight: u32,
    /// About to stop.
    pub draining: bool,
    /// Left out: it refused connections ([`crate::Ejection`]) or fails its checks.
    pub out: bool,
    /// This request was there already.
    pub tried: bool,
}

impl View {
    /// An idle target about which nothing is known.
    pub const IDLE: Self =
        Self { outstanding: 0, latency: 0, weight: 100, draining: false, out: false, tried: false };

    /// 0 for the best.
    fn level(&self) -> u8 {
        if self.out { 2 } else { u8::from(self.draining || self.weight == 0) }
    }
}

/// The targets that come into question for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    range: Range<usize>,
    level: u8,
}

impl Class {
    /// The best class; `ends` tells where each tier ends. None when the request was everywhere.
    pub fn best(ends: &[usize], view: impl Fn(usize) -> View) -> Option<Self> {
        let mut best: Option<Self> = None;
        let mut start = 0;
        for &end in ends {
            for index in start..end {
                let view = view(index);
                if !view.tried && best.as_ref().is_none_or(|best| view.level() < best.level) {
                    best = Some(Self { range: start..end, level: view.level() });
                }
            }
            if best.as_ref().is_some_and(|best| best.level == 0) {
                return best;
            }
            start = end;
        }
        best
    }

    fn usable(&self, view: View) -> Option<View> {
        (!view.tried && view.level() == self.level).then_some(view)
    }

    fn from(&self, start: usize) -> impl Iterator<Item = usize> + use<> {
        let (first, length) = (self.range.start, self.range.len().max(1));
        (0..self.range.len()).map(move |step| first + (start % length + step) % length)
    }

    /// The one with the least to do, slow ones counted heavier. `turn`, which the caller increments with every request,
    /// decides between equals, so that a quiet service is served in turns. With many targets two of them, picked by
    /// `turn` and `random`, are compared: nearly as even, at a fixed cost. For targets of equal weight.
    pub fn least(&self, turn: usize, random: usize, view: impl Fn(usize) -> View) -> Option<usize> {
        let usable = |index: usize| self.usable(view(index)).map(|view| (index, view));
        if self.range.len() <= COMPARE_ALL {
            let fastest =
                self.range.clone().filter_map(usable).map(|(_, view)| view.latency).min().unwrap_or(0);
            // `min_by_key` keeps the first of equals, and the first is the one whose turn it is.
            return self
                .from(turn)
                .filter_map(usable)
                .min_by_key(|(_, view)| cost(view, fastest))
                .map(|(index, _)| index);
        }
        let first = self.from(turn).find_map(usable)?;
        let second = self.from(random).filter(|&index| index != first.0).find_map(usable).unwrap_or(first);
        let fastest = first.1.latency.min(second.1.latency);
        Some(if cost(&second.1, fastest) < cost(&first.1, fastest) { second.0 } else { first.0 })
    }

    /// In turns, each by its weight, spread evenly (nginx's way). `credit` keeps a number per target from one
    /// choice to the next. With `mind_load` one that has much to do gets less than its share.
    pub fn in_turn(
        &self,
        mind_load: bool,
        view: impl Fn(usize) -> View,
        credit: impl Fn(usize, Option<i64>) -> i64,
    ) -> Option<usize> {
        let usable = |index: usize| self.usable(view(index)).map(|view| (index, view));
        let fastest = self.range.clone().filter_map(usable).map(|(_, view)| view.latency).min().unwrap_or(0);
        let mut total = 0;
        let mut chosen: Option<(usize, i64)> = None;
        for (index, view) in self.range.clone().filter_map(usable) {
            let share = i64::from(view.weight.max(1)) * 1000;
            let burden = if mind_load { i64::try_from(cost(&view, fastest)).unwrap_or(i64::MAX) } else { 1 };
            let share = (share / burden.max(1)).max(1);
            total += share;
            let now = credit(index, None).saturating_add(share);
            credit(index, Some(now));
            if chosen.is_none_or(|(_, most)| now > most) {
                chosen = Some((index, now));
            }
        }
        let (index, now) = chosen?;
        credit(index, Some(now - total));
        Some(index)
    }

    /// The same one for the same key as long as it is there; when one comes or goes, only its own share of the keys
    /// moves (rendezvous hashing, weighted). `id` is a target's own number.
    pub fn by_hash(
        &self,
        key: u64,
        view: impl Fn(usize) -> View,
        id: impl Fn(usize) -> u64,
    ) -> Option<usize> {
        let score = |index: usize, view: View| {
            // 53 bits fit a float exactly; the half keeps it off zero.
            #[allow(clippy::cast_precision_loss)]
            let fraction = ((mix(key ^ id(index)) >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
            -f64::from(view.weight.max(1)) / fraction.ln()
        };
        self.range
            .clone()
            .filter_map(|index| self.usable(view(index)).map(|view| (index, score(index, view))))
            .max_by(|(_, one), (_, other)| one.total_cmp(other))
            .map(|(index, _)| index)
    }
}

/// What one more request would cost.
fn cost(view: &View, fastest: u32) -> u64 {
    // From four times the fastest one's latency a target counts as slow.
    let factor = (view.latency / (2 * fastest.max(FAST_MICROS))).clamp(1, FACTOR_MAX);
    (view.outstanding as u64 + 1) * u64::from(factor)
}

/// The latency after a new sample; `age` is the time since the one before, in milliseconds.
pub fn blend(before: u32, age: u64, sample: u32) -> u32 {
    let before = fade(before, age);
    // A slow answer is believed sooner than a fast one.
    if sample > before { before / 2 + sample / 2 } else { before - before / 8 + sample / 8 }
}

/// What a latency is worth that was measured so many milliseconds ago.
pub fn fade(latency: u32, age: u64) -> u32 {
    latency.checked_shr(u32::try_from(age / HALF_LIFE_MS).unwrap_or(u32::MAX)).unwrap_or(0)
}

/// The weight of a target that is new since `age`: a tenth at first, all of it after `slow_start` (both milliseconds).
pub fn ramp(weight: u32, age: u64, slow_start: u64) -> u32 {
    if age >= slow_start {
        return weight;
    }
    let share = (age * 1000).checked_div(slow_start).unwrap_or(1000).clamp(100, 1000);
    (u64::from(weight) * share / 1000).try_into().unwrap_or(weight).max(u32::from(weight > 0))
}

/// A hash that is the same everywhere (FNV-1a, then mixed): all routers choose alike.
pub fn hash(bytes: &[u8]) -> u64 {
    mix(bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
}

/// The finish of SplitMix64.
fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use proptest::prelude::*;

    use super::*;

    const IDLE: View = View::IDLE;
    const OUT: View = View { out: true, ..IDLE };
    const TRIED: View = View { tried: true, ..IDLE };
    const DRAINING: View = View { draining: true, ..IDLE };

    fn busy(outstanding: usize) -> View {
        View { outstanding, ..IDLE }
    }

    fn chosen(preferred: usize, turn: usize, views: &[View]) -> Option<usize> {
        let view = |index: usize| views[index];
        Class::best(&[preferred, views.len()], view)?.least(turn, 0, view)
    }

    #[test]
    fn the_table_of_choices() {
        for (preferred, views, choice) in [
            (0, vec![], None),
            (1, vec![IDLE], Some(0)),
            (2, vec![busy(3), busy(1)], Some(1)),
            (2, vec![TRIED, busy(9)], Some(1)),
            (2, vec![OUT, busy(9)], Some(1)),
            (2, vec![DRAINING, busy(9)], Some(1)),
            (2, vec![View { weight: 0, ..IDLE }, busy(9)], Some(1)),
            // Instances only when no load balancer is sound, bad ones only when nothing else is left.
            (2, vec![OUT, TRIED, IDLE], Some(2)),
            (2, vec![OUT, DRAINING, IDLE], Some(2)),
            (2, vec![OUT, DRAINING, OUT], Some(1)),
            (2, vec![OUT, OUT, DRAINING], Some(2)),
            (2, vec![OUT, TRIED, TRIED], Some(0)),
            (2, vec![OUT, OUT, OUT], Some(0)),
            (2, vec![TRIED, TRIED, OUT], Some(2)),
            (2, vec![TRIED, TRIED, TRIED], None),
            // A slow one counts as many.
            (2, vec![View { latency: 200_000, ..IDLE }, View { latency: 1_000, ..busy(5) }], Some(1)),
            (2, vec![View { latency: 15_000, ..IDLE }, View { latency: 1_000, ..busy(1) }], Some(0)),
        ] {
            assert_eq!(chosen(preferred, 0, &views), choice, "{preferred} of {views:?}");
        }
    }

    #[test]
    fn equals_take_turns() {
        let views = [IDLE; 4];
        let choices: Vec<_> = (0..8).map(|turn| chosen(4, turn, &views).unwrap()).collect();
        assert_eq!(choices, [0, 1, 2, 3, 0, 1, 2, 3]);
    }

    #[test]
    fn of_many_targets_the_better_of_two_is_taken() {
        let views: Vec<_> = (0..100).map(|index| busy(100 - index)).collect();
        let view = |index: usize| views[index];
        let class = Class::best(&[100], view).unwrap();
        assert_eq!(class.least(10, 20, view), Some(20));
        assert_eq!(class.least(20, 10, view), Some(20));
        assert_eq!(class.least(20, 20, view), Some(21));
    }

    fn turns(views: &[View], mind_load: bool, count: usize) -> Vec<usize> {
        let credits = RefCell::new(vec![0; views.len()]);
        let view = |index: usize| views[index];
        let class = Class::best(&[views.len()], view).unwrap();
        let credit = |index: usize, new: Option<i64>| {
            let mut credits = credits.borrow_mut();
            credits[index] = new.unwrap_or(credits[index]);
            credits[index]
        };
        (0..count).map(|_| class.in_turn(mind_load, view, credit).unwrap()).collect()
    }

    #[test]
    fn weights_are_shares_spread_evenly() {
        let weighted = |weight| View { weight, ..IDLE };
        assert_eq!(turns(&[weighted(200), weighted(100)], false, 6), [0, 1, 0, 0, 1, 0]);
        let turns = turns(&[weighted(100), weighted(5)], true, 105);
        assert_eq!(turns.iter().filter(|&&index| index == 1).count(), 5);
    }

    #[test]
    fn who_has_much_to_do_gets_less_than_its_share() {
        let turns = turns(&[busy(0), busy(3)], true, 100);
        assert_eq!(turns.iter().filter(|&&index| index == 1).count(), 20);
    }

    #[test]
    fn a_new_target_gets_its_share_little_by_little() {
        for (age, expected) in [(0, 10), (1_000, 10), (5_000, 50), (9_999, 99), (10_000, 100), (99_999, 100)]
        {
            assert_eq!(ramp(100, age, 10_000), expected, "{age}");
        }
        assert_eq!((ramp(1, 0, 10_000), ramp(0, 0, 10_000), ramp(100, 0, 0)), (1, 0, 100));
    }

    #[test]
    fn latency_rises_at_once_falls_slowly_and_is_forgotten() {
        assert_eq!(blend(0, 0, 1_000), 500);
        assert_eq!(blend(1_000, 0, 0), 875);
        assert_eq!(blend(1_000, 10_000, 250), 250);
        assert_eq!((fade(1_000, 4_999), fade(1_000, 5_000), fade(1_000, u64::MAX)), (1_000, 500, 0));
    }

    fn views() -> impl Strategy<Value = Vec<View>> {
        let view = (0..5usize, 0..50_000u32, 0..3u32, any::<[bool; 3]>());
        prop::collection::vec(
            view.prop_map(|(outstanding, latency, weight, [draining, out, tried])| View {
                outstanding,
                latency,
                weight: weight * 50,
                draining,
                out,
                tried,
            }),
            0..30,
        )
    }

    proptest! {
        #[test]
        fn something_is_chosen_exactly_when_something_is_untried_and_it_is_of_the_best(
            views in views(), preferred in 0..40usize, turn: usize, random: usize, key: u64
        ) {
            let view = |index: usize| views[index];
            let class = Class::best(&[preferred.min(views.len()), views.len()], view);
            prop_assert_eq!(class.is_some(), views.iter().any(|view| !view.tried));
            if let Some(class) = class {
                let best = views.iter().filter(|view| !view.tried).map(View::level).min().unwrap();
                let ways = [
                    class.least(turn, random, view),
                    class.in_turn(true, view, |_, new| new.unwrap_or(0)),
                    class.by_hash(key, view, |index| index as u64),
                ];
                for index in ways {
                    let chosen = views[index.unwrap()];
                    prop_assert!(!chosen.tried);
                    prop_assert_eq!(chosen.level(), best);
                }
            }
        }

        #[test]
        fn when_a_target_leaves_only_its_keys_move(keys in prop::collection::vec(any::<u64>(), 50), gone in 0..10usize) {
            let all = |_: usize| IDLE;
            let without = |index: usize| if index == gone { TRIED } else { IDLE };
            let id = |index: usize| hash(&index.to_le_bytes());
            for key in keys {
                let before = Class::best(&[10], all).unwrap().by_hash(key, all, id).unwrap();
                let after = Class::best(&[10], without).unwrap().by_hash(key, without, id).unwrap();
                prop_assert!(after != gone && (before == gone || before == after));
            }
        }
    }

    #[test]
    fn keys_are_spread_by_weight() {
        let view = |index: usize| View { weight: if index == 0 { 300 } else { 100 }, ..IDLE };
        let class = Class::best(&[2], view).unwrap();
        let heavy = (0..4000u64)
            .filter(|key| class.by_hash(hash(&key.to_le_bytes()), view, |i| i as u64) == Some(0))
            .count();
        assert!((2850..3150).contains(&heavy), "{heavy} of 4000");
    }
}
