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
#[derive(Debug)]
enum Paths {
    All(Entry),
    Several(Box<Several>),
}

/// One map for both kinds of paths, since most requests look for a path and its parents once.
#[derive(Debug, Default)]
struct Several {
    all: Option<Entry>,
    paths: HashMap<Box<str>, Ends>,
    /// Bytes of the longest path. What is longer needs no look.
    longest: usize,
    /// The same for those that others may begin with; 0 when there are none.
    longest_prefix: usize,
}

/// What is for exactly a path, and what is for all that begin with it.
#[derive(Debug, Default)]
struct Ends {
    exact: Option<Entry>,
    prefix: Option<Entry>,
}

impl Paths {
    fn new(path: &PathPattern, entry: Entry) -> Self {
        if path.is_all() {
            return Self::All(entry);
        }
        let mut several = Box::<Several>::default();
        *several.end(path) = Some(entry);
        Self::Several(several)
    }

    /// The place of the service that has the path already, if there is one.
    fn place(&mut self, path: &PathPattern, entry: Entry) -> Result<(), usize> {
        let several = match self {
            Self::All(found) if path.is_all() => return Err(found.service),
            Self::All(found) => {
                let all = Some(found.clone());
                *self = Self::Several(Box::new(Several { all, ..Several::default() }));
                return self.place(path, entry);
            }
            Self::Several(several) => several,
        };
        match several.end(path) {
            Some(found) => Err(found.service),
            free => {
                *free = Some(entry);
                Ok(())
            }
        }
    }
}

impl Several {
    /// Where the rule of a path is or will be.
    fn end(&mut self, path: &PathPattern) -> &mut Option<Entry> {
        if path.is_all() {
            return &mut self.all;
        }
        let length = path.prefix().len();
        self.longest = self.longest.max(length);
        if !path.is_exact() {
            self.longest_prefix = self.longest_prefix.max(length);
        }
        let ends = self.paths.entry(path.prefix().into()).or_default();
        if path.is_exact() { &mut ends.exact } else { &mut ends.prefix }
    }

    /// The longest match; `path` is in normal form.
    fn find(&self, path: &str) -> Option<&Entry> {
        if path.len() <= self.longest
            && let Some(ends) = self.paths.get(path)
            && let Some(entry) = ends.exact.as_ref().or(ends.prefix.as_ref())
        {
            return Some(entry);
        }
        let mut prefix = path;
        while self.longest_prefix > 0 && !prefix.is_empty() {
            prefix = prefix.get(..prefix.rfind('/')?)?;
            if (1..=self.longest_prefix).contains(&prefix.len())
                && let Some(ends) = self.paths.get(prefix)
                && let Some(entry) = &ends.prefix
            {
                return Some(entry);
            }
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
    any: Option<Paths>,
}

impl Index {
    /// With room for so many hosts.
    pub(crate) fn with_capacity(hosts: usize) -> Self {
        Self { exact: HashMap::with_capacity(hosts), ..Self::default() }
    }

    /// Gives the requests of these hosts and paths to a service, unless another one has them already.
    pub(crate) fn place(&mut self, host: &HostPattern, path: &PathPattern, entry: Entry) {
        let loser = entry.service;
        let placed = match host {
            HostPattern::Exact(name) => place(&mut self.exact, name, path, entry),
            HostPattern::OneLabel(suffix) => place(&mut self.one_label, suffix, path, entry),
            HostPattern::Labels(suffix) => place(&mut self.labels, suffix, path, entry),
            HostPattern::Any => match &mut self.any {
                Some(paths) => paths.place(path, entry),
                none => {
                    *none = Some(Paths::new(path, entry));
                    Ok(())
                }
            },
        };
        if let Err(winner) = placed
            && self.clashes.len() < CONFLICTS_MAX
        {
            self.clashes.push(Clash { host: host.clone(), path: path.clone(), winner, loser });
        }
    }

    /// The hosts that have rules, in no order.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = HostPattern> {
        let any = self.any.as_ref().map(|_| HostPattern::Any);
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
        let Some(any) = &self.any else { return Ok(None) };
        Ok(look(any, path, &mut normal)?.map(|entry| Hit { entry, path: normal.changed() }))
    }
}

fn place(
    hosts: &mut HashMap<Box<str>, Paths>,
    name: &str,
    path: &PathPattern,
    entry: Entry,
) -> Result<(), usize> {
    if let Some(paths) = hosts.get_mut(name) {
        return paths.place(path, entry);
    }
    hosts.insert(name.into(), Paths::new(path, entry));
    Ok(())
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
    let several = match paths {
        Paths::All(entry) => return Ok(Some(entry)),
        Paths::Several(several) => several,
    };
    if let Form::Unknown = normal {
        let form = normalise(path)?;
        *normal = if *form == *path { Form::Same } else { Form::Other(form.into_owned()) };
    }
    Ok(match normal {
        Form::Other(path) => several.find(path),
        Form::Unknown | Form::Same => several.find(path),
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
