//! So many requests at a time, and so many more that wait for their turn; the same gate for all workers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use convoy_routing::{Concurrency, Service};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The gate of one service.
#[derive(Debug)]
pub(crate) struct Gate {
    limits: Concurrency,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Gate {
    fn new(limits: Concurrency) -> Self {
        let places = Arc::new(Semaphore::new(limits.limit.min(Semaphore::MAX_PERMITS)));
        Self { limits, places, waiting: AtomicUsize::new(0) }
    }

    /// A place, at once or after a wait. None when the queue is full or the wait too long.
    pub(crate) async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(place);
        }
        let _turn = Turn::take(&self.waiting, self.limits.queue)?;
        let place = Arc::clone(&self.places).acquire_owned();
        tokio::time::timeout(self.limits.wait, place).await.ok()?.ok()
    }
}

/// A place in the queue.
struct Turn<'a>(&'a AtomicUsize);

impl<'a> Turn<'a> {
    fn take(waiting: &'a AtomicUsize, most: usize) -> Option<Self> {
        if waiting.fetch_add(1, Relaxed) >= most {
            waiting.fetch_sub(1, Relaxed);
            return None;
        }
        Some(Self(waiting))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// The gates of all services that have one.
#[derive(Debug, Default)]
pub(crate) struct Gates(Mutex<HashMap<u64, Arc<Gate>>>);

impl Gates {
    /// The service's gate; another one when its limits are others.
    pub(crate) fn of(&self, service: &Service) -> Option<Arc<Gate>> {
        let limits = service.policy().concurrency;
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(limits) = limits else {
            gates.remove(&service.id());
            return None;
        };
        let gate = gates.entry(service.id()).or_insert_with(|| Arc::new(Gate::new(limits)));
        if gate.limits != limits {
            *gate = Arc::new(Gate::new(limits));
        }
        Some(Arc::clone(gate))
    }

    /// Services that are gone need no gate.
    pub(crate) fn forget(&self, service: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&service);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_comes_waits_and_who_comes_too_much_does_not() {
        let wait = Duration::from_secs(1);
        let gate = Arc::new(Gate::new(Concurrency { limit: 1, queue: 1, wait }));
        let first = gate.enter().await.unwrap();
        let second = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.enter().await.is_some() }
        });
        tokio::task::yield_now().await;
        assert!(gate.enter().await.is_none(), "the queue is full");
        drop(first);
        assert!(second.await.unwrap());
        let _third = gate.enter().await.unwrap();
        assert!(gate.enter().await.is_none(), "the wait was too long");
    }
}
