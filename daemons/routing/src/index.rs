//! From host and path to a rule.

use std::collections::HashMap;
use std::sync::Arc;

use crate::path::{PathError, normalise};
use crate::rule::NumberedRule;
use crate::{HostPattern, PathPattern};

/// So many conflicts are remembered; a script that makes more of them is told by these.
const CONFLICTS_MAX: usize = 100;

/// A rule and the place of its service.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) service: usize,
    pub(crate) rule: Arc<NumberedRule>,
}

/// Two services want the same requests.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Clash {
    pub(crate) host: HostPattern,
    pub(crate) path: PathPattern,
    /// Place of the service that gets them.
    pub(crate) winner: usize,
    /// Place of the one that doesn't.
    pub(crate) loser: usize,
}

/// The rules of one host. Almost always there is one for all paths and nothing else.
#[derive(Debug, Default)]
struct Paths {
    all: Option<Entry>,
    exact: HashMap<Box<str>, Entry>,
    prefixes: HashMap<Box<str>, Entry>,
}

impl Paths {
    /// The place of the service that has the path already, if there is one.
    fn place(&mut self, path: &PathPattern, entry: Entry) -> Result<(), usize> {
        if path.is_all() {
            if let Some(found) = &self.all {
                return Err(found.service);
            }
            self.all = Some(entry);
            return Ok(());
        }
        let map = if path.is_exact() { &mut self.exact } else { &mut self.prefixes };
        if let Some(found) = map.get(path.prefix()) {
            return Err(found.service);
        }
        map.insert(path.prefix().into(), entry);
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.all.is_none() && self.is_simple()
    }

    fn is_simple(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty()
    }

    /// The longest match; `path` is in normal form.
    fn find(&self, path: &str) -> Option<&Entry> {
        if let Some(entry) = self.exact.get(path) {
            return Some(entry);
        }
        let mut end = path.len();
        while !self.prefixes.is_empty() && end > 0 {
            let prefix = path.get(..end)?;
            if let Some(entry) = self.prefixes.get(prefix) {
                return Some(entry);
            }
            end = prefix.rfind('/')?;
        }
        self.all.as_ref()
    }
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Hit<'a> {
    pub(crate) entry: &'a Entry,
    /// The path in normal form, where it is not the one that was asked for and rules compared it.
    pub(crate) path: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) version: Option<u64>,
    pub(crate) clashes: Vec<Clash>,
    exact: HashMap<Box<str>, Paths>,
    one_label: HashMap<Box<str>, Paths>,
    labels: HashMap<Box<str>, Paths>,
    any: Paths,
}

impl Index {
    /// Gives the requests of these hosts and paths to a service, unless another one has them already.
    pub(crate) fn place(&mut self, host: &HostPattern, path: &PathPattern, entry: Entry) {
        let loser = entry.service;
        let paths = match host {
            HostPattern::Exact(name) => self.exact.entry(name.clone()).or_default(),
            HostPattern::OneLabel(suffix) => self.one_label.entry(suffix.clone()).or_default(),
            HostPattern::Labels(suffix) => self.labels.entry(suffix.clone()).or_default(),
            HostPattern::Any => &mut self.any,
        };
        if let Err(winner) = paths.place(path, entry)
            && self.clashes.len() < CONFLICTS_MAX
        {
            self.clashes.push(Clash { host: host.clone(), path: path.clone(), winner, loser });
        }
    }

    /// The hosts that have rules, in no order.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = HostPattern> {
        let any = (!self.any.is_empty()).then_some(HostPattern::Any);
        let exact = self.exact.keys().cloned().map(HostPattern::Exact);
        let one_label = self.one_label.keys().cloned().map(HostPattern::OneLabel);
        exact.chain(one_label).chain(self.labels.keys().cloned().map(HostPattern::Labels)).chain(any)
    }

    /// The most specific host that has a rule for the path, and of its rules the one with the longest path.
    pub(crate) fn find(&self, host: &str, path: &str) -> Result<Option<Hit<'_>>, PathError> {
        let mut normal = Form::Unknown;
        if let Some(paths) = self.exact.get(host)
            && let Some(entry) = look(paths, path, &mut normal)?
        {
            return Ok(Some(Hit { entry, path: normal.changed() }));
        }
        if !self.one_label.is_empty() || !self.labels.is_empty() {
            let mut rest = host;
            let mut is_first = true;
            while let Some((_, suffix)) = rest.split_once('.') {
                let one = if is_first { self.one_label.get(suffix) } else { None };
                for paths in one.into_iter().chain(self.labels.get(suffix)) {
                    if let Some(entry) = look(paths, path, &mut normal)? {
                        return Ok(Some(Hit { entry, path: normal.changed() }));
                    }
                }
                rest = suffix;
                is_first = false;
            }
        }
        Ok(look(&self.any, path, &mut normal)?.map(|entry| Hit { entry, path: normal.changed() }))
    }
}

/// A path's normal form, made when the first rule compares it.
enum Form {
    Unknown,
    Same,
    Other(String),
}

