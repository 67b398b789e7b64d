//! Changes on disk, told by inotify(7).

use std::collections::BTreeSet;
use std::path::PathBuf;

use futures_util::StreamExt;
use inotify::{EventStream, Inotify, WatchDescriptor, WatchMask};

/// More folders than this are looked at from time to time only.
const MOST: usize = 1024;
/// Room for some events; more wait in the kernel.
const BUFFER: usize = 4096;

/// Watches folders. Where inotify can't be had, they are looked at from time to time only.
#[derive(Debug, Default)]
pub(super) struct DiskWatch {
    events: Option<EventStream<[u8; BUFFER]>>,
    watched: Vec<WatchDescriptor>,
}

impl DiskWatch {
    pub(super) fn new() -> Self {
        match Inotify::init().and_then(|inotify| inotify.into_event_stream([0; BUFFER])) {
            Ok(events) => Self { events: Some(events), watched: Vec::new() },
            Err(error) => {
                tracing::warn!(%error, "certificates that change are noticed late: inotify can't be used");
                Self::default()
            }
        }
    }

    /// Watches these folders and no others. One that isn't there yet is tried again with the next call.
    pub(super) fn set(&mut self, folders: &BTreeSet<PathBuf>) {
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
        let present: Vec<_> =
            folders.iter().take(MOST).filter_map(|folder| watches.add(folder, mask).ok()).collect();
        for gone in self.watched.iter().filter(|known| !present.contains(known)) {
            // Gone with its folder already is as good.
            let _ = watches.remove(gone.clone());
        }
        self.watched = present;
    }

    /// Waits until something changes; for ever when it can't be told. Can be cancelled.
    pub(super) async fn changed(&mut self) {
        let event = match &mut self.events {
            Some(events) => events.next().await,
            None => None,
        };
        if !matches!(event, Some(Ok(_))) {
            std::future::pending::<()>().await;
        }
    }
}
