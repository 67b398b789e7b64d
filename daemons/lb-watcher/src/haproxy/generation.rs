//! HAProxy's worker before a reload, to know the one after it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use convoy_lb_config::Configuration;
use tokio::time::{Instant, sleep};

use super::socket::{RuntimeError, RuntimeSocket};
use crate::balancer::{ANSWER_DEADLINE, Master, ask_all};

/// How often HAProxy is asked while it reloads.
const POLL: Duration = Duration::from_millis(2);

/// The process that answers at the runtime socket, and all workers of the master.
#[derive(Debug)]
pub(crate) struct Generation {
    pid: Option<i32>,
    master: Option<Master>,
    workers: BTreeSet<i32>,
}

impl Generation {
    /// As it is before a reload.
    pub(crate) async fn now(socket: &RuntimeSocket, master: Option<Master>) -> Self {
        let workers = master.map(Master::workers).unwrap_or_default();
        Self { pid: socket.pid().await.ok(), master, workers }
    }

    /// Follows a reload to its end, which is when another process answers with this configuration and has its servers.
    /// The digest leaves them out, so the answer alone could be the former worker's.
    pub(crate) async fn follow(
        &self,
        socket: &RuntimeSocket,
        expected: &Configuration,
        address: SocketAddr,
        deadline: Duration,
    ) -> Result<(), String> {
        let limit = Instant::now() + deadline;
        loop {
            let missing = match ask_all(address, ANSWER_DEADLINE).await {
                Ok(answer) if answer.digest != *expected.digest() => {
                    format!("HAProxy did not take it over and still serves {}", answer.digest.short())
                }
                // The digest of a configuration without changes at run time says all.
                Ok(_) if expected.membership().is_fixed() => return Ok(()),
                Ok(answer) => match (socket.pid().await, socket.follows(expected.membership()).await) {
                    (Ok(pid), Ok(true)) if self.pid != Some(pid) => return Ok(()),
                    (Err(RuntimeError::Unreachable { .. }), _)
                        if answer.loaded.as_ref() == expected.loaded() && self.is_followed() =>
                    {
                        return Ok(());
                    }
                    (Ok(_), Ok(_)) => "HAProxy did not start a new worker".to_owned(),
                    (Err(error), _) | (_, Err(error)) => error.to_string(),
                },
                Err(error) => format!("HAProxy does not answer on {address}: {error}"),
            };
            if Instant::now() >= limit {
                return Err(missing);
            }
            sleep(POLL).await;
        }
    }

    /// Whether there is a newer worker.
    fn is_followed(&self) -> bool {
        self.master.is_some_and(|master| master.workers().difference(&self.workers).next().is_some())
    }
}
