//! A connection to a target that speaks HTTP/2; hyper does.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use hyper::client::conn::http2;

use crate::body::RequestBody;
use crate::metrics::WorkerCounters;

/// Starts tasks on this thread's event loop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}

/// A connection to a target, as it is counted.
#[derive(Debug)]
pub(crate) struct Open(Arc<WorkerCounters>);

impl Open {
    pub(crate) fn count(counters: &Arc<WorkerCounters>) -> Self {
        counters.upstream_open.fetch_add(1, Relaxed);
        Self(Arc::clone(counters))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.upstream_open.fetch_sub(1, Relaxed);
    }
}

/// One connection carries all requests of a worker.
pub(crate) type Sender = http2::SendRequest<RequestBody>;
