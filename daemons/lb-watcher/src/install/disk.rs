//! Files on disk: what differs, staging beside the place, and the swap.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::set::{Attributes, Content, FileSet};

/// What a new file has when nothing is said: everybody may read it, as with confd.
const USUAL_MODE: u32 = 0o644;
/// A file that is larger was not made by us.
const LARGEST: u64 = 256 << 20;

/// A file could not be read, written or replaced.
#[derive(Debug, Error)]
#[error("{path}: can't {what} it ({source}){remedy}", path = path.display(), remedy = remedy(source))]
pub struct DiskError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; does its folder exist?",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; make room",
        io::ErrorKind::ReadOnlyFilesystem => {
            "; is the file system mounted read-only, or closed by ReadWritePaths= of the unit?"
        }
        io::ErrorKind::PermissionDenied => "; who owns its folder?",
        _ => "",
    }
}

fn fail<'p>(what: &'static str, path: &'p Path) -> impl FnOnce(io::Error) -> DiskError + use<'p> {
    move |source| DiskError { what, path: path.to_owned(), source }
}

/// How files on disk differ from what they should be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// Files with another content, or none.
    pub changed: BTreeSet<PathBuf>,
    /// Files with the right content and another owner or mode.
    pub attributes: BTreeSet<PathBuf>,
    /// Files of ours that nobody wants any more.
    pub stale: BTreeSet<PathBuf>,
}

impl Difference {
    /// Whether a reader would read something else.
    pub fn matters(&self) -> bool {
        !self.changed.is_empty() || !self.stale.is_empty()
    }

    /// Compares the disk with `wanted`; `ours` are files that were made before.
    pub fn of<'p>(wanted: &FileSet, ours: impl IntoIterator<Item = &'p Path>) -> Result<Self, DiskError> {
        let mut difference = Self::default();
        for (path, content) in wanted.iter() {
            match read(path)? {
                Some(found) if found.bytes == content.bytes => {
                    if differs(&content.attributes, &found.attributes) {
                        difference.attributes.insert(path.to_owned());
                    }
                }
                _ => {
                    difference.changed.insert(path.to_owned());
                }
            }
        }
        for path in ours {
            if wanted.get(path).is_none() && fs::symlink_metadata(path).is_ok() {
                difference.stale.insert(path.to_owned());
            }
        }
        Ok(difference)
    }
}

fn differs(wanted: &Attributes, found: &Attributes) -> bool {
    [(wanted.mode, found.mode), (wanted.uid, found.uid), (wanted.gid, found.gid)]
        .into_iter()
        .any(|(wanted, found)| wanted.is_some() && wanted != found)
}

