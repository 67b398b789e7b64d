//! A routes file, read again whenever it changes.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use convoy_disk_watch::DiskWatch;
use convoy_routing::{FileError, RoutesFile};
use thiserror::Error;
use tokio::time::timeout;

/// How often the file is looked at although nobody said that it changed: a link in its path may lead elsewhere, and some
/// file systems tell nothing.
const LOOK: Duration = Duration::from_secs(1);

/// Why a file gives no routes.
#[derive(Debug, Error)]
pub enum RoutesFileError {
    /// It can't be read.
    #[error("{path}: {source}")]
    Read {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// It says nothing that could be used.
    #[error("{path}: {source}")]
    Parse {
        /// Which.
        path: String,
        /// Why.
        source: FileError,
    },
}

/// Reads it once.
pub fn read(path: &Path) -> Result<RoutesFile, RoutesFileError> {
    let shown = || path.display().to_string();
    let text = std::fs::read(path).map_err(|source| RoutesFileError::Read { path: shown(), source })?;
    RoutesFile::parse(&text).map_err(|source| RoutesFileError::Parse { path: shown(), source })
}

/// What tells one state of a file from the next.
type Mark = Option<(u64, u64, i64, i64)>;

fn mark(path: &Path) -> Mark {
    let of = |found: Metadata| (found.ino(), found.len(), found.mtime(), found.mtime_nsec());
    path.metadata().ok().map(of)
}

/// The file, followed.
#[derive(Debug)]
pub(crate) struct WatchedFile {
    path: PathBuf,
    disk: DiskWatch,
    seen: Mark,
}

impl WatchedFile {
    /// Reads it, and follows it from there.
    pub(crate) fn open(path: &Path) -> Result<(Self, RoutesFile), RoutesFileError> {
        let mut watched = Self { path: path.to_owned(), disk: DiskWatch::new(), seen: None };
        watched.watch();
        // The mark first: what changes while we read is seen as a change.
        watched.seen = mark(path);
        let file = read(path)?;
        Ok((watched, file))
    }

    fn watch(&mut self) {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        self.disk.set(&BTreeSet::from([folder.unwrap_or(Path::new(".")).to_owned()]));
    }

    /// Waits for the next state of the file. Can be cancelled.
    pub(crate) async fn next(&mut self) -> Result<RoutesFile, RoutesFileError> {
        loop {
            let now = mark(&self.path);
            if now != self.seen {
                self.seen = now;
                return read(&self.path);
            }
            // Time is up, or something happened: in both cases the mark tells.
            if timeout(LOOK, self.disk.changed()).await.is_err() {
                self.watch();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn text(port: u16) -> String {
        format!(r#"{{"routes":[{{"host":"a.example","targets":["127.0.0.1:{port}"]}}]}}"#)
    }

    fn ports(file: &RoutesFile) -> Vec<u16> {
        file.documents
            .values()
            .flat_map(|document| document.targets.iter().map(|target| target.endpoint.addr().port()))
            .collect()
    }

    #[tokio::test]
    async fn a_file_is_read_again_when_it_is_written_or_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("routes.json");
        assert!(matches!(WatchedFile::open(&path), Err(RoutesFileError::Read { .. })));
        std::fs::write(&path, text(1)).unwrap();
        let (mut watched, file) = WatchedFile::open(&path).unwrap();
        assert_eq!(ports(&file), [1]);
        let began = Instant::now();
        for port in 2..12u16 {
            if port % 2 == 0 {
                std::fs::write(&path, text(port + 10_000)).unwrap();
            } else {
                let draft = folder.path().join("routes.json.new");
                std::fs::write(&draft, text(port + 10_000)).unwrap();
                std::fs::rename(&draft, &path).unwrap();
            }
            // A state in the middle of a write may come before it.
            loop {
                if let Ok(file) = watched.next().await
                    && ports(&file) == [port + 10_000]
                {
                    break;
                }
            }
        }
        assert!(began.elapsed() < LOOK * 5, "changes are told, not found by looking");
        std::fs::write(&path, "{").unwrap();
        assert!(watched.next().await.is_err());
    }
}
