//! The time of day, handed in so that tests can set it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Tells Unix time in seconds. Waiting goes by tokio's clock.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    /// A clock that asks this.
    pub fn new(now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The machine's.
    pub fn system() -> Self {
        Self::new(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        })
    }

    /// Seconds since the epoch.
    pub fn now(&self) -> i64 {
        (self.0)()
    }

    /// The same for a record.
    pub(crate) fn stamp(&self) -> u64 {
        u64::try_from(self.now()).unwrap_or(0)
    }

    /// How long it is until a moment. Not longer than an hour, so that a clock that is set has its effect.
    pub(crate) fn until(&self, moment: i64) -> Duration {
        let seconds = u64::try_from(moment.saturating_sub(self.now())).unwrap_or(0);
        // What is due at a moment is due right after it.
        Duration::from_secs(seconds.saturating_add(1)).min(Duration::from_secs(3600))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}
