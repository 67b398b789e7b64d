//! The keys that a template sees, all of the same moment.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use convoy_go_template::Text;

use crate::glob::{BadPattern, Pattern};
use crate::path::{base, clean, dir};

/// Keys and values in the order of the keys' bytes, with confd's questions to them.
#[derive(Debug, Clone, Default)]
pub struct Snapshot(Arc<BTreeMap<Text, Text>>);

/// The keys that match a pattern.
#[derive(Debug, Clone, Default)]
pub struct Matches<'s> {
    /// Keys and values, in the order of the keys.
    pub pairs: Vec<(&'s Text, &'s Text)>,
    /// How many keys had to be looked at.
    pub looked: usize,
}

impl Snapshot {
    /// The keys as confd shows them to a template: `prefix` is cut off, the rest is a clean path from `/`.
    pub fn new(pairs: impl IntoIterator<Item = (Text, Text)>, prefix: &str) -> Self {
        let prefix = clean(&[b"/", prefix.as_bytes()].concat());
        let prefix = prefix.strip_suffix(b"/").unwrap_or(&prefix);
        let shown = pairs.into_iter().filter_map(|(key, value)| {
            let key = clean(&[b"/", key.as_bytes()].concat());
            let rest = key.strip_prefix(prefix)?;
            let below = rest.is_empty() || rest.first() == Some(&b'/');
            below.then(|| (Text::from(clean(&[b"/", rest].concat())), value))
        });
        Self(Arc::new(shown.collect()))
    }

    /// The value of a key; a directory has none.
    pub fn get(&self, key: &[u8]) -> Option<&Text> {
        self.0.get(key)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no key at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys that match a pattern. With no key at all no pattern is bad.
    pub fn matching(&self, pattern: &[u8]) -> Result<Matches<'_>, BadPattern> {
        if self.0.is_empty() {
            return Ok(Matches::default());
        }
        let pattern = Pattern::parse(pattern)?;
        let prefix = pattern.literal_prefix();
        let mut looked = 0;
        let pairs =
            self.under(&prefix).inspect(|_| looked += 1).filter(|(key, _)| pattern.matches(key)).collect();
        Ok(Matches { pairs, looked })
    }

    /// The keys and folders that match a pattern.
    pub(crate) fn paths(&self, pattern: &Pattern) -> BTreeSet<Text> {
        let mut found = BTreeSet::new();
        for (key, _) in self.under(&pattern.literal_prefix()) {
            let ends = key.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/').map(|(end, _)| end);
            for end in ends.chain([key.len()]) {
                let path = key.get(..end).unwrap_or_default();
                if !found.contains(path) && pattern.matches(path) {
                    found.insert(Text::from(path));
                }
            }
        }
        found
    }

    /// The next path segments below a path, as confd's `ls`: `/` has only top-level keys, and a path that is
    /// itself a key adds its own last segment.
    pub fn list(&self, path: &[u8]) -> BTreeSet<Text> {
        let mut names = BTreeSet::new();
        if self.0.contains_key(path) {
            names.insert(Text::from(base(path)));
        }
        let folder = clean(path);
        if folder == b"/" {
            let top = self.0.keys().filter(|key| key.as_bytes() != path && dir(key) == b"/");
            names.extend(top.map(|key| first_segment(strip_key(key, path))));
            return names;
        }
        self.segments(&folder, |key, _| {
            if key != path {
                names.insert(first_segment(strip_key(key, path)));
            }
        });
        names
    }

    /// The next path segments below a path that have something below themselves, as confd's `lsdir`; `/` has none.
    pub fn list_folders(&self, path: &[u8]) -> BTreeSet<Text> {
        let mut names = BTreeSet::new();
        let folder = clean(path);
        if folder == b"/" {
            return names;
        }
        self.segments(&folder, |key, segment| {
            if key.starts_with(path) && key.len() > folder.len() + 1 + segment.len() {
                names.insert(Text::from(segment));
            }
        });
        names
    }

    fn under<'s, 'p>(&'s self, prefix: &'p [u8]) -> impl Iterator<Item = (&'s Text, &'s Text)> + use<'s, 'p> {
        self.0
            .range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// Calls `visit` with one key for each segment below a folder, and each leaf: whole subtrees are passed over.
    fn segments(&self, folder: &[u8], mut visit: impl FnMut(&[u8], &[u8])) {
        let inside = [folder, b"/"].concat();
        let mut from = inside.clone();
        while let Some((key, _)) = self
            .0
            .range::<[u8], _>((Bound::Included(from.as_slice()), Bound::Unbounded))
            .next()
            .filter(|(key, _)| key.starts_with(&inside))
        {
            let rest = key.get(inside.len()..).unwrap_or_default();
            let segment = rest.split(|byte| *byte == b'/').next().unwrap_or_default();
            visit(key, segment);
            from = if rest.len() > segment.len() {
                // The byte after a slash: behind everything below this segment.
                [&inside, segment, b"0"].concat()
            } else {
                [key, b"\0".as_slice()].concat()
            };
        }
    }
}

fn strip_key<'k>(key: &'k [u8], prefix: &[u8]) -> &'k [u8] {
    let rest = key.strip_prefix(prefix).unwrap_or(key);
    rest.strip_prefix(b"/").unwrap_or(rest)
}

fn first_segment(path: &[u8]) -> Text {
    Text::from(path.split(|byte| *byte == b'/').next().unwrap_or_default())
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
