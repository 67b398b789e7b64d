//! From the workers to the writer, in batches, with a bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use convoy_proxy::{Record, RequestLog};

use super::moment::Moment;
use super::{entry, lines};

/// Entries in a batch at most; what one system call sends.
const ENTRIES_MAX: usize = 64;
/// A batch is handed over when it has grown to this.
const BYTES_MAX: usize = 48 * 1024;
/// Batches that wait. Together with their sizes this bounds the memory: about 3 MB.
const WAITING_MAX: usize = 64;

/// How entries look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// The journal's native protocol.
    Journal,
    /// Lines for people.
    Line,
    /// nginx's combined format.
    Combined,
    /// JSON.
    Json,
}

/// Entries one after the other, with the place where each ends.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) ends: Vec<usize>,
}

impl Batch {
    /// The entries one by one.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).filter_map(|(start, &end)| self.bytes.get(start..end))
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Sender {
    format: Format,
    every: u32,
    batches: SyncSender<Batch>,
    dropped: Arc<AtomicU64>,
}

/// One of `every` requests that went well has an entry.
pub(crate) fn channel(format: Format, every: u32, dropped: Arc<AtomicU64>) -> (Sender, Receiver<Batch>) {
    let (batches, receiver) = sync_channel(WAITING_MAX);
    (Sender { format, every, batches, dropped }, receiver)
}

impl Sender {
    pub(crate) fn log(&self) -> Log {
        Log { sender: self.clone(), batch: Batch::default(), moment: Moment::default(), passed_over: 0 }
    }
}

/// One worker's log.
#[derive(Debug)]
pub(crate) struct Log {
    sender: Sender,
    batch: Batch,
    moment: Moment,
    /// Requests that went well since the last one that has an entry.
    passed_over: u32,
}

impl Log {
    /// Whether this request has an entry.
    fn is_sampled(&mut self, record: &Record<'_>) -> bool {
        if self.sender.every <= 1 || record.status >= 400 || record.retries > 0 || !record.reason.is_empty() {
            return true;
        }
        self.passed_over += 1;
        if self.passed_over < self.sender.every {
            return false;
        }
        self.passed_over = 0;
        true
    }
}

impl RequestLog for Log {
    fn record(&mut self, record: &Record<'_>) {
        if !self.is_sampled(record) {
            return;
        }
        if self.batch.bytes.capacity() == 0 {
            self.batch.bytes.reserve(BYTES_MAX + BYTES_MAX / 4);
            self.batch.ends.reserve(ENTRIES_MAX);
        }
        match self.sender.format {
            Format::Journal => entry::journal(&mut self.batch.bytes, record),
            Format::Line => entry::line(&mut self.batch.bytes, record),
            Format::Combined => lines::combined(&mut self.batch.bytes, record, self.moment.combined()),
            Format::Json => lines::json(&mut self.batch.bytes, record, self.moment.rfc3339()),
        }
        self.batch.ends.push(self.batch.bytes.len());
        if self.batch.ends.len() >= ENTRIES_MAX || self.batch.bytes.len() >= BYTES_MAX {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.batch.ends.is_empty() {
            return;
        }
        let batch = std::mem::take(&mut self.batch);
        let count = batch.ends.len() as u64;
        if self.sender.batches.try_send(batch).is_err() {
            self.sender.dropped.fetch_add(count, Relaxed);
        }
    }

    fn wants_agent(&self) -> bool {
        matches!(self.sender.format, Format::Combined | Format::Json)
    }
}

impl Drop for Log {
    /// Requests that are cut off at the very end are logged, too.
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use super::*;

    fn record(path: &str) -> Record<'_> {
        Record {
            request_id: "1",
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            method: "GET",
            host: "a",
            path,
            status: 200,
            route: "a",
            via: "lb",
            upstream: "-",
            upstream_time: None,
            total_time: Duration::ZERO,
            bytes: 0,
            retries: 0,
            reason: "",
            version: "HTTP/1.1",
            tls: false,
            trace: "",
            referer: "",
            agent: "",
        }
    }

    #[test]
    fn entries_come_out_one_by_one() {
        let (sender, receiver) = channel(Format::Line, 1, Arc::default());
        let mut log = sender.log();
        log.flush();
        log.record(&record("/1"));
        log.record(&record("/2"));
        log.flush();
        let batch = receiver.try_recv().unwrap();
        let entries: Vec<_> =
            batch.entries().map(|entry| String::from_utf8(entry.to_vec()).unwrap()).collect();
        assert_eq!(entries.len(), 2);
        assert!(entries[0].contains("a/1 ") && entries[1].contains("a/2 "), "{entries:?}");
        assert!(receiver.try_recv().is_err(), "nothing is handed over twice");
        log.record(&record("/3"));
        drop(log);
        assert_eq!(receiver.try_recv().unwrap().entries().count(), 1, "the rest goes at the end");
    }

    #[test]
    fn when_nobody_writes_entries_are_dropped_and_counted_and_nobody_waits() {
        let dropped = Arc::new(AtomicU64::new(0));
        let (sender, receiver) = channel(Format::Journal, 1, Arc::clone(&dropped));
        let mut log = sender.log();
        for _ in 0..(WAITING_MAX + 3) * ENTRIES_MAX {
            log.record(&record("/"));
        }
        assert_eq!(dropped.load(Relaxed), 3 * ENTRIES_MAX as u64);
        assert_eq!(receiver.try_iter().count(), WAITING_MAX);
    }

    #[test]
    fn of_what_went_well_one_in_so_many_is_kept_and_all_of_the_rest() {
        let (sender, receiver) = channel(Format::Line, 10, Arc::default());
        let mut log = sender.log();
        for number in 0..100 {
            log.record(&record("/good"));
            if number % 25 == 0 {
                log.record(&Record { status: 502, reason: "reset", ..record("/bad") });
            }
        }
        drop(log);
        let text: Vec<u8> = receiver.iter().take(1).flat_map(|batch| batch.bytes).collect();
        let text = String::from_utf8(text).unwrap();
        assert_eq!((text.matches("/good").count(), text.matches("/bad").count()), (10, 4));
    }
}