/// A file's content and attributes; none where there is no regular file.
pub fn read(path: &Path) -> Result<Option<Content>, DiskError> {
    let about = match fs::symlink_metadata(path) {
        Err(error) if is_absent(&error) => return Ok(None),
        about => about.map_err(fail("look at", path))?,
    };
    if !about.is_file() || about.len() > LARGEST {
        return Ok(None);
    }
    match fs::read(path) {
        Err(error) if is_absent(&error) => Ok(None),
        bytes => {
            let attributes = Attributes {
                mode: Some(about.mode() & 0o777),
                uid: Some(about.uid()),
                gid: Some(about.gid()),
            };
            Ok(Some(Content { bytes: bytes.map_err(fail("read", path))?, attributes }))
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Where the candidate for a path is staged: beside it, so that it can be renamed, and hidden, so that a pattern of an
/// `include` doesn't find it.
pub fn staged(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".convoy-staged");
    path.with_file_name(name)
}

/// Stages what differs and swaps it in, for sets that nobody has to look at before.
pub fn replace(set: &FileSet, difference: &Difference) -> Result<(), DiskError> {
    stage(set, &difference.changed)?;
    swap(difference)
}

/// Writes these files beside their places, with owner and mode, and waits until they are on disk. All of them, or none.
pub fn stage(set: &FileSet, paths: &BTreeSet<PathBuf>) -> Result<(), DiskError> {
    stage_each(set, paths).inspect_err(|_| {
        // Half of them are of no use, and may hold the last room there is.
        let _ = unstage(paths);
    })
}

fn stage_each(set: &FileSet, paths: &BTreeSet<PathBuf>) -> Result<(), DiskError> {
    for path in paths {
        let Some(content) = set.get(path) else { continue };
        let former = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file);
        let former = former.as_ref();
        let wanted = &content.attributes;
        let mode = wanted.mode.or(former.map(|about| about.mode() & 0o777)).unwrap_or(USUAL_MODE);
        let uid = wanted.uid.or(former.map(MetadataExt::uid));
        let gid = wanted.gid.or(former.map(MetadataExt::gid));
        let candidate = staged(path);
        discard(&candidate)?;
        let write = || -> io::Result<()> {
            // Closed to others until owner and mode are right.
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(&candidate)?;
            file.write_all(&content.bytes)?;
            let own = file.metadata()?;
            if uid.is_some_and(|uid| uid != own.uid()) || gid.is_some_and(|gid| gid != own.gid()) {
                chown(&candidate, uid, gid)?;
            }
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            file.sync_all()
        };
        write().map_err(fail("write", &candidate))?;
    }
    Ok(())
}

/// Removes the candidates for these paths.
pub fn unstage(paths: &BTreeSet<PathBuf>) -> Result<(), DiskError> {
    paths.iter().try_for_each(|path| discard(&staged(path)))
}

fn discard(path: &Path) -> Result<(), DiskError> {
    match fs::remove_file(path) {
        Err(error) if !is_absent(&error) => Err(fail("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Puts staged files in place and takes stale ones away. Each file is the old one or the new one at any moment.
pub fn swap(difference: &Difference) -> Result<(), DiskError> {
    let mut folders = BTreeSet::new();
    for path in &difference.changed {
        put_in_place(&staged(path), path)?;
        folders.extend(path.parent());
    }
    for path in &difference.stale {
        discard(path)?;
        folders.extend(path.parent());
    }
    // Without this an old name could come back after a power cut.
    for folder in folders {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail("write through", folder))?;
    }
    Ok(())
}

fn put_in_place(candidate: &Path, path: &Path) -> Result<(), DiskError> {
    match fs::rename(candidate, path) {
        // A file that is mounted there (docker run --volume FILE) can't be replaced, only written to.
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            tracing::debug!(path = %path.display(), "the file is a mount of its own and is written in place");
            let write = || -> io::Result<()> {
                let bytes = fs::read(candidate)?;
                let mut file = OpenOptions::new().write(true).truncate(true).open(path)?;
                file.write_all(&bytes)?;
                file.sync_all()?;
                fs::remove_file(candidate)
            };
            write().map_err(fail("write", path))
        }
        renamed => renamed.map_err(fail("replace", path)),
    }
}

/// Sets owner and mode of files that are right otherwise.
pub fn set_attributes(set: &FileSet, paths: &BTreeSet<PathBuf>) -> Result<(), DiskError> {
    for path in paths {
        let Some(content) = set.get(path) else { continue };
        let Attributes { mode, uid, gid } = content.attributes;
        if uid.is_some() || gid.is_some() {
            chown(path, uid, gid).map_err(fail("change the owner of", path))?;
        }
        if let Some(mode) = mode {
            let permissions = fs::Permissions::from_mode(mode);
            fs::set_permissions(path, permissions).map_err(fail("change the mode of", path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(text: &str, mode: Option<u32>) -> Content {
        Content { bytes: text.into(), attributes: Attributes { mode, ..Attributes::default() } }
    }

    #[test]
    fn the_difference_is_what_a_reader_would_see_and_what_only_ls_shows() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["same", "mode", "other", "stale"] {
            fs::write(path(name), name).unwrap();
            fs::set_permissions(path(name), fs::Permissions::from_mode(0o644)).unwrap();
        }
        let wanted: FileSet = [
            (path("same"), content("same", Some(0o644))),
            (path("mode"), content("mode", Some(0o600))),
            (path("other"), content("new", None)),
            (path("absent"), content("new", None)),
        ]
        .into_iter()
        .collect();
        let ours = [path("stale"), path("same"), path("long gone")];
        let found = Difference::of(&wanted, ours.iter().map(PathBuf::as_path)).unwrap();
        assert_eq!(found.changed, BTreeSet::from([path("other"), path("absent")]));
        assert_eq!(found.attributes, BTreeSet::from([path("mode")]));
        assert_eq!(found.stale, BTreeSet::from([path("stale")]));

        stage(&wanted, &found.changed).unwrap();
        assert_eq!(fs::read_to_string(path("other")).unwrap(), "other", "staged is not in place");
        swap(&found).unwrap();
        set_attributes(&wanted, &found.attributes).unwrap();
        let again = Difference::of(&wanted, ours.iter().map(PathBuf::as_path)).unwrap();
        assert_eq!(again, Difference::default());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4, "no candidate is left");
    }

    #[test]
    fn a_file_keeps_its_mode_a_new_one_is_readable_whatever_the_umask_and_a_link_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("kept"), "old").unwrap();
        fs::set_permissions(path("kept"), fs::Permissions::from_mode(0o640)).unwrap();
        fs::write(path("target"), "target").unwrap();
        std::os::unix::fs::symlink(path("target"), path("link")).unwrap();
        let wanted: FileSet =
            ["kept", "fresh", "link"].map(|name| (path(name), content("new", None))).into_iter().collect();
        let found = Difference::of(&wanted, []).unwrap();
        stage(&wanted, &found.changed).unwrap();
        swap(&found).unwrap();
        for (name, mode) in [("kept", 0o640), ("fresh", 0o644), ("link", 0o644)] {
            let about = fs::symlink_metadata(path(name)).unwrap();
            assert!(about.is_file(), "{name}");
            assert_eq!(about.mode() & 0o777, mode, "{name}");
        }
        assert_eq!(fs::read_to_string(path("target")).unwrap(), "target");
    }

    #[test]
    fn an_error_names_the_file_and_what_to_look_for() {
        let wanted: FileSet = [(PathBuf::from("/nonexistent/a"), content("x", None))].into_iter().collect();
        let found = Difference::of(&wanted, []).unwrap();
        let error = stage(&wanted, &found.changed).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/.a.convoy-staged") && error.contains("folder exist"), "{error}");
    }
}
