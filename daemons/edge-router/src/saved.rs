//! The last table on disk, for a start while the store is away.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use convoy_keys::AppName;
use convoy_routing::Routes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::imports::Imports;

/// Changes with the format; another one is not read.
const FORMAT: u32 = 1;
/// A table of a hundred thousand targets has a tenth of it.
const SIZE_MAX: u64 = 64 * 1024 * 1024;

/// Why there is no table on disk.
#[derive(Debug, Error)]
pub(crate) enum SavedError {
    #[error("it can't be read: {0}")]
    Io(#[from] io::Error),
    #[error("it is damaged: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it has format {0}, and this version reads {FORMAT}")]
    Format(u32),
    #[error("it is larger than {SIZE_MAX} bytes")]
    Size,
}

/// What is kept: the keys as the store had them. They are parsed again when they are read, as if they came from there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Saved {
    format: u32,
    /// Store revision.
    pub(crate) revision: i64,
    /// Unix time.
    pub(crate) time: u64,
    /// Key, value, revision of creation.
    keys: Vec<(String, String, i64)>,
    /// Key and value of what is imported.
    #[serde(default)]
    pub(crate) imported: Vec<(String, String)>,
    /// Apps without targets, and since when.
    empty: BTreeMap<String, u64>,
}

impl Saved {
    pub(crate) fn of(routes: &Routes, imports: &Imports, revision: i64, now: u64) -> Self {
        let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        Self {
            format: FORMAT,
            revision,
            time: now,
            keys: routes.entries().map(|(key, value, created)| (key, value.to_owned(), created)).collect(),
            imported: imports.entries().map(owned).collect(),
            empty: routes.empty_apps().map(|(app, since)| (app.to_string(), since)).collect(),
        }
    }

    pub(crate) fn routes(&self) -> Routes {
        let mut routes = Routes::new();
        for (key, value, created) in &self.keys {
            routes.put(key, value.as_bytes(), *created, self.time);
        }
        for (app, since) in &self.empty {
            if let Ok(app) = AppName::parse(app) {
                routes.remember_empty(app, *since);
            }
        }
        routes
    }

    /// The table of an earlier run, if there is one.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>, SavedError> {
        let mut file = match File::open(path(folder)) {
            Ok(file) => file.take(SIZE_MAX + 1),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        if text.len() as u64 > SIZE_MAX {
            return Err(SavedError::Size);
        }
        let saved: Self = serde_json::from_slice(&text)?;
        if saved.format == FORMAT { Ok(Some(saved)) } else { Err(SavedError::Format(saved.format)) }
    }

    /// Replaces the file in one step: who reads it finds the former table or this one, whole.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), SavedError> {
        let draft = folder.join("table.json.new");
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(&draft, path(folder))?;
        Ok(())
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("table.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> Routes {
        let mut routes = Routes::new();
        routes.put("/services/a/lb/1", b"10.0.0.1:80", 4, 0);
        routes.put("/services/a/upstream/1", b"[fd00::1]:80", 5, 0);
        routes.put("/services/b/lb/1", b"10.0.0.2:80", 6, 0);
        routes.delete("/services/b/lb/1", 77);
        routes
    }

    #[test]
    fn a_table_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Saved::read(folder.path()).unwrap().is_none());
        let saved = Saved::of(&routes(), &Imports::default(), 9, 1_700_000_000);
        saved.write(folder.path()).unwrap();
        saved.write(folder.path()).unwrap();
        let read = Saved::read(folder.path()).unwrap().unwrap();
        assert_eq!(read, saved);
        assert_eq!(Saved::of(&read.routes(), &Imports::default(), 9, 1_700_000_000), saved);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn what_is_damaged_is_an_error_and_what_is_hostile_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        for text in
            ["", "{", "[]", r#"{"format":1}"#, r#"{"format":2,"revision":1,"time":1,"keys":[],"empty":{}}"#]
        {
            fs::write(path(folder.path()), text).unwrap();
            assert!(Saved::read(folder.path()).is_err(), "{text}");
        }
        let text = r#"{"format":1,"revision":1,"time":1,"empty":{"a b":1},
            "keys":[["/services/a/lb/1","nonsense",1],["/etc/passwd","10.0.0.1:1",1],["/services/b/lb/1","10.0.0.1:1",1]]}"#;
        fs::write(path(folder.path()), text).unwrap();
        let routes = Saved::read(folder.path()).unwrap().unwrap().routes();
        assert_eq!((routes.target_count(), routes.empty_apps().count()), (1, 0));
    }
}
