//! The files that make units known to systemd, and the agent's own notes.
//!
//! A unit's text lies in `/run/convoy/units`, exactly as it was submitted; a link in `/run/systemd/system` makes it
//! known, a drop-in beside the link adds what Convoy needs. Everything is gone with the next boot.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::{fs, io};

use convoy_unit_files::{Definition, Strictness, UnitName};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::dropin;
use crate::held::{Manifest, Traits};

/// A file that could not be read or written.
#[derive(Debug, Error)]
#[error("{}: {source}", path.display())]
pub struct FileError {
    path: PathBuf,
    source: io::Error,
}

/// A unit's file that an earlier run has left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// SHA-256 of the text.
    pub hash: String,
    /// What the text says.
    pub traits: Traits,
    /// Its drop-in had to be written anew: systemd has to read it.
    pub changed: bool,
}

/// Where everything lies.
#[derive(Debug, Clone)]
pub struct Files {
    units: PathBuf,
    links: PathBuf,
    notes: PathBuf,
}

impl Files {
    /// The places on a machine, or below another root in tests.
    pub fn below(root: &Path) -> Self {
        Self {
            units: root.join("run/convoy/units"),
            links: root.join("run/systemd/system"),
            notes: root.join("run/convoy/agent"),
        }
    }

    /// Makes the folders.
    pub fn prepare(&self) -> Result<(), FileError> {
        for folder in [&self.units, &self.links, &self.notes] {
            fs::create_dir_all(folder).map_err(at(folder))?;
        }
        Ok(())
    }

    /// The units whose files are whole: text, drop-in and link.
    pub fn scan(&self) -> Result<BTreeMap<UnitName, Found>, FileError> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(&self.units).map_err(at(&self.units))? {
            let entry = entry.map_err(at(&self.units))?;
            let Some(unit) = entry.file_name().to_str().and_then(|name| UnitName::parse(name).ok()) else {
                continue;
            };
            let Ok(text) = fs::read_to_string(entry.path()) else { continue };
            if !self.is_ours(&unit) {
                continue;
            }
            let traits = traits(&unit, &text).unwrap_or_default();
            let changed = self.write_dropin(&unit, &dropin::text(&unit, &traits))?;
            found.insert(unit, Found { hash: sha256(&text), traits, changed });
        }
        Ok(found)
    }

    fn is_ours(&self, unit: &UnitName) -> bool {
        fs::read_link(self.links.join(unit.as_str()))
            .is_ok_and(|target| target == self.units.join(unit.as_str()))
    }

    /// The file of that very name that isn't ours, if there is one in these folders.
    pub fn obstacle(&self, unit: &UnitName, folders: &[String]) -> Option<PathBuf> {
        let candidates = folders.iter().map(PathBuf::from).chain([self.links.clone()]);
        candidates.map(|folder| folder.join(unit.as_str())).find(|path| {
            fs::symlink_metadata(path).is_ok() && !(path.starts_with(&self.links) && self.is_ours(unit))
        })
    }

    /// Writes a unit's file, drop-in and link, each whole or not at all.
    pub fn write(&self, unit: &UnitName, text: &str, traits: &Traits) -> Result<(), FileError> {
        let file = self.units.join(unit.as_str());
        replace(&self.units, &file, text)?;
        self.write_dropin(unit, &dropin::text(unit, traits))?;
        if self.is_ours(unit) {
            return Ok(());
        }
        let link = self.links.join(unit.as_str());
        symlink(&file, &link).map_err(at(&link))
    }

    fn write_dropin(&self, unit: &UnitName, text: &str) -> Result<bool, FileError> {
        let folder = self.links.join(format!("{unit}.d"));
        let path = folder.join(dropin::FILE);
        if fs::read_to_string(&path).is_ok_and(|there| there == text) {
            return Ok(false);
        }
        fs::create_dir_all(&folder).map_err(at(&folder))?;
        replace(&folder, &path, text)?;
        Ok(true)
    }

    /// Removes a unit's link, drop-in and file; what is gone already is as good.
    pub fn remove(&self, unit: &UnitName) -> Result<(), FileError> {
        if self.is_ours(unit) {
            gone(&self.links.join(unit.as_str()))?;
        }
        let folder = self.links.join(format!("{unit}.d"));
        gone(&folder.join(dropin::FILE))?;
        // Somebody else's drop-ins keep the folder.
        let _ = fs::remove_dir(&folder);
        gone(&self.units.join(unit.as_str()))
    }

    /// The notes of the run before; none if there was none since the boot.
    pub fn load(&self) -> Result<Option<Manifest>, FileError> {
        let path = self.notes.join("state.json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(at(&path)(error)),
        };
        serde_json::from_slice(&text).map(Some).map_err(|error| at(&path)(error.into()))
    }

    /// Writes the notes, whole or not at all.
    pub fn save(&self, manifest: &Manifest) -> Result<(), FileError> {
        let path = self.notes.join("state.json");
        let text = serde_json::to_string(manifest).map_err(|error| at(&path)(error.into()))?;
        replace(&self.notes, &path, &text)
    }
}

