//! A routes file, read again whenever it changes.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use convoy_routing::{FileError, RoutesFile};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use thiserror::Error;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{self, Receiver, Sender};

/// How often the file is looked at although nobody said that it changed: a link in its path may lead elsewhere, and some
/// file systems tell nothing.
const LOOK: Duration = Duration::from_secs(1);
/// Room for the names of files that changed at once.
const EVENTS: usize = 4096;

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
    /// None where the kernel tells nothing; then the looks have to do.
    events: Option<Receiver<()>>,
    seen: Mark,
}

impl WatchedFile {
    /// Reads it, and follows it from there.
    pub(crate) fn open(path: &Path) -> Result<(Self, RoutesFile), RoutesFileError> {
        let events = watch(path)
            .inspect_err(|error| tracing::warn!(%error, "the routes file is looked at once a second only"))
            .ok();
        // The mark first: what changes while we read is seen as a change.
        let seen = mark(path);
        let file = read(path)?;
        Ok((Self { path: path.to_owned(), events, seen }, file))
    }

    /// Waits for the next state of the file. Can be cancelled.
    pub(crate) async fn next(&mut self) -> Result<RoutesFile, RoutesFileError> {
        loop {
            let now = mark(&self.path);
            if now != self.seen {
                self.seen = now;
                return read(&self.path);
            }
            match &mut self.events {
                // Time is up, or something happened: in both cases the mark tells.
                Some(events) => {
                    if let Ok(None) = tokio::time::timeout(LOOK, events.recv()).await {
                        self.events = None;
                    }
                }
                None => tokio::time::sleep(LOOK).await,
            }
        }
    }
}

/// A thread that waits for the kernel's word, since nothing else here waits for anything but sockets.
fn watch(path: &Path) -> io::Result<Receiver<()>> {
    let events = inotify::init(CreateFlags::CLOEXEC)?;
    // The folder: editors and deployments replace a file, which a watch on the file itself would not survive.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let flags = WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::CREATE | WatchFlags::DELETE;
    inotify::add_watch(&events, folder, flags)?;
    let name = path.file_name().unwrap_or_else(|| OsStr::new("")).to_owned();
    // One is as good as many: what is there is looked at afterwards.
    let (sender, receiver) = mpsc::channel(1);
    std::thread::Builder::new().name("routes-file".to_owned()).spawn(move || {
        if let Err(error) = pass_on(&events, &name, &sender) {
            tracing::warn!(%error, "the routes file is looked at once a second only");
        }
    })?;
    Ok(receiver)
}

/// Tells when a file of this name changed, until nobody wants to know.
fn pass_on(events: &OwnedFd, name: &OsStr, changes: &Sender<()>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); EVENTS];
    let mut reader = inotify::Reader::new(events, &mut space);
    loop {
        let event = match reader.next() {
            Ok(event) => event,
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        let meant = event.file_name().is_none_or(|changed| changed.to_bytes() == name.as_encoded_bytes());
        // A queue that ran over has no name: anything may have happened.
        if meant || event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
            match changes.try_send(()) {
                Ok(()) | Err(TrySendError::Full(())) => {}
                Err(TrySendError::Closed(())) => return Ok(()),
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
