//! What can go wrong, each with the last thing that was seen.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::possible::Reason;

/// An operation on the cluster that failed.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// This computer can't boot machines.
    #[error("machines can't be booted here: {0}")]
    Impossible(#[from] Reason),
    /// A command ended with an error.
    #[error("{what} failed with {status}:\n{output}")]
    Command {
        /// What was run.
        what: String,
        /// Its exit status in words.
        status: String,
        /// What it wrote, standard error last.
        output: String,
    },
    /// Something did not happen in time.
    #[error("{what}: not within {} s; last seen:\n{last}", .within.as_secs_f32())]
    Deadline {
        /// What was waited for.
        what: String,
        /// The deadline.
        within: Duration,
        /// The last state or output that was seen.
        last: String,
    },
    /// A file operation failed.
    #[error("{doing} {}", .path.display())]
    File {
        /// What was tried, for example "write".
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A program could not be started.
    #[error("start {program}")]
    Start {
        /// The program.
        program: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The operating system refused.
    #[error("{doing}")]
    System {
        /// What was tried.
        doing: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A value to edit is missing in cloud-config.yaml, or there more than once.
    #[error("cloud-config.yaml has {found} lines that set `{key}`, and one was expected")]
    CloudConfig {
        /// The key.
        key: &'static str,
        /// How many lines set it.
        found: usize,
    },
    /// A cluster or a machine of this name does not exist, or is not in the state for what was asked.
    #[error("{0}")]
    Unknown(String),
}

impl ClusterError {
    /// For `map_err` on file operations.
    pub(crate) fn file(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> ClusterError {
        let path = path.to_owned();
        move |source| ClusterError::File { doing, path, source }
    }

    /// For `map_err` on system calls.
    pub(crate) fn system(doing: impl Into<String>) -> impl FnOnce(rustix::io::Errno) -> ClusterError {
        let doing = doing.into();
        move |errno| ClusterError::System { doing, source: errno.into() }
    }
}
