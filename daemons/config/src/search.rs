//! Which files count, and in which order.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::ConfigError;

/// Vendor, runtime, admin: later ones mask earlier ones.
const DIRECTORIES: [&str; 3] = ["/usr/lib/convoy/config.d", "/run/convoy/config.d", "/etc/convoy/config.d"];
/// Replaces the directories, as a list separated by colons.
const VARIABLE: &str = "CONVOY_CONFIG_PATH";

/// The directories that fragments are read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchPath(Vec<PathBuf>);

impl SearchPath {
    /// The directories of the system, or those that `CONVOY_CONFIG_PATH` lists.
    pub fn system() -> Self {
        match std::env::var_os(VARIABLE) {
            Some(list) => Self(std::env::split_paths(&list).collect()),
            None => Self(DIRECTORIES.iter().map(PathBuf::from).collect()),
        }
    }

    /// Exactly these directories, the later ones masking the earlier ones.
    pub fn new(directories: impl IntoIterator<Item = PathBuf>) -> Self {
        Self(directories.into_iter().collect())
    }

    /// The files that are left after masking, in the order in which they apply. Missing directories are fine.
    pub fn files(&self) -> Result<Vec<PathBuf>, ConfigError> {
        let mut by_name = BTreeMap::new();
        for directory in &self.0 {
            scan(directory, &mut by_name)?;
        }
        Ok(by_name.into_values().filter(|path| !is_masked(path)).collect())
    }
}

fn scan(directory: &Path, by_name: &mut BTreeMap<OsString, PathBuf>) -> Result<(), ConfigError> {
    let fail = |source| ConfigError::Read { path: directory.to_owned(), source };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(());
        }
        Err(error) => return Err(fail(error)),
    };
    for entry in entries {
        let path = entry.map_err(fail)?.path();
        let Some(name) = path.file_name() else { continue };
        // A leading dot is how editors and package managers keep their drafts out of such directories.
        let hidden = name.as_encoded_bytes().starts_with(b".");
        if !hidden && path.extension().is_some_and(|extension| extension == "toml") {
            by_name.insert(name.to_owned(), path);
        }
    }
    Ok(())
}

fn is_masked(path: &Path) -> bool {
    fs::read_link(path).is_ok_and(|target| target == Path::new("/dev/null"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_later_directory_masks_a_file_of_the_same_name_and_null_masks_it_away() {
        let root = tempfile::tempdir().unwrap();
        let [vendor, runtime, admin] = ["vendor", "run", "etc"].map(|name| root.path().join(name));
        for directory in [&vendor, &admin] {
            fs::create_dir(directory).unwrap();
        }
        for path in [
            vendor.join("10-a.toml"),
            vendor.join("20-b.toml"),
            vendor.join("30-c.toml"),
            admin.join("20-b.toml"),
            admin.join("05-first.toml"),
            admin.join("note.txt"),
            admin.join(".20-b.toml"),
        ] {
            fs::write(path, "").unwrap();
        }
        symlink("/dev/null", admin.join("30-c.toml")).unwrap();

        let files = SearchPath::new([vendor.clone(), runtime, admin.clone()]).files().unwrap();
        assert_eq!(files, [admin.join("05-first.toml"), vendor.join("10-a.toml"), admin.join("20-b.toml")]);
    }
}
