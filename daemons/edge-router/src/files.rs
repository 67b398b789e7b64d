//! How many files and sockets the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Beside connections: sockets, files, event loops.
const OTHERS: u64 = 64;

/// Raises the soft limit to the hard one, and gives the clients that there is room for: each takes a socket, and so does
/// the target that serves it. The unit sets enough; a shell's 1024 are soon gone.
pub(crate) fn room_for_clients() -> usize {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
        if let Err(error) = raised {
            tracing::debug!(%error, "the limit of open files stays as it is");
        }
    }
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(allowed.saturating_sub(OTHERS) / 2).unwrap_or(usize::MAX).max(1)
}
