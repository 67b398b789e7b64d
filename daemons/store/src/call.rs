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

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, future::pending};

    use tonic::{Code, Status};

    use super::*;
    use crate::StoreSettings;

    /// What an endpoint does with a request.
    #[derive(Debug, Clone, Copy)]
    enum Does {
        Answer,
        Break,
        Hang,
        LackLeader,
        Refuse,
    }

    fn three() -> Endpoints {
        let endpoints = ["http://a:1", "http://b:1", "http://c:1"].map(str::to_owned).to_vec();
        Endpoints::new(StoreSettings { endpoints, ..StoreSettings::default() }).unwrap()
    }

    /// Calls once, with endpoints that do as told, one after another. Gives the result, the endpoints asked and the
    /// time it took.
    async fn call(repeat: Repeat, script: &[Does]) -> (Result<(), StoreError>, Vec<String>, Duration) {
        let endpoints = three();
        let asked = RefCell::new(Vec::new());
        let start = Instant::now();
        let task = Task { operation: "get", subject: "/a", repeat };
        let result = endpoints
            .call(task, |session| {
                let does = script.get(asked.borrow().len()).copied().unwrap_or(Does::LackLeader);
                asked.borrow_mut().push(endpoints.url(session.turn).to_owned());
                async move {
                    match does {
                        Does::Answer => Ok(()),
                        Does::Break => Err(Status::new(Code::Unknown, "broken pipe").into()),
                        Does::Hang => pending().await,
                        Does::LackLeader => {
                            Err(Status::new(Code::Unavailable, "etcdserver: no leader").into())
                        }
                        Does::Refuse => Err(Status::new(Code::PermissionDenied, "no").into()),
                    }
                }
            })
            .await;
        (result, asked.into_inner(), start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_is_made_again_elsewhere_and_anything_else_is_not() {
        use Does::{Answer, Break, Hang, LackLeader, Refuse};
        use Repeat::{IfUnsent, Read, SameTwice};
        for (repeat, script, succeeds, asked) in [
            (Read, &[Answer][..], true, 1),
            (Read, &[Break, Answer], true, 2),
            (Read, &[Break, Break, Answer], true, 3),
            (Read, &[Break, Break, Break, Answer], false, 3),
            (Read, &[Hang, Answer], true, 2),
            (Read, &[LackLeader, LackLeader, LackLeader, LackLeader, Answer], true, 5),
            (Read, &[Refuse, Answer], false, 1),
            (SameTwice, &[Hang, Answer], true, 2),
            (IfUnsent, &[Break, Answer], false, 1),
            (IfUnsent, &[Hang, Answer], false, 1),
        ] {
            let (result, urls, _) = call(repeat, script).await;
            assert_eq!((result.is_ok(), urls.len()), (succeeds, asked), "{repeat:?} {script:?}");
            let expected: Vec<_> =
                ["http://a:1", "http://b:1", "http://c:1"].into_iter().cycle().take(asked).collect();
            assert_eq!(urls, expected, "{repeat:?} {script:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_write_that_went_out_is_uncertain() {
        for (repeat, does, uncertain) in [
            (Repeat::Read, Does::Hang, false),
            (Repeat::IfUnsent, Does::Hang, true),
            (Repeat::IfUnsent, Does::Break, true),
            (Repeat::IfUnsent, Does::Refuse, false),
            (Repeat::SameTwice, Does::Break, true),
        ] {
            let error = call(repeat, &[does; 3]).await.0.unwrap_err();
            assert_eq!(error.is_uncertain(), uncertain, "{repeat:?} {does:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_takes_longer_than_the_deadline() {
        let deadline = StoreSettings::default().call_deadline;
        for repeat in [Repeat::Read, Repeat::SameTwice, Repeat::IfUnsent] {
            for does in [Does::Hang, Does::LackLeader, Does::Break] {
                let (result, _, took) = call(repeat, &[does; 9]).await;
                assert!(result.is_err());
                assert!(took <= deadline, "{repeat:?} {does:?} took {took:?}");
            }
        }
    }
}
