//! Numbers. Each worker writes its own, so a count is a load and a store; whoever scrapes adds them up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use convoy_keys::AppName;

use crate::reason::Reason;

/// Upper bounds of the latency histogram, in milliseconds.
pub const LATENCY_BOUNDS_MS: [u64; 14] =
    [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000];

/// A number that one thread writes and others read.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(more), Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The requests of one app on one worker.
#[derive(Debug, Default)]
pub(crate) struct RouteCounters {
    classes: [Count; 6],
    latency: [Count; LATENCY_BOUNDS_MS.len() + 1],
    latency_micros: Count,
    retries: Count,
    bytes: Count,
}

impl RouteCounters {
    pub(crate) fn count(&self, status: u16, total: Duration, retries: u32, bytes: u64) {
        if let Some(class) = self.classes.get(usize::from(status / 100)) {
            class.add(1);
        }
        let millis = u64::try_from(total.as_millis()).unwrap_or(u64::MAX);
        let bucket = LATENCY_BOUNDS_MS.iter().position(|&bound| millis < bound);
        if let Some(bucket) = self.latency.get(bucket.unwrap_or(LATENCY_BOUNDS_MS.len())) {
            bucket.add(1);
        }
        self.latency_micros.add(u64::try_from(total.as_micros()).unwrap_or(u64::MAX));
        self.retries.add(u64::from(retries));
        self.bytes.add(bytes);
    }
}

/// What one worker counts beside its routes.
#[derive(Debug, Default)]
pub(crate) struct WorkerCounters {
    reasons: [Count; Reason::ALL.len()],
    pub(crate) ejections: Count,
    pub(crate) connects: Count,
    pub(crate) upstream_open: AtomicUsize,
    pub(crate) malformed: Count,
    pub(crate) tls_failures: Count,
    pub(crate) rapid_resets: Count,
}

impl WorkerCounters {
    pub(crate) fn refused(&self, reason: Reason) {
        if let Some(count) = self.reasons.get(reason as usize) {
            count.add(1);
        }
    }
}

/// The sums of one app over all workers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteTotals {
    /// Requests by the first digit of their status, 1 to 5.
    pub classes: [u64; 6],
    /// Requests per bucket of [`LATENCY_BOUNDS_MS`], the last one for everything slower; not cumulative.
    pub latency: [u64; LATENCY_BOUNDS_MS.len() + 1],
    /// Sum of all times from the head of a request to the end of its answer.
    pub latency_sum: Duration,
    /// Further tries.
    pub retries: u64,
    /// Bytes of answers' bodies.
    pub bytes: u64,
}

/// The sums of everything else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests that no target answered, by reason, in the order of [`Reason::ALL`].
    pub reasons: [u64; Reason::ALL.len()],
    /// Targets that were ejected.
    pub ejections: u64,
    /// Connections made to targets.
    pub connects: u64,
    /// Connections to targets open now.
    pub upstream_open: usize,
    /// Connections whose requests were no HTTP.
    pub malformed: u64,
    /// TLS handshakes that failed.
    pub tls_failures: u64,
    /// HTTP/2 connections that were cut off because their requests were taken back again and again.
    pub rapid_resets: u64,
    /// Targets that active checks took out.
    pub check_failures: u64,
}

/// A list, since there are few workers and many apps.
#[derive(Debug)]
struct PerWorker<T>(Vec<(usize, Arc<T>)>);

impl<T> Default for PerWorker<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Default> PerWorker<T> {
    fn of(&mut self, worker: usize) -> Arc<T> {
        if let Some((_, counters)) = self.0.iter().find(|(known, _)| *known == worker) {
            return Arc::clone(counters);
        }
        let counters = Arc::<T>::default();
        self.0.reserve_exact(1);
        self.0.push((worker, Arc::clone(&counters)));
        counters
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, counters)| &**counters)
    }
}

/// All counters of a proxy.
#[derive(Debug, Default)]
pub struct Metrics {
    routes: Mutex<BTreeMap<AppName, PerWorker<RouteCounters>>>,
    workers: Mutex<PerWorker<WorkerCounters>>,
    pub(crate) check_failures: AtomicU64,
}

impl Metrics {
    /// The counters of an app on a worker: the same ones when the app comes back.
    pub(crate) fn route(&self, app: &AppName, worker: usize) -> Arc<RouteCounters> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.entry(app.clone()).or_default().of(worker)
    }

    pub(crate) fn worker(&self, worker: usize) -> Arc<WorkerCounters> {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.of(worker)
    }

    /// The sums per app.
    pub fn route_totals(&self) -> BTreeMap<AppName, RouteTotals> {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes
            .iter()
            .map(|(app, workers)| {
                let mut totals = RouteTotals::default();
                for counters in workers.iter() {
                    add_all(&mut totals.classes, &counters.classes);
                    add_all(&mut totals.latency, &counters.latency);
                    totals.latency_sum += Duration::from_micros(counters.latency_micros.get());
                    totals.retries += counters.retries.get();
                    totals.bytes += counters.bytes.get();
                }
                (app.clone(), totals)
            })
            .collect()
    }

    /// The sums of everything else.
    pub fn totals(&self) -> Totals {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut totals = Totals { check_failures: self.check_failures.load(Relaxed), ..Totals::default() };
        for counters in workers.iter() {
            add_all(&mut totals.reasons, &counters.reasons);
            totals.ejections += counters.ejections.get();
            totals.connects += counters.connects.get();
            totals.upstream_open += counters.upstream_open.load(Relaxed);
            totals.malformed += counters.malformed.get();
            totals.tls_failures += counters.tls_failures.get();
            totals.rapid_resets += counters.rapid_resets.get();
        }
        totals
    }
}

fn add_all(sums: &mut [u64], counts: &[Count]) {
    for (sum, count) in sums.iter_mut().zip(counts) {
        *sum += count.get();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_add_up() {
        let metrics = Metrics::default();
        let app = AppName::parse("a").unwrap();
        metrics.route(&app, 0).count(200, Duration::from_micros(400), 0, 10);
        metrics.route(&app, 1).count(200, Duration::from_secs(60), 2, 5);
        metrics.route(&app, 1).count(503, Duration::from_millis(7), 0, 0);
        let totals = &metrics.route_totals()[&app];
        assert_eq!(totals.classes, [0, 0, 2, 0, 0, 1]);
        assert_eq!((totals.latency[0], totals.latency[3], totals.latency[14]), (1, 1, 1));
        assert_eq!((totals.retries, totals.bytes), (2, 15));
        metrics.worker(0).refused(Reason::Overload);
        metrics.worker(1).refused(Reason::Overload);
        assert_eq!(metrics.totals().reasons[Reason::Overload as usize], 2);
    }
}