impl Form {
    fn changed(self) -> Option<String> {
        match self {
            Self::Other(path) => Some(path),
            Self::Unknown | Self::Same => None,
        }
    }
}

fn look<'a>(paths: &'a Paths, path: &str, normal: &mut Form) -> Result<Option<&'a Entry>, PathError> {
    if paths.is_simple() {
        return Ok(paths.all.as_ref());
    }
    if let Form::Unknown = normal {
        let form = normalise(path)?;
        *normal = if *form == *path { Form::Same } else { Form::Other(form.into_owned()) };
    }
    Ok(match normal {
        Form::Other(path) => paths.find(path),
        Form::Unknown | Form::Same => paths.find(path),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Rule;

    fn index(rules: &[(&str, &str)]) -> Index {
        let mut index = Index::default();
        for (place, (host, path)) in rules.iter().enumerate() {
            let (exact, path) = path.strip_prefix('=').map_or((false, *path), |path| (true, path));
            let rule = Arc::new(NumberedRule { id: place as u64, rule: Rule::plain() });
            index.place(
                &HostPattern::parse(host).unwrap(),
                &PathPattern::parse(path, exact).unwrap(),
                Entry { service: place, rule },
            );
        }
        index
    }

    fn found(index: &Index, host: &str, path: &str) -> Option<usize> {
        index.find(host, path).unwrap().map(|hit| hit.entry.service)
    }

    #[test]
    fn the_most_specific_host_and_the_longest_path_win() {
        let index = index(&[
            ("a.example", "/"),
            ("a.example", "/api"),
            ("a.example", "/api/v2"),
            ("a.example", "=/api"),
            ("*.example", "/"),
            ("**.example", "/"),
            ("*.a.example", "/only"),
            ("*", "/"),
        ]);
        for (host, path, expected) in [
            ("a.example", "/", 0),
            ("a.example", "/apis", 0),
            ("a.example", "/api/", 1),
            ("a.example", "/api/v1", 1),
            ("a.example", "/api/v2/x", 2),
            ("a.example", "/api", 3),
            ("a.example", "/x/../api/v2", 2),
            ("a.example", "/%61pi/v2", 2),
            ("b.example", "/", 4),
            ("c.b.example", "/", 5),
            ("b.a.example", "/only/x", 6),
            ("b.a.example", "/other", 5),
            ("other", "/", 7),
        ] {
            assert_eq!(found(&index, host, path), Some(expected), "{host}{path}");
        }
        assert!(index.find("a.example", "/../x").is_err());
        assert!(index.find("other", "/../x").is_ok(), "no rule there compares paths");
    }

    #[test]
    fn who_comes_second_is_a_conflict_and_changes_nothing() {
        let index = index(&[("a.example", "/"), ("a.example", "/"), ("*", "/x"), ("*", "/x")]);
        assert_eq!(found(&index, "a.example", "/"), Some(0));
        assert_eq!(
            index.clashes.iter().map(|clash| (clash.winner, clash.loser)).collect::<Vec<_>>(),
            [(0, 1), (2, 3)]
        );
    }

    #[test]
    fn a_path_is_told_only_when_it_is_another_one() {
        let index = index(&[("a", "/api"), ("b", "/")]);
        assert_eq!(index.find("a", "/%61pi").unwrap().unwrap().path.as_deref(), Some("/api"));
        assert_eq!(index.find("a", "/api").unwrap().unwrap().path, None);
        assert_eq!(index.find("b", "/%61pi").unwrap().unwrap().path, None);
    }

    proptest! {
        /// The maps find what a search through all rules finds.
        #[test]
        fn finding_equals_searching(
            rules in prop::collection::vec(("(\\*\\.|\\*\\*\\.)?[ab](\\.[ab]){0,2}|\\*", "=?(/[xy]){1,3}|/"), 0..12),
            host in "[ab](\\.[ab]){0,3}",
            path in "(/[xy]?){1,4}",
        ) {
            let pairs: Vec<_> = rules.iter().map(|(host, path)| (host.as_str(), path.as_str())).collect();
            let index = index(&pairs);
            let rank = |pattern: &HostPattern| match pattern {
                HostPattern::Exact(_) => (3, 0, 1),
                HostPattern::OneLabel(suffix) => (2, suffix.len(), 1),
                HostPattern::Labels(suffix) => (2, suffix.len(), 0),
                HostPattern::Any => (0, 0, 0),
            };
            let mut best = None;
            for (place, (host_text, path_text)) in rules.iter().enumerate() {
                let (exact, path_text) = path_text.strip_prefix('=').map_or((false, &**path_text), |path| (true, path));
                let pattern = HostPattern::parse(host_text).unwrap();
                let paths = PathPattern::parse(path_text, exact).unwrap();
                if !pattern.matches(&host) || paths.rest(&path).is_none() {
                    continue;
                }
                let key = (rank(&pattern), exact, paths.prefix().len());
                if best.is_none_or(|(found, _)| found < key) {
                    best = Some((key, place));
                }
            }
            prop_assert_eq!(found(&index, &host, &path), best.map(|(_, place)| place));
        }
    }
}
