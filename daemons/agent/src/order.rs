//! In which order starts are queued. Pure.

use std::collections::{BTreeMap, BTreeSet};

use convoy_unit_files::UnitName;

/// Sorts units so that each comes after those that it is started after, as far as they are among them. A circle is
/// broken somewhere; systemd has its own word to say about it.
pub fn by_dependency<'a>(units: &BTreeMap<&'a UnitName, &'a [String]>) -> Vec<&'a UnitName> {
    let names: BTreeMap<&str, &'a UnitName> = units.keys().map(|unit| (unit.as_str(), *unit)).collect();
    let mut sorted = Vec::with_capacity(units.len());
    let mut seen = BTreeSet::new();
    for unit in units.keys() {
        visit(unit, units, &names, &mut seen, &mut sorted);
    }
    sorted
}

fn visit<'a>(
    unit: &'a UnitName,
    units: &BTreeMap<&'a UnitName, &'a [String]>,
    names: &BTreeMap<&str, &'a UnitName>,
    seen: &mut BTreeSet<&'a UnitName>,
    sorted: &mut Vec<&'a UnitName>,
) {
    // A stack of its own: the depth is in the hands of whoever writes the units.
    let mut stack = vec![(unit, 0)];
    if !seen.insert(unit) {
        return;
    }
    while let Some((unit, position)) = stack.pop() {
        let first = units.get(unit).and_then(|names| names.get(position));
        let Some(first) = first else {
            sorted.push(unit);
            continue;
        };
        stack.push((unit, position + 1));
        if let Some(other) = names.get(first.as_str())
            && seen.insert(other)
        {
            stack.push((other, 0));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sorted(units: &[(&str, &[&str])]) -> Vec<String> {
        let names: Vec<UnitName> = units.iter().map(|(unit, _)| UnitName::parse(unit).unwrap()).collect();
        let lists: Vec<Vec<String>> =
            units.iter().map(|(_, after)| after.iter().map(|name| (*name).to_owned()).collect()).collect();
        let map = names.iter().zip(lists.iter().map(Vec::as_slice)).collect();
        by_dependency(&map).into_iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_others_need_comes_first() {
        assert_eq!(
            sorted(&[
                ("a.service", &["c.service", "elsewhere.service"]),
                ("b.service", &[]),
                ("c.service", &["b.service"]),
            ]),
            ["b.service", "c.service", "a.service"]
        );
    }

    #[test]
    fn a_circle_is_broken() {
        let units = sorted(&[("a.service", &["b.service"]), ("b.service", &["a.service"])]);
        assert_eq!(units.len(), 2);
    }

    proptest! {
        #[test]
        fn everything_comes_once_and_after_what_it_needs(edges in prop::collection::vec((0usize..12, 0usize..12), 0..40)) {
            // Edges to smaller numbers only, so that there is an order; names hide it.
            let name = |number: usize| UnitName::parse(&format!("{}.service", (number * 7) % 12)).unwrap();
            let mut after: BTreeMap<UnitName, Vec<String>> = (0..12).map(|number| (name(number), vec![])).collect();
            for (one, two) in edges {
                if one > two {
                    after.get_mut(&name(one)).unwrap().push(name(two).to_string());
                }
            }
            let map = after.iter().map(|(unit, list)| (unit, list.as_slice())).collect();
            let order = by_dependency(&map);
            prop_assert_eq!(order.len(), 12);
            let place = |unit: &str| order.iter().position(|found| found.as_str() == unit).unwrap();
            for (unit, list) in &after {
                for first in list {
                    prop_assert!(place(first) < place(unit.as_str()), "{first} before {unit}");
                }
            }
        }
    }
}
