//! The access log: an entry per request, written by a thread of its own.
//!
//! A worker formats an entry into its batch and hands over the batch when it is full or a quarter of a second old. When
//! the writer doesn't keep up, whole batches are dropped and counted; a request never waits for its entry.

mod entry;
mod lines;
mod moment;
mod queue;
mod writer;

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;

use convoy_proxy::{NoLog, RequestLog};

use crate::settings::AccessLog;
use queue::{Format, Sender};

/// Makes the log of each worker.
#[derive(Debug, Clone)]
pub(crate) struct Logs(Option<Sender>);

impl Logs {
    /// Starts the writer. It ends when the last log is gone and everything is written. Dropped entries are counted in
    /// `dropped`.
    pub(crate) fn start(
        kind: AccessLog,
        every: u32,
        dropped: Arc<AtomicU64>,
    ) -> io::Result<(Self, Option<JoinHandle<()>>)> {
        let format = match kind {
            AccessLog::Off => return Ok((Self(None), None)),
            AccessLog::Journal => Format::Journal,
            AccessLog::Stderr => Format::Line,
            AccessLog::Combined => Format::Combined,
            AccessLog::Json => Format::Json,
        };
        let (sender, receiver) = queue::channel(format, every, dropped);
        let writer = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || writer::run(format, &receiver))?;
        Ok((Self(Some(sender)), Some(writer)))
    }

    /// A log for one worker.
    pub(crate) fn log(&self) -> Box<dyn RequestLog> {
        match &self.0 {
            Some(sender) => Box::new(sender.log()),
            None => Box::new(NoLog),
        }
    }
}
