//! Reading one table out of all fragments.

use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::{ConfigError, SearchPath};

/// The tables that Convoy knows.
const TABLES: [&str; 8] =
    ["agent", "cluster", "edge-router", "etcd", "lb-watcher", "machine", "registrar", "scheduler"];

/// A fragment that a later one is laid over.
pub trait Merge {
    /// Takes every value that `later` sets.
    fn merge(&mut self, later: Self);
}

/// Implements [`Merge`] for a struct whose fields are `Option`s, and behind a semicolon tables that are merged themselves.
#[macro_export]
macro_rules! merge_options {
    ($fragment:ty { $($field:ident),+ $(,)? $(; $($table:ident),+ $(,)?)? }) => {
        impl $crate::Merge for $fragment {
            fn merge(&mut self, later: Self) {
                $(if later.$field.is_some() { self.$field = later.$field; })+
                $($($crate::Merge::merge(&mut self.$table, later.$table);)+)?
            }
        }
    };
}

/// Reads the table `[table]` from every fragment on the path, later ones over earlier ones.
///
/// The type should refuse unknown fields (`#[serde(deny_unknown_fields)]`), so that a slip of the pen is an error
/// with its line and not a setting that silently does nothing.
pub fn load<T: DeserializeOwned + Default + Merge>(
    table: &'static str,
    path: &SearchPath,
) -> Result<T, ConfigError> {
    let mut merged = T::default();
    for file in path.files()? {
        let text =
            fs::read_to_string(&file).map_err(|source| ConfigError::Read { path: file.clone(), source })?;
        if let Some(fragment) = read_table(&file, &text, table)? {
            merged.merge(fragment);
        }
    }
    Ok(merged)
}

fn read_table<T: DeserializeOwned>(
    file: &Path,
    text: &str,
    table: &'static str,
) -> Result<Option<T>, ConfigError> {
    let syntax = |error: toml::de::Error| ConfigError::Syntax {
        path: file.to_owned(),
        line: error.span().map_or(1, |span| line_of(text, span.start)),
        message: error.message().to_owned(),
    };
    let document = toml::de::DeTable::parse(text).map_err(syntax)?.into_inner();
    if let Some(unknown) = document.keys().find(|name| !TABLES.contains(&name.get_ref().as_ref())) {
        return Err(ConfigError::Syntax {
            path: file.to_owned(),
            line: line_of(text, unknown.span().start),
            message: format!("unknown table [{}]; known are {}", unknown.get_ref(), TABLES.join(", ")),
        });
    }
    // Only the table that is asked for is given a type; the others belong to other daemons.
    let Some((_, value)) = document.into_iter().find(|(name, _)| name.get_ref() == table) else {
        return Ok(None);
    };
    T::deserialize(toml::de::ValueDeserializer::from(value)).map(Some).map_err(syntax)
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        domains: Option<Vec<String>>,
        retries: Option<u32>,
        #[serde(default)]
        inner: Inner,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        first: Option<u32>,
        second: Option<u32>,
    }

    merge_options!(Sample { domains, retries; inner });
    merge_options!(Inner { first, second });

    fn read(files: &[(&str, &str)]) -> Result<Sample, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        load("edge-router", &SearchPath::new([folder.path().to_owned()]))
    }

    #[test]
    fn later_files_win_key_by_key() {
        let sample = read(&[
            ("10-base.toml", "[edge-router]\ndomains = ['a.example']\nretries = 1\n"),
            ("20-site.toml", "[edge-router]\nretries = 3\n[etcd]\nendpoints = []\n"),
            ("30-inner.toml", "[edge-router.inner]\nfirst = 1\nsecond = 1\n"),
            ("40-inner.toml", "[edge-router.inner]\nsecond = 2\n"),
        ])
        .unwrap();
        let inner = Inner { first: Some(1), second: Some(2) };
        assert_eq!(sample, Sample { domains: Some(vec!["a.example".into()]), retries: Some(3), inner });
    }

    #[test]
    fn nothing_configured_is_the_default() {
        assert_eq!(read(&[("10-a.toml", "")]).unwrap(), Sample::default());
        let nowhere = SearchPath::new([PathBuf::from("/nonexistent/convoy")]);
        assert_eq!(load::<Sample>("edge-router", &nowhere).unwrap(), Sample::default());
    }

    #[test]
    fn an_error_names_file_and_line() {
        for (text, expected) in [
            ("\n[edge-router]\ndomain = 1\n", "a.toml:3: unknown field `domain`"),
            ("\n[edge_router]\n", "a.toml:2: unknown table [edge_router]"),
            ("[edge-router.inner]\n\nthird = 1\n", "a.toml:3: unknown field `third`"),
            ("[edge-router]\nretries = 'many'\n", "a.toml:2: invalid type"),
            ("[edge-router\n", "a.toml:1: "),
        ] {
            let error = read(&[("a.toml", text)]).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_file_panics(text in "\\PC{0,200}") {
            let _ = read_table::<Sample>(Path::new("x.toml"), &text, "edge-router");
        }
    }
}
