//! Changes on disk: resources, templates, and files in place that somebody edits.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use futures_util::StreamExt;
use inotify::{EventStream, Inotify, WatchDescriptor, WatchMask};

/// More folders than this are looked at from time to time only.
const MOST: usize = 1024;
/// Room for some events; more wait in the kernel.
const BUFFER: usize = 4096;

/// Watches folders by inotify(7). Where that can't be had, files are looked at from time to time only.
#[derive(Debug, Default)]
pub(crate) struct DiskWatch {
    events: Option<EventStream<[u8; BUFFER]>>,
    watched: BTreeMap<PathBuf, WatchDescriptor>,
}

impl DiskWatch {
    pub(crate) fn new() -> Self {
        match Inotify::init().and_then(|inotify| inotify.into_event_stream([0; BUFFER])) {
            Ok(events) => Self { events: Some(events), watched: BTreeMap::new() },
            Err(error) => {
                tracing::warn!(%error, "changes on disk are noticed late: inotify can't be used");
                Self::default()
            }
        }
    }

    /// Watches these folders and no others. One that isn't there yet is tried again with the next call.
    pub(crate) fn set(&mut self, folders: &BTreeSet<PathBuf>) {
        let Some(events) = &self.events else { return };
        let mut watches = events.watches();
        self.watched.retain(|folder, watch| {
            let wanted = folders.contains(folder);
            if !wanted {
                // Gone with its folder already is as good.
                let _ = watches.remove(watch.clone());
            }
            wanted
        });
        let mask = WatchMask::CLOSE_WRITE
            | WatchMask::MOVE
            | WatchMask::CREATE
            | WatchMask::DELETE
            | WatchMask::ATTRIB
            | WatchMask::DELETE_SELF
            | WatchMask::ONLYDIR;
        for folder in folders.iter().take(MOST) {
            // Added anew each time: the folder of this name may be another one by now.
            if let Ok(watch) = watches.add(folder, mask) {
                self.watched.insert(folder.clone(), watch);
            }
        }
    }

    /// Waits until something changes in watched folders, and tells where; for ever when there is none. Candidates of our
    /// own are passed over. Cancel-safe.
    pub(crate) async fn changed(&mut self) -> PathBuf {
        loop {
            let event = match &mut self.events {
                Some(events) => events.next().await,
                None => std::future::pending().await,
            };
            let Some(Ok(event)) = event else { return std::future::pending().await };
            let is_candidate =
                event.name.as_ref().is_some_and(|name| name.as_bytes().ends_with(b".convoy-staged"));
            let folder = self.watched.iter().find(|(_, watch)| **watch == event.wd);
            if let Some((folder, _)) = folder.filter(|_| !is_candidate) {
                return folder.clone();
            }
        }
    }
}

/// A folder and all folders below it.
pub(crate) fn tree(root: &Path) -> BTreeSet<PathBuf> {
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
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_change_wakes_and_a_candidate_does_not() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("sub")).unwrap();
        let mut watch = DiskWatch::new();
        watch.set(&tree(folder.path()));
        std::fs::write(folder.path().join("sub/.a.convoy-staged"), "x").unwrap();
        assert!(timeout(Duration::from_millis(50), watch.changed()).await.is_err());
        for change in [
            |path: &Path| std::fs::write(path, "x").unwrap(),
            |path: &Path| std::fs::remove_file(path).unwrap(),
        ] {
            change(&folder.path().join("sub/a"));
            let changed = timeout(SOON, watch.changed()).await.unwrap();
            assert_eq!(changed, folder.path().join("sub"));
        }
        watch.set(&BTreeSet::new());
        std::fs::write(folder.path().join("sub/a"), "y").unwrap();
        assert!(timeout(Duration::from_millis(50), watch.changed()).await.is_err());
    }
}
