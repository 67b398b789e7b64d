//! nginx's processes: a master, and a generation of workers for each configuration that still has something to do.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use convoy_lb_config::Digest;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use crate::balancer::{Master, ask};

/// How often nginx is asked while it reloads.
const POLL: Duration = Duration::from_millis(1);
/// One answer may take this long.
const ANSWER_DEADLINE: Duration = Duration::from_millis(500);

/// Ends the reign of these workers: they take no more connections, finish what they have, and go.
fn retire(master: Master, former: &BTreeSet<i32>) {
    // Only what is still a child of this master: a number could belong to somebody else by now.
    for &worker in master.workers().intersection(former) {
        if let Some(pid) = Pid::from_raw(worker)
            && let Err(error) = kill_process(pid, Signal::QUIT)
        {
            tracing::debug!(worker, %error, "an old worker was not told to go; nginx will");
        }
    }
}

/// Follows a reload to its end, which is when nginx answers with this configuration. `former` are the workers from
/// before the reload.
///
/// nginx starts the new workers, sleeps for 100 ms, and then sends the old ones away; meanwhile those get almost
/// every new connection, since they stand first in the kernel's queue. So they are sent away here, as soon as a
/// new worker exists. That is safe: the master is in that sleep then, with SIGCHLD blocked, and marks
/// the old workers as leaving before it hears of their end, so it starts none of them again
/// (`ngx_master_process_cycle`, `ngx_signal_worker_processes`). Connections that come before a new worker takes
/// any wait at the socket, which is the master's.
pub(crate) async fn follow(
    master: Master,
    former: &BTreeSet<i32>,
    expected: &Digest,
    address: SocketAddr,
    deadline: Duration,
) -> Result<(), String> {
    let limit = Instant::now() + deadline;
    // Where the kernel doesn't tell the workers, nginx does it in its own time.
    let mut retired = former.is_empty();
    loop {
        if !retired && master.workers().difference(former).next().is_some() {
            retire(master, former);
            retired = true;
        }
        let answer = ask(address, ANSWER_DEADLINE).await;
        if retired && answer.as_ref().is_ok_and(|digest| digest == expected) {
            return Ok(());
        }
        if Instant::now() >= limit {
            return Err(match answer {
                Ok(digest) => format!("nginx did not take it over and still serves {}", digest.short()),
                Err(error) => format!("nginx does not answer on {address}: {error}"),
            });
        }
        sleep(POLL).await;
    }
}
