//! The folders that systemd reads units from, and what lies in them.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// Strongest first, without the generators' own (systemd.unit(5)).
const FOLDERS: [&str; 8] = [
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// Largest unit file read; larger ones are no unit files.
const LARGEST: u64 = 1024 * 1024;

/// The folders of units, strongest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitPath(Vec<PathBuf>);

impl UnitPath {
    /// The system's, or those that `SYSTEMD_UNIT_PATH` lists; a trailing colon there appends the system's, as the
    /// manager itself has it.
    pub fn system(variable: Option<&OsStr>) -> Self {
        let system = || FOLDERS.iter().map(PathBuf::from);
        let Some(list) = variable.filter(|list| !list.is_empty()) else { return Self(system().collect()) };
        let listed: Vec<_> = std::env::split_paths(list).collect();
        let open = listed.last().is_some_and(|last| last.as_os_str().is_empty());
        let named = listed.into_iter().filter(|folder| !folder.as_os_str().is_empty());
        Self(if open { named.chain(system()).collect() } else { named.collect() })
    }

    /// These folders, strongest first.
    pub fn new(folders: impl IntoIterator<Item = PathBuf>) -> Self {
        Self(folders.into_iter().collect())
    }

    /// The names of all entries of all folders, each with its path.
    pub fn entries(&self) -> Vec<(String, PathBuf)> {
        self.0.iter().flat_map(|folder| entries(folder)).collect()
    }

    /// The file that counts for a unit: the one in the strongest folder.
    pub fn file(&self, unit: &str) -> Option<PathBuf> {
        self.0.iter().map(|folder| folder.join(unit)).find(|path| path.symlink_metadata().is_ok())
    }

    /// The text of a unit: its file and all its drop-ins, for a template those of the instance as well. What can't
    /// be read is as good as not there: the manager will say so.
    pub fn text(&self, units: &[&str]) -> String {
        let mut text = String::new();
        // The instance's own file wins over its template.
        let file = units.iter().find_map(|unit| self.file(unit));
        let drop_ins = units.iter().flat_map(|unit| {
            self.0.iter().flat_map(move |folder| entries(&folder.join(format!("{unit}.d"))))
        });
        for path in file.into_iter().chain(drop_ins.map(|(_, path)| path)) {
            let small = fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() <= LARGEST);
            if small && let Ok(part) = fs::read_to_string(&path) {
                text.push_str(&part);
                text.push('\n');
            }
        }
        text
    }
}

/// Names and paths in a folder, sorted; nothing where there is no folder.
pub fn entries(folder: &Path) -> Vec<(String, PathBuf)> {
    let Ok(read) = fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<_> = read
        .flatten()
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_replaces_the_folders_or_stands_before_them() {
        assert_eq!(UnitPath::system(None).0.len(), FOLDERS.len());
        assert_eq!(UnitPath::system(Some(OsStr::new(""))).0.len(), FOLDERS.len());
        let given = UnitPath::system(Some(OsStr::new("/a:/b")));
        assert_eq!(given.0, [PathBuf::from("/a"), PathBuf::from("/b")]);
        assert_eq!(UnitPath::system(Some(OsStr::new("/a:"))).0.len(), FOLDERS.len() + 1);
    }
}
