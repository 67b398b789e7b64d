//! One call: a deadline over everything, and another try where that can do no harm.

use std::{future::Future, time::Duration};

use convoy_retry::Backoff;
use etcd_client::Error;
use tokio::time::{Instant, sleep, timeout};

use crate::{ErrorKind, StoreError, endpoints::Endpoints, failure::Failure, session::Session};

/// When a call that failed may be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Always: it changes nothing.
    Read,
    /// Always: making it twice can not be told from making it once.
    SameTwice,
    /// Only when the request certainly never went out.
    IfUnsent,
}

/// What is being done, for errors.
#[derive(Debug, Clone)]
pub(crate) struct Task<'a> {
    pub(crate) operation: &'static str,
    pub(crate) subject: &'a str,
    pub(crate) repeat: Repeat,
}

impl Endpoints {
    /// Makes a call at the present endpoint, and again at others as the task allows, until the deadline.
    pub(crate) async fn call<T, F, R>(&self, task: Task<'_>, make: F) -> Result<T, StoreError>
    where
        F: Fn(Session) -> R,
        R: Future<Output = Result<T, Error>>,
    {
        let deadline = Instant::now() + self.settings().call_deadline;
        // Every endpoint gets a try, and a lone one a second with a fresh connection.
        let round = self.len().max(2);
        // Elections take about a second: worth waiting for, pausing after each round.
        let mut pause = Backoff::new(Duration::from_millis(50), Duration::from_millis(400));
        let mut tries = 0;
        let mut sent = false;
        loop {
            tries += 1;
            let left = deadline.saturating_duration_since(Instant::now());
            let share = match task.repeat {
                Repeat::Read | Repeat::SameTwice if tries < round => left / 2,
                _ => left,
            };
            let turn = self.turn();
            let failure = match timeout(share, self.attempt(&make)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failure)) => failure,
                Err(_) => Failure::new(ErrorKind::Deadline, format!("no answer within {share:.1?}")),
            };
            if failure.leave {
                self.leave(turn, failure.kind);
            }
            sent |= failure.leave && !failure.unsent;
            let harmless = task.repeat != Repeat::IfUnsent || failure.unsent;
            let election = failure.kind == ErrorKind::NoLeader;
            let wait = if tries % round == 0 { pause.next() } else { Duration::ZERO };
            let time_left = Instant::now() + wait < deadline;
            if !(failure.leave && harmless && time_left && (tries < round || election)) {
                return Err(StoreError::new(failure.kind, task.operation, task.subject, failure.detail)
                    .at(self.url(turn))
                    .uncertain(sent && task.repeat != Repeat::Read));
            }
            if !wait.is_zero() {
                sleep(wait).await;
            }
        }
    }

    async fn attempt<T, F, R>(&self, make: &F) -> Result<T, Failure>
    where
        F: Fn(Session) -> R,
        R: Future<Output = Result<T, Error>>,
    {
        let session = self.session().await?;
        Ok(make(session).await?)
    }
}
