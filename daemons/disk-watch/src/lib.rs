//! Changes in folders, told by inotify(7) as they happen.
//!
//! Folders and not files: editors and deployments replace a file, which a watch on the file itself would not survive. Some
//! file systems tell nothing, and a link may lead elsewhere one day, so whoever follows a folder also looks at it from time
//! to time.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use futures_util::StreamExt;
use inotify::{EventMask, EventStream, Inotify, WatchDescriptor, WatchMask};

/// More folders than this are not watched.
const MOST: usize = 1024;
/// Room for some events; more wait in the kernel.
const BUFFER: usize = 4096;

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Something in a watched folder, or the folder itself.
    In {
        /// The folder, as it was given.
        folder: PathBuf,
        /// What in it; none where it is the folder itself.
        name: Option<OsString>,
    },
    /// More than could be told: it may be anything.
    Anything,
}

/// Watches folders. Where inotify can't be had, that is logged, and nothing is told.
#[derive(Debug, Default)]
pub struct DiskWatch {
    events: Option<EventStream<Vec<u8>>>,
    watched: BTreeMap<PathBuf, WatchDescriptor>,
}

impl DiskWatch {
    /// Watches nothing yet. To be called on a tokio runtime that does I/O.
    pub fn new() -> Self {
        match Inotify::init().and_then(|inotify| inotify.into_event_stream(vec![0; BUFFER])) {
            Ok(events) => Self { events: Some(events), watched: BTreeMap::new() },
            Err(error) => {
                tracing::warn!(%error, "changes on disk are noticed late: inotify can't be used");
                Self::default()
            }
        }
    }

    /// Watches these folders and no others. One that isn't there yet is tried again with the next call.
    pub fn set(&mut self, folders: &BTreeSet<PathBuf>) {
        let Some(events) = &self.events else { return };
        let mut watches = events.watches();
        let mask = WatchMask::CLOSE_WRITE
            | WatchMask::MOVE
            | WatchMask::CREATE
            | WatchMask::DELETE
            | WatchMask::ATTRIB
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        // Added anew each time: the folder of this name may be another one by now. One that is the same keeps its number.
        let present: BTreeMap<PathBuf, WatchDescriptor> = folders
            .iter()
            .take(MOST)
            .filter_map(|folder| Some((folder.clone(), watches.add(folder, mask).ok()?)))
            .collect();
        for gone in self.watched.values().filter(|known| !present.values().any(|watch| watch == *known)) {
            // Gone with its folder already is as good.
            let _ = watches.remove(gone.clone());
        }
        self.watched = present;
    }

    /// Waits until something changes; for ever when it can't be told. Can be cancelled.
    pub async fn changed(&mut self) -> Change {
        loop {
            let event = match &mut self.events {
                Some(events) => events.next().await,
                None => None,
            };
            let Some(Ok(event)) = event else { return std::future::pending().await };
            if event.mask.contains(EventMask::Q_OVERFLOW) {
                return Change::Anything;
            }
            // Others are of folders that are watched no more.
            if let Some((folder, _)) = self.watched.iter().find(|(_, watch)| **watch == event.wd) {
                return Change::In { folder: folder.clone(), name: event.name };
            }
        }
    }
}

/// A folder and all folders below it, as far as they can be watched.
pub fn tree(root: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::from([root.to_owned()]);
    let mut next = vec![root.to_owned()];
    while let Some(folder) = next.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if found.len() < MOST && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                found.insert(entry.path());
                next.push(entry.path());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);
    const NEVER: Duration = Duration::from_millis(50);

    async fn next(watch: &mut DiskWatch) -> Change {
        timeout(SOON, watch.changed()).await.expect("a change is told")
    }

    #[tokio::test]
    async fn what_changes_in_a_watched_folder_is_told_with_its_name() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("sub");
        fs::create_dir(&folder).unwrap();
        let mut watch = DiskWatch::new();
        watch.set(&tree(root.path()));
        let told = Change::In { folder: folder.clone(), name: Some("a".into()) };
        for change in [
            |path: &Path| fs::write(path, "x").unwrap(),
            |path: &Path| fs::rename(path, path.with_file_name("b")).unwrap(),
            |path: &Path| fs::rename(path.with_file_name("b"), path).unwrap(),
            |path: &Path| fs::remove_file(path).unwrap(),
        ] {
            change(&folder.join("a"));
            while next(&mut watch).await != told {}
        }
        while timeout(NEVER, watch.changed()).await.is_ok() {}
        watch.set(&BTreeSet::new());
        fs::write(folder.join("a"), "y").unwrap();
        assert!(timeout(NEVER, watch.changed()).await.is_err(), "nobody wanted to know");
    }

    #[tokio::test]
    async fn a_folder_that_is_another_one_now_is_watched_as_well() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("sub");
        let mut watch = DiskWatch::new();
        let wanted = BTreeSet::from([folder.clone()]);
        watch.set(&wanted);
        for _ in 0..3 {
            fs::create_dir(&folder).unwrap();
            watch.set(&wanted);
            fs::write(folder.join("a"), "x").unwrap();
            assert!(matches!(next(&mut watch).await, Change::In { name: Some(_), .. }));
            fs::remove_dir_all(&folder).unwrap();
            while !matches!(next(&mut watch).await, Change::In { name: None, .. }) {}
        }
    }

    #[tokio::test]
    async fn more_than_the_kernel_keeps_is_told_as_anything() {
        let most: usize =
            fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut watch = DiskWatch::new();
        watch.set(&BTreeSet::from([folder.path().to_owned()]));
        // Two files, so that no event is like the one before it, which the kernel would leave out.
        for turn in 0..=most {
            fs::write(folder.path().join(["a", "b"][turn % 2]), "x").unwrap();
        }
        while next(&mut watch).await != Change::Anything {}
    }
}
