//! What has to be remembered about a set of files: which are ours, what their reader has loaded, what it is owed, and the
//! last set that was good.
//!
//! | file | what |
//! |---|---|
//! | `state.json` | see [`State`] |
//! | `good.json`, `good/0`, `good/1` … | the last good set: paths, owners and modes, and contents |
//! | `rejected/0`, `rejected/1` …, `rejected.txt` | the last set that was refused, and why |

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::set::{Attributes, Content, FileSet};
use crate::files::{FilesError, replace};

/// The file `state.json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct State {
    /// Files that were made, to be removed when nobody wants them any more.
    pub files: Vec<PathBuf>,
    /// Files beside whose places candidates may lie.
    #[serde(default)]
    pub staged: Vec<PathBuf>,
    /// Digest of the set that the reader has proved to have loaded.
    pub loaded: Option<String>,
    /// Digest of a set that was put in place, or was about to be, and whose reload was not proved. As long as it stands
    /// here a reload is owed, whatever the files say.
    pub owed: Option<String>,
    /// The store's revision of the loaded set.
    pub revision: i64,
    /// What is wrong, for people.
    pub problem: Option<String>,
    /// Keys that are left out, and why.
    #[serde(default)]
    pub left_out: Vec<(String, String)>,
}

/// One entry of `good.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    path: PathBuf,
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
}

/// Where the state of one set is kept.
#[derive(Debug, Clone)]
pub struct StateFolder(PathBuf);

impl StateFolder {
    /// This folder; it is made when something is written.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The state. A damaged one counts as none: then everything is checked, put in place and reloaded once more.
    pub fn read(&self) -> State {
        let Ok(text) = fs::read_to_string(self.0.join("state.json")) else { return State::default() };
        serde_json::from_str(&text).unwrap_or_else(|error| {
            tracing::warn!(%error, path = %self.0.join("state.json").display(), "the state is damaged and is made anew");
            State::default()
        })
    }

    /// Replaces the state, if it is another one. It survives us, which is what it is for. It is not waited for until it
    /// is on disk: after a power cut the reader starts anew as well, and a state that is lost or too old means that
    /// everything is checked and loaded once more.
    pub fn write(&self, state: &State) -> Result<(), FilesError> {
        let path = self.0.join("state.json");
        let text = serde_json::to_string_pretty(state).unwrap_or_default();
        if fs::read_to_string(&path).is_ok_and(|found| found == text) {
            return Ok(());
        }
        make(&self.0)?;
        let draft = path.with_extension("draft");
        let fail = |source| FilesError::new("write", path.clone(), source);
        fs::write(&draft, text).and_then(|()| fs::rename(&draft, &path)).map_err(fail)
    }

    /// The last good set.
    pub fn good(&self) -> Option<FileSet> {
        let list: Vec<Kept> =
            serde_json::from_str(&fs::read_to_string(self.0.join("good.json")).ok()?).ok()?;
        list.into_iter()
            .enumerate()
            .map(|(number, kept)| {
                let bytes = fs::read(self.0.join("good").join(number.to_string())).ok()?;
                let attributes = Attributes { mode: kept.mode, uid: kept.uid, gid: kept.gid };
                Some((kept.path, Content { bytes, attributes }))
            })
            .collect()
    }

    /// Keeps a set as the one to go back to. The list is written last: with a part of the files replaced there is no
    /// list, and so no good set.
    pub fn keep(&self, good: &FileSet) -> Result<(), FilesError> {
        if self.good().as_ref() == Some(good) {
            return Ok(());
        }
        let list = self.0.join("good.json");
        remove(&list)?;
        self.fill("good", good)?;
        let kept: Vec<Kept> = good
            .iter()
            .map(|(path, content)| {
                let Attributes { mode, uid, gid } = content.attributes;
                Kept { path: path.to_owned(), mode, uid, gid }
            })
            .collect();
        replace(&list, serde_json::to_string_pretty(&kept).unwrap_or_default().as_bytes())
    }

    /// Keeps a set that was refused, and the reason, for people to look at.
    pub fn quarantine(&self, set: &FileSet, reason: &str) -> Result<(), FilesError> {
        self.fill("rejected", set)?;
        replace(&self.0.join("rejected.txt"), reason.as_bytes())
    }

    /// Nothing is refused any more.
    pub fn lift_quarantine(&self) -> Result<(), FilesError> {
        remove(&self.0.join("rejected.txt"))?;
        match fs::remove_dir_all(self.0.join("rejected")) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(FilesError::new("remove", self.0.join("rejected"), source))
            }
            _ => Ok(()),
        }
    }

    fn fill(&self, name: &str, set: &FileSet) -> Result<(), FilesError> {
        let folder = self.0.join(name);
        make(&folder)?;
        for (number, (_, content)) in set.iter().enumerate() {
            replace(&folder.join(number.to_string()), &content.bytes)?;
        }
        Ok(())
    }
}

fn make(folder: &Path) -> Result<(), FilesError> {
    fs::create_dir_all(folder).map_err(|source| FilesError::new("create", folder.to_owned(), source))
}

fn remove(path: &Path) -> Result<(), FilesError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(FilesError::new("remove", path.to_owned(), source))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_and_good_set_survive_and_what_is_damaged_counts_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let kept = StateFolder::new(folder.path().join("new"));
        assert_eq!((kept.read(), kept.good()), (State::default(), None));
        let state = State { owed: Some("abc".into()), files: vec!["/a".into()], ..State::default() };
        kept.write(&state).unwrap();
        let attributes = Attributes { mode: Some(0o600), uid: Some(0), gid: None };
        let good: FileSet =
            [("/a".into(), Content { bytes: vec![0xff, 0], attributes })].into_iter().collect();
        kept.keep(&good).unwrap();
        assert_eq!((kept.read(), kept.good()), (state, Some(good)));
        fs::write(kept.path().join("state.json"), "{").unwrap();
        fs::write(kept.path().join("good.json"), "[{").unwrap();
        assert_eq!((kept.read(), kept.good()), (State::default(), None));
        kept.quarantine(&FileSet::default(), "why").unwrap();
        assert_eq!(fs::read_to_string(kept.path().join("rejected.txt")).unwrap(), "why");
        kept.lift_quarantine().unwrap();
        assert!(!kept.path().join("rejected.txt").exists());
    }
}
