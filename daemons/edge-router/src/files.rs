//! How many files and sockets the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Beside connections: sockets, files, event loops.
const OTHERS: u64 = 64;

/// Raises the soft limit to the hard one, and says so when it is short for this many clients: each takes a socket, and
/// so does the target that serves it. The unit sets enough; a shell's 1024 are soon gone.
pub(crate) fn allow(clients: usize) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
        if let Err(error) = raised {
            tracing::debug!(%error, "the limit of open files stays as it is");
        }
    }
    let needed = 2 * clients as u64 + OTHERS;
    if let Some(allowed) = getrlimit(Resource::Nofile).current
        && allowed < needed
    {
        tracing::warn!(
            ALLOWED = allowed,
            NEEDED = needed,
            "fewer files may be open than {clients} connections need; raise LimitNOFILE= or lower max_connections"
        );
    }
}
