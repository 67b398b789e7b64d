//! A folder that is read again whenever something in it changes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use convoy_disk_watch::DiskWatch;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::folder::{Folder, FromFile};
use crate::status::Problem;

/// Chain and key are two files, and are seldom written in one moment.
const SETTLE: Duration = Duration::from_millis(100);
/// Nobody writes for so long without a pause.
const SETTLE_MAX: Duration = Duration::from_secs(2);
/// For folders that inotify says nothing about: those of another machine.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// What is in the folder.
#[derive(Debug, Clone, Default)]
pub(crate) struct Files {
    /// By name.
    pub(crate) certificates: BTreeMap<String, FromFile>,
    pub(crate) problems: Vec<Problem>,
}

impl Files {
    fn of(folder: &Folder) -> Arc<Self> {
        Arc::new(Self { certificates: folder.files().clone(), problems: folder.problems().to_vec() })
    }
}

/// Reads the folder and tells what is in it, now and whenever that changes. The first state is there on return, so that a
/// daemon begins with its certificates. Ends when nobody listens any more.
pub(crate) fn follow_folder(path: PathBuf) -> watch::Receiver<Arc<Files>> {
    let mut folder = Folder::new(path);
    let mut disk = DiskWatch::new();
    disk.set(&folder.places());
    folder.refresh();
    let (tell, told) = watch::channel(Files::of(&folder));
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = tell.closed() => return,
                () = settled(&mut disk) => {}
                () = sleep(LOOK_EVERY) => {}
            }
            let look = spawn_blocking(move || {
                let places = folder.places();
                let is_news = folder.refresh();
                (folder, places, is_news)
            });
            let Ok((looked, places, is_news)) = look.await else { return };
            folder = looked;
            // What changes between the look and the next line is seen by the watch: it was set before, for all but folders
            // that are new, and those are looked at once more.
            disk.set(&places);
            if is_news {
                tell.send_replace(Files::of(&folder));
            }
        }
    });
    told
}

/// Waits for a change, and for the end of the burst that it belongs to.
async fn settled(disk: &mut DiskWatch) {
    disk.changed().await;
    let latest = Instant::now() + SETTLE_MAX;
    loop {
        tokio::select! {
            () = sleep_until(latest) => return,
            quiet = timeout(SETTLE, disk.changed()) => if quiet.is_err() { return },
        }
    }
}
