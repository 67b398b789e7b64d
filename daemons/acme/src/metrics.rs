//! What is counted.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since the start. What can be had from [`crate::Status`] (ends, failures, who orders) is not counted again.
#[derive(Debug, Default)]
pub struct Metrics {
    pub(crate) orders_placed: Counter,
    pub(crate) orders_taken_over: Counter,
    pub(crate) certificates_issued: Counter,
    pub(crate) orders_failed: Counter,
    pub(crate) http01_answered: Counter,
    pub(crate) http01_unknown: Counter,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Metrics {
    /// Orders that this edge placed.
    pub fn orders_placed(&self) -> u64 {
        self.orders_placed.get()
    }

    /// Orders that another edge, or an earlier run, had placed, and that this one went on with.
    pub fn orders_taken_over(&self) -> u64 {
        self.orders_taken_over.get()
    }

    /// Certificates that this edge got.
    pub fn certificates_issued(&self) -> u64 {
        self.certificates_issued.get()
    }

    /// Orders of this edge that failed, each try counted.
    pub fn orders_failed(&self) -> u64 {
        self.orders_failed.get()
    }

    /// Requests for the answer of a challenge that were answered.
    pub fn http01_answered(&self) -> u64 {
        self.http01_answered.get()
    }

    /// Requests for an answer that nobody waits for: scanners, mostly.
    pub fn http01_unknown(&self) -> u64 {
        self.http01_unknown.get()
    }
}