/// SHA-256 of a text in hexadecimal digits.
pub fn sha256(text: &str) -> String {
    use std::fmt::Write;

    let mut digits = String::with_capacity(64);
    for byte in Sha256::digest(text.as_bytes()) {
        // Writing to a String never fails.
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

/// What a unit's text says, or why it is none.
pub fn traits(unit: &UnitName, text: &str) -> Result<Traits, String> {
    // Whether it may be submitted was decided by others; what is scheduled is run.
    let definition = Definition::read(unit, unit.as_str(), text, Strictness::Compatible);
    definition.map(|definition| Traits::of(&definition, text)).map_err(|rejected| rejected.to_string())
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError { path, source }
}

fn replace(folder: &Path, path: &Path, text: &str) -> Result<(), FileError> {
    // A name that is no unit's; the folder is root's alone.
    let draft = folder.join(".draft");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o644)
        .open(&draft)
        .map_err(at(&draft))?;
    file.write_all(text.as_bytes()).map_err(at(&draft))?;
    file.set_permissions(fs::Permissions::from_mode(0o644)).map_err(at(&draft))?;
    fs::rename(&draft, path).map_err(at(path))
}

fn gone(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[Service]\nExecStart=/bin/sleep infinity\n";

    fn unit(name: &str) -> UnitName {
        UnitName::parse(name).unwrap()
    }

    fn files() -> (tempfile::TempDir, Files) {
        let root = tempfile::tempdir().unwrap();
        let files = Files::below(root.path());
        files.prepare().unwrap();
        (root, files)
    }

    #[test]
    fn a_unit_is_file_dropin_and_link_and_goes_whole() {
        let (root, files) = files();
        let one = unit("a@1.service");
        files.write(&one, TEXT, &Traits::default()).unwrap();
        files.write(&one, TEXT, &Traits::default()).unwrap();
        let link = root.path().join("run/systemd/system/a@1.service");
        assert_eq!(fs::read_to_string(&link).unwrap(), TEXT);
        let dropin = root.path().join("run/systemd/system/a@1.service.d/50-convoy.conf");
        assert!(fs::read_to_string(&dropin).unwrap().contains("After=agent.service"));
        let found = files.scan().unwrap();
        assert_eq!(found[&one].hash, sha256(TEXT));
        assert!(!found[&one].changed);
        fs::write(&dropin, "older").unwrap();
        assert!(files.scan().unwrap()[&one].changed);

        files.remove(&one).unwrap();
        files.remove(&one).unwrap();
        assert!(files.scan().unwrap().is_empty());
        assert_eq!(fs::read_dir(root.path().join("run/systemd/system")).unwrap().count(), 0);
    }

    #[test]
    fn what_is_not_ours_is_an_obstacle_and_stays() {
        let (root, files) = files();
        let etc = root.path().join("etc");
        fs::create_dir(&etc).unwrap();
        let folders = vec![etc.to_string_lossy().into_owned()];
        let one = unit("a.service");
        assert_eq!(files.obstacle(&one, &folders), None);
        files.write(&one, TEXT, &Traits::default()).unwrap();
        assert_eq!(files.obstacle(&one, &folders), None, "our own is none");
        symlink("/dev/null", etc.join("a.service")).unwrap();
        assert_eq!(files.obstacle(&one, &folders), Some(etc.join("a.service")), "a masked unit");
        let two = unit("b.service");
        let foreign = root.path().join("run/systemd/system/b.service");
        fs::write(&foreign, "theirs").unwrap();
        assert_eq!(files.obstacle(&two, &folders), Some(foreign.clone()));
        files.remove(&two).unwrap();
        assert_eq!(fs::read_to_string(foreign).unwrap(), "theirs");
    }

    #[test]
    fn a_half_written_unit_is_not_found_and_notes_are_read_back() {
        let (root, files) = files();
        fs::write(root.path().join("run/convoy/units/a.service"), TEXT).unwrap();
        assert!(files.scan().unwrap().is_empty());
        assert_eq!(files.load().unwrap(), None);
        let mut manifest = Manifest { revision: 7, ..Manifest::default() };
        manifest.units.insert(unit("a.service"), crate::held::Held::default());
        files.save(&manifest).unwrap();
        assert_eq!(files.load().unwrap(), Some(manifest));
        fs::write(root.path().join("run/convoy/agent/state.json"), "{").unwrap();
        assert!(files.load().unwrap_err().to_string().contains("state.json"));
    }

    #[test]
    fn hashes_are_sha256() {
        assert_eq!(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
