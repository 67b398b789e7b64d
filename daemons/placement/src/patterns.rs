//! Which unit names which: the globs of Conflicts= and Replaces=, each kept once with the units on both its sides.
//!
//! Thousands of instances with `Conflicts=web@*.service` are one pattern with thousands of members, never a
//! list of pairs.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    ops::Bound,
};

use convoy_unit_files::Glob;

use crate::{
    catalog::insert_sorted,
    table::{Table, UnitAt},
};

/// One glob.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    glob: Glob,
    /// Units whose names match.
    pub(crate) members: Vec<UnitAt>,
    /// Units that name it.
    pub(crate) declarers: Vec<UnitAt>,
}

/// A pattern that nobody names any more.
#[derive(Debug)]
pub(crate) struct Gone {
    pub(crate) pattern: usize,
    pub(crate) members: Vec<UnitAt>,
}

/// All globs that any unit names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Patterns {
    patterns: Table<Option<Pattern>>,
    free: Vec<usize>,
    by_text: HashMap<String, usize>,
    /// Those with wildcards, by the literal text before the first of them.
    by_prefix: BTreeMap<usize, HashMap<String, Vec<usize>>>,
}

impl Patterns {
    pub(crate) const fn len(&self) -> usize {
        self.patterns.len()
    }

    pub(crate) fn get(&self, pattern: usize) -> Option<&Pattern> {
        self.patterns[pattern].as_ref()
    }

    /// The patterns of a unit, sorted. `found` is told of every unit that a new pattern matches.
    pub(crate) fn declare<'g>(
        &mut self,
        unit: UnitAt,
        globs: impl Iterator<Item = &'g Glob>,
        names: &BTreeMap<Cow<'_, str>, UnitAt>,
        mut found: impl FnMut(UnitAt, usize),
    ) -> Vec<usize> {
        let mut declared = Vec::new();
        for glob in globs {
            let at = match self.by_text.get(glob.as_str()) {
                Some(known) => *known,
                None => self.add(glob, names, &mut found),
            };
            let before = declared.len();
            insert_sorted(&mut declared, at);
            if let Some(pattern) = self.patterns[at].as_mut().filter(|_| declared.len() > before) {
                pattern.declarers.push(unit);
            }
        }
        declared
    }

    /// The patterns that a new unit's name matches, sorted.
    pub(crate) fn hits(&mut self, unit: UnitAt, name: &str) -> Vec<usize> {
        let mut hits: Vec<usize> = self.by_text.get(name).copied().into_iter().collect();
        for (len, patterns) in &self.by_prefix {
            hits.extend(name.get(..*len).and_then(|prefix| patterns.get(prefix)).into_iter().flatten());
        }
        hits.sort_unstable();
        hits.dedup();
        hits.retain(|at| match self.patterns[*at].as_mut() {
            Some(pattern) if pattern.glob.matches(name) => {
                pattern.members.push(unit);
                true
            }
            _ => false,
        });
        hits
    }

    /// Takes a unit out. Patterns that nobody names any more are gone; their members have to be told.
    pub(crate) fn forget(&mut self, unit: UnitAt, declares: &[usize], hits: &[usize]) -> Vec<Gone> {
        for at in hits {
            if let Some(pattern) = self.patterns[*at].as_mut() {
                pattern.members.retain(|member| *member != unit);
            }
        }
        let mut gone = Vec::new();
        for at in declares {
            let Some(pattern) = self.patterns[*at].as_mut() else { continue };
            pattern.declarers.retain(|declarer| *declarer != unit);
            if !pattern.declarers.is_empty() {
                continue;
            }
            if let Some(pattern) = self.patterns[*at].take() {
                self.by_text.remove(pattern.glob.as_str());
                let prefix = literal_prefix(pattern.glob.as_str());
                if let Some(patterns) = self.by_prefix.get_mut(&prefix.len())
                    && let Some(list) = patterns.get_mut(prefix)
                {
                    list.retain(|other| other != at);
                }
                gone.push(Gone { pattern: *at, members: pattern.members });
                self.free.push(*at);
            }
        }
        gone
    }

    fn add(
        &mut self,
        glob: &Glob,
        names: &BTreeMap<Cow<'_, str>, UnitAt>,
        found: &mut impl FnMut(UnitAt, usize),
    ) -> usize {
        let at = self.free.pop().unwrap_or_else(|| self.patterns.push(None));
        let text = glob.as_str();
        let prefix = literal_prefix(text);
        let mut members = Vec::new();
        if prefix.len() == text.len() {
            members.extend(names.get(text));
        } else {
            self.by_prefix.entry(prefix.len()).or_default().entry(prefix.to_owned()).or_default().push(at);
            let range = names.range::<str, _>((Bound::Included(prefix), Bound::Unbounded)).take_while(|(name, _)| name.starts_with(prefix));
            members.extend(range.filter(|(name, _)| glob.matches(name)).map(|(_, unit)| *unit));
        }
        members.iter().for_each(|member| found(*member, at));
        self.by_text.insert(text.to_owned(), at);
        self.patterns[at] = Some(Pattern { glob: glob.clone(), members, declarers: Vec::new() });
        at
    }
}

/// The part of a glob that a name has to begin with.
fn literal_prefix(glob: &str) -> &str {
    glob.split(['*', '?', '[', '\\']).next().unwrap_or_default()
}
