//! Carries beats to the units that live by them.

use std::collections::BTreeMap;
use std::time::Duration;

use convoy_store::Answered;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::beat::Beat;
use crate::fence::Fence;

/// A unit that is being started opens its socket in a moment.
const AGAIN: Duration = Duration::from_millis(20);
/// A reader that takes no line for so long is stuck; systemd's watchdog takes care of it.
const PATIENCE: Duration = Duration::from_secs(1);

/// The connections to all fences that are up, and what is sent to them.
#[derive(Debug)]
pub(crate) struct Links {
    beats: watch::Sender<Option<Beat>>,
    tasks: BTreeMap<Fence, JoinHandle<()>>,
}

impl Links {
    /// No connections, and nothing to send.
    pub(crate) fn new() -> Self {
        Self { beats: watch::channel(None).0, tasks: BTreeMap::new() }
    }

    /// Passes on that a keep-alive was answered.
    pub(crate) fn beat(&self, answered: &Answered) {
        self.beats.send_replace(Some(Beat::of(answered)));
    }

    /// There is no lease to speak of: what was sent holds as long as it holds.
    pub(crate) fn pause(&self) {
        self.beats.send_replace(None);
    }

    /// Keeps a connection to a fence as long as its unit is up or on its way up.
    pub(crate) fn set(&mut self, fence: Fence, up: bool) {
        if !up {
            if let Some(task) = self.tasks.remove(&fence) {
                task.abort();
            }
            return;
        }
        if self.tasks.get(&fence).is_none_or(JoinHandle::is_finished) {
            let task = tokio::spawn(carry(fence.socket(), self.beats.subscribe()));
            self.tasks.insert(fence, task);
        }
    }

    /// Waits until the connections had time to carry what was sent last.
    pub(crate) async fn flush(&self) {
        sleep(AGAIN).await;
    }
}

impl Default for Links {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        for task in self.tasks.values() {
            task.abort();
        }
    }
}

async fn carry(socket: String, mut beats: watch::Receiver<Option<Beat>>) {
    loop {
        if let Ok(stream) = UnixStream::connect(&socket).await {
            beats.mark_changed();
            if send(stream, &mut beats).await.is_none() {
                return;
            }
        }
        sleep(AGAIN).await;
    }
}

/// None when nobody has anything to send any more.
async fn send(mut stream: UnixStream, beats: &mut watch::Receiver<Option<Beat>>) -> Option<()> {
    loop {
        beats.changed().await.ok()?;
        let beat = *beats.borrow_and_update();
        let Some(beat) = beat else { continue };
        match timeout(PATIENCE, stream.write_all(beat.line().as_bytes())).await {
            Ok(Ok(())) => {}
            _ => return Some(()),
        }
    }
}
