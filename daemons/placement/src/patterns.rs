//! Which unit names which: the globs of Conflicts= and Replaces=, each kept once with the units on both its sides.
//!
//! Thousands of instances with `Conflicts=web@*.service` are one pattern with thousands of members, never a
//! list of pairs.

use std::{borrow::Cow, collections::BTreeMap, ops::Bound};

use convoy_unit_files::Glob;

use crate::{
    catalog::insert_sorted,
    hash::FastMap,
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
    all: Table<Option<Pattern>>,
    free: Vec<usize>,
    by_text: FastMap<String, usize>,
    /// Those with wildcards, by the literal text before the first of them, or after the last if that says more.
    prefixes: Affixes,
    suffixes: Affixes,
}

/// Patterns by a literal part, by its length.
type Affixes = BTreeMap<usize, FastMap<String, Vec<usize>>>;

/// What a name has to begin or to end with.
#[derive(Debug, Clone, Copy)]
enum Affix<'a> {
    Prefix(&'a str),
    Suffix(&'a str),
}

impl<'a> Affix<'a> {
    fn of(glob: &'a str) -> Self {
        let wild = ['*', '?', '[', ']', '\\'];
        let prefix = glob.split(wild).next().unwrap_or_default();
        let suffix = glob.rsplit(wild).next().unwrap_or_default();
        // The type says little: almost all names end with `.service`.
        let telling = suffix.rfind('.').unwrap_or(suffix.len());
        if telling > prefix.len() { Self::Suffix(suffix) } else { Self::Prefix(prefix) }
    }

    const fn text(self) -> &'a str {
        match self {
            Self::Prefix(text) | Self::Suffix(text) => text,
        }
    }
}

impl Patterns {
    pub(crate) const fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn get(&self, pattern: usize) -> Option<&Pattern> {
        self.all[pattern].as_ref()
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
            if let Some(pattern) = self.all[at].as_mut().filter(|_| declared.len() > before) {
                pattern.declarers.push(unit);
            }
        }
        declared
    }

    /// The patterns that a new unit's name matches, sorted.
    pub(crate) fn hits(&mut self, unit: UnitAt, name: &str) -> Vec<usize> {
        let mut hits: Vec<usize> = self.by_text.get(name).copied().into_iter().collect();
        for (len, patterns) in &self.prefixes {
            hits.extend(name.get(..*len).and_then(|prefix| patterns.get(prefix)).into_iter().flatten());
        }
        for (len, patterns) in &self.suffixes {
            let suffix = name.len().checked_sub(*len).and_then(|from| name.get(from..));
            hits.extend(suffix.and_then(|suffix| patterns.get(suffix)).into_iter().flatten());
        }
        hits.sort_unstable();
        hits.dedup();
        hits.retain(|at| match self.all[*at].as_mut() {
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
            if let Some(pattern) = self.all[*at].as_mut() {
                pattern.members.retain(|member| *member != unit);
            }
        }
        let mut gone = Vec::new();
        for at in declares {
            let Some(pattern) = self.all[*at].as_mut() else { continue };
            pattern.declarers.retain(|declarer| *declarer != unit);
            if !pattern.declarers.is_empty() {
                continue;
            }
            if let Some(pattern) = self.all[*at].take() {
                self.by_text.remove(pattern.glob.as_str());
                let affix = Affix::of(pattern.glob.as_str());
                if let Some(patterns) = self.affixes(affix).get_mut(&affix.text().len())
                    && let Some(list) = patterns.get_mut(affix.text())
                {
                    list.retain(|other| other != at);
                    if list.is_empty() {
                        patterns.remove(affix.text());
                    }
                }
                gone.push(Gone { pattern: *at, members: pattern.members });
                self.free.push(*at);
            }
        }
        gone
    }

    const fn affixes(&mut self, affix: Affix<'_>) -> &mut Affixes {
        match affix {
            Affix::Prefix(_) => &mut self.prefixes,
            Affix::Suffix(_) => &mut self.suffixes,
        }
    }

    fn add(
        &mut self,
        glob: &Glob,
        names: &BTreeMap<Cow<'_, str>, UnitAt>,
        found: &mut impl FnMut(UnitAt, usize),
    ) -> usize {
        let at = self.free.pop().unwrap_or_else(|| self.all.push(None));
        let text = glob.as_str();
        let affix = Affix::of(text);
        let mut members: Vec<UnitAt> = Vec::new();
        if affix.text().len() == text.len() {
            members.extend(names.get(text));
        } else {
            let lists = self.affixes(affix).entry(affix.text().len()).or_default();
            lists.entry(affix.text().to_owned()).or_default().push(at);
            let from = match affix {
                Affix::Prefix(prefix) => prefix,
                Affix::Suffix(_) => "",
            };
            let range = names.range::<str, _>((Bound::Included(from), Bound::Unbounded));
            let range = range.take_while(|(name, _)| name.starts_with(from));
            members.extend(range.filter(|(name, _)| glob.matches(name)).map(|(_, unit)| *unit));
        }
        for member in &members {
            found(*member, at);
        }
        self.by_text.insert(text.to_owned(), at);
        self.all[at] = Some(Pattern { glob: glob.clone(), members, declarers: Vec::new() });
        at
    }
}
