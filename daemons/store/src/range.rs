//! Which keys are read or followed.

/// Keys that are read or followed together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyRange {
    /// One key.
    Key(String),
    /// All keys that begin with this. End it with `/` to keep siblings out.
    Prefix(String),
}

impl KeyRange {
    /// For each path the key of that name and all keys below it, never a sibling: of `/app` not `/app2`. What lies
    /// below another path of the list is left out.
    pub fn trees<'p>(paths: impl IntoIterator<Item = &'p str>) -> Vec<Self> {
        let mut paths: Vec<&str> = paths.into_iter().map(|path| path.trim_end_matches('/')).collect();
        paths.sort_unstable();
        paths.dedup();
        let mut kept: Vec<&str> = Vec::new();
        for path in paths {
            let covered = |above: &&str| path.strip_prefix(*above).is_some_and(|rest| rest.starts_with('/'));
            if !kept.iter().any(covered) {
                kept.push(path);
            }
        }
        kept.iter()
            .flat_map(|path| {
                let own = (!path.is_empty()).then(|| Self::Key((*path).to_owned()));
                own.into_iter().chain([Self::Prefix(format!("{path}/"))])
            })
            .collect()
    }

    /// The key, or what all keys begin with.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Key(text) | Self::Prefix(text) => text,
        }
    }

    pub(crate) fn is_prefix(&self) -> bool {
        matches!(self, Self::Prefix(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trees(paths: &[&str]) -> Vec<String> {
        let ranges = KeyRange::trees(paths.iter().copied());
        ranges
            .iter()
            .map(|range| format!("{}{}", range.as_str(), if range.is_prefix() { "*" } else { "" }))
            .collect()
    }

    #[test]
    fn a_tree_is_a_key_and_what_lies_below_it() {
        assert_eq!(trees(&["/app"]), ["/app", "/app/*"]);
        assert_eq!(trees(&["/app/", "/app"]), ["/app", "/app/*"]);
        assert_eq!(trees(&["/app", "/app2", "/app/x"]), ["/app", "/app/*", "/app2", "/app2/*"]);
        assert_eq!(trees(&["/", "/app"]), ["/*"]);
        assert_eq!(trees(&[]), Vec::<String>::new());
    }
}
