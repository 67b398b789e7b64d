//! The quick ways through the keys give what confd's plain definitions give, which look at every key.

use std::collections::BTreeSet;

use convoy_go_template::Text;
use proptest::prelude::*;

use super::{Snapshot, strip_key};
use crate::glob::Pattern;
use crate::path::{base, clean, dir};

fn terms(path: &[u8]) -> Vec<Vec<u8>> {
    clean(path).split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect()
}

/// confd's `ls`.
fn list(keys: &[Text], path: &[u8]) -> BTreeSet<Text> {
    let prefix = terms(path);
    keys.iter()
        .filter_map(|key| {
            if key.as_bytes() == path {
                return Some(Text::from(base(key)));
            }
            let first = strip_key(key, path).split(|byte| *byte == b'/').next();
            terms(&dir(key)).starts_with(&prefix).then(|| Text::from(first.unwrap_or_default()))
        })
        .collect()
}

/// confd's `lsdir`.
fn list_folders(keys: &[Text], path: &[u8]) -> BTreeSet<Text> {
    let prefix = terms(path);
    keys.iter()
        .filter(|key| key.starts_with(path))
        .filter_map(|key| terms(&dir(key)).strip_prefix(prefix.as_slice())?.first().cloned())
        .map(Text::from)
        .collect()
}

fn snapshot(keys: &[Text]) -> Snapshot {
    Snapshot::new(keys.iter().map(|key| (key.clone(), key.clone())), "/")
}

/// Keys as confd shows them: clean, from the root; names that sort around the slash.
fn keys() -> impl Strategy<Value = Vec<Text>> {
    prop::collection::vec("(/[a-c](-|\\.x|0)?){1,4}".prop_map(Text::from), 0..20)
}

proptest! {
    #[test]
    fn lists_are_confds(keys in keys(), path in "(/?[a-c](-|0)?){0,3}/{0,2}(\\.\\.?)?") {
        let snapshot = snapshot(&keys);
        let path = path.as_bytes();
        prop_assert_eq!(snapshot.list(path), list(&keys, path));
        prop_assert_eq!(snapshot.list_folders(path), list_folders(&keys, path));
    }

    #[test]
    fn patterns_find_what_matches(keys in keys(), pattern in "/?([a-c/*?-]|\\[[a-c^-]{0,2}\\]){0,8}") {
        let snapshot = snapshot(&keys);
        let Ok(parsed) = Pattern::parse(pattern.as_bytes()) else {
            prop_assert_eq!(snapshot.matching(pattern.as_bytes()).is_err(), !keys.is_empty());
            return Ok(());
        };
        let expected: BTreeSet<&Text> = keys.iter().filter(|key| parsed.matches(key)).collect();
        let found = snapshot.matching(pattern.as_bytes()).unwrap();
        prop_assert!(found.looked <= keys.len());
        let found: Vec<&Text> = found.pairs.into_iter().map(|(key, _)| key).collect();
        prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
    }

    /// Go's matcher, written as its documentation reads.
    #[test]
    fn patterns_without_classes_match_by_trying(pattern in "[ab/*?]{0,8}", name in "[ab/]{0,8}") {
        fn matches(pattern: &[u8], name: &[u8]) -> bool {
            match (pattern.split_first(), name.split_first()) {
                (None, None) => true,
                (Some((b'*', rest)), _) if matches(rest, name) => true,
                (Some((b'*', _)), Some((byte, after))) => *byte != b'/' && matches(pattern, after),
                (Some((b'?', rest)), Some((byte, after))) => *byte != b'/' && matches(rest, after),
                (Some((one, rest)), Some((byte, after))) => one == byte && matches(rest, after),
                _ => false,
            }
        }
        let parsed = Pattern::parse(pattern.as_bytes()).unwrap();
        prop_assert_eq!(parsed.matches(name.as_bytes()), matches(pattern.as_bytes(), name.as_bytes()));
    }

    #[test]
    fn any_pattern_and_path_get_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
        let snapshot = snapshot(&[Text::from("/a/b"), Text::from("/a")]);
        let _ = snapshot.matching(&bytes);
        let _ = (snapshot.list(&bytes), snapshot.list_folders(&bytes));
        prop_assert_eq!(clean(&clean(&bytes)), clean(&bytes));
    }
}
