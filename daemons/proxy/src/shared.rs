//! What a worker's thread and the others have in common.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use crate::worker::Message;

/// A worker as seen from outside.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) index: usize,
    /// Random, the same for all workers of a process; eight hexadecimal digits.
    pub(crate) process: String,
    /// Client connections, counted from the accept to the end of the last exchange.
    pub(crate) connections: AtomicUsize,
    /// Those of them that were there when the drain began.
    pub(crate) old: AtomicUsize,
    /// The drain has begun on this worker, and `old` is right.
    pub(crate) draining: AtomicBool,
    started: Instant,
    last_beat: AtomicU64,
    sender: UnboundedSender<Message>,
}

impl Post {
    pub(crate) fn new(index: usize, process: String, sender: UnboundedSender<Message>) -> Self {
        Self {
            index,
            process,
            connections: AtomicUsize::new(0),
            old: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            started: Instant::now(),
            last_beat: AtomicU64::new(0),
            sender,
        }
    }

    /// False when the worker is gone.
    pub(crate) fn send(&self, message: Message) -> bool {
        self.sender.send(message).is_ok()
    }

    pub(crate) fn beat(&self) {
        self.last_beat.store(self.millis(), Relaxed);
    }

    pub(crate) fn is_alive(&self, limit: Duration) -> bool {
        let silent = self.millis().saturating_sub(self.last_beat.load(Relaxed));
        Duration::from_millis(silent) < limit
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
