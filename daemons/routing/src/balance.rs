//! Which target gets the next request: the fewest outstanding requests, in turns where that is equal.

/// Up to this many targets all of them are compared; beyond it two are.
const COMPARE_ALL: usize = 8;

/// What is known of a target when a choice is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Requests that it is working on.
    pub outstanding: usize,
    /// Left out after failures; see [`crate::Ejection`].
    pub ejected: bool,
    /// This request was there already.
    pub tried: bool,
}

/// Chooses among `count` targets of which the first `preferred` (the load balancers) come first.
///
/// The order: a sound target of the first tier, a sound one of the second, then ejected ones in the same order
/// (fail open), never one that was tried. Within a tier the one with the fewest outstanding requests; `turn`, which
/// the caller increments with every request, decides between equals, so that a quiet service is served in turns.
/// With many targets two of them, picked by `turn` and `random`, are compared: nearly as even, at a fixed cost.
pub fn choose(
    count: usize,
    preferred: usize,
    turn: usize,
    random: usize,
    view: impl Fn(usize) -> View,
) -> Option<usize> {
    let preferred = preferred.min(count);
    let tiers = [(0, preferred), (preferred, count - preferred)];
    for allow_ejected in [false, true] {
        for (start, length) in tiers {
            let found = choose_within(length, turn, random, |index| {
                let view = view(start + index);
                (!view.tried && (allow_ejected || !view.ejected)).then_some(view.outstanding)
            });
            if let Some(index) = found {
                return Some(start + index);
            }
        }
    }
    None
}

/// `load` gives the outstanding requests of a target that may be used.
fn choose_within(
    length: usize,
    turn: usize,
    random: usize,
    load: impl Fn(usize) -> Option<usize>,
) -> Option<usize> {
    if length == 0 {
        return None;
    }
    let from = |start: usize| (0..length).map(move |step| (start % length + step) % length);
    let usable = |index: usize| load(index).map(|load| (load, index));
    if length <= COMPARE_ALL {
        // `min_by_key` keeps the first of equals, and the first is the one whose turn it is.
        return from(turn).filter_map(usable).min_by_key(|&(load, _)| load).map(|(_, index)| index);
    }
    let first = from(turn).find_map(usable)?;
    let second = from(random).filter(|&index| index != first.1).find_map(usable).unwrap_or(first);
    Some(if second.0 < first.0 { second.1 } else { first.1 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const IDLE: View = View { outstanding: 0, ejected: false, tried: false };
    const OUT: View = View { ejected: true, ..IDLE };
    const TRIED: View = View { tried: true, ..IDLE };

    fn busy(outstanding: usize) -> View {
        View { outstanding, ..IDLE }
    }

    fn chosen(preferred: usize, turn: usize, views: &[View]) -> Option<usize> {
        choose(views.len(), preferred, turn, 0, |index| views[index])
    }

    #[test]
    fn the_table_of_choices() {
        for (preferred, views, choice) in [
            (0, vec![], None),
            (1, vec![IDLE], Some(0)),
            (2, vec![busy(3), busy(1)], Some(1)),
            (2, vec![TRIED, busy(9)], Some(1)),
            (2, vec![OUT, busy(9)], Some(1)),
            // Instances only when no load balancer is sound, ejected ones only when nothing else is left.
            (2, vec![OUT, TRIED, IDLE], Some(2)),
            (2, vec![OUT, TRIED, TRIED], Some(0)),
            (2, vec![OUT, OUT, OUT], Some(0)),
            (2, vec![TRIED, TRIED, OUT], Some(2)),
            (2, vec![TRIED, TRIED, TRIED], None),
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
        assert_eq!(choose(100, 100, 10, 20, |index| views[index]), Some(20));
        assert_eq!(choose(100, 100, 20, 10, |index| views[index]), Some(20));
        assert_eq!(choose(100, 100, 20, 20, |index| views[index]), Some(21));
    }

    fn views() -> impl Strategy<Value = Vec<View>> {
        prop::collection::vec(
            (0..5usize, any::<bool>(), any::<bool>()).prop_map(|(outstanding, ejected, tried)| View {
                outstanding,
                ejected,
                tried,
            }),
            0..30,
        )
    }

    proptest! {
        #[test]
        fn something_is_chosen_exactly_when_something_is_untried(
            views in views(), preferred in 0..40usize, turn: usize, random: usize
        ) {
            let choice = choose(views.len(), preferred, turn, random, |index| views[index]);
            prop_assert_eq!(choice.is_some(), views.iter().any(|view| !view.tried));
            if let Some(index) = choice {
                prop_assert!(!views[index].tried);
                let sound_left = views.iter().any(|view| !view.tried && !view.ejected);
                prop_assert_eq!(views[index].ejected, !sound_left);
            }
        }

        #[test]
        fn a_small_tier_gives_one_of_its_least_loaded(views in prop::collection::vec(0..5usize, 1..=8), turn: usize) {
            let choice = choose(views.len(), views.len(), turn, 0, |index| busy(views[index])).unwrap();
            prop_assert_eq!(Some(&views[choice]), views.iter().min());
        }
    }
}
