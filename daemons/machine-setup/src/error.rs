//! Why a machine could not be set up; each message says where to look and what to do.

use std::io;
use std::path::PathBuf;

use convoy_config::ConfigError;
use thiserror::Error;

/// An error of the set-up.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A line of an environment file can't be used.
    #[error("{path}:{line}: {message}", path = path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// What is wrong, and what to write.
        message: String,
    },
    /// There is no address to choose.
    #[error("this machine has no IPv4 address yet: wait for the network, or write [machine] private_ipv4")]
    NoAddress,
    /// There is more than one address to choose from, and nothing to tell them apart.
    #[error("several private addresses ({candidates}): write the one to use as [machine] private_ipv4")]
    Ambiguous {
        /// Interfaces with their addresses.
        candidates: String,
    },
    /// The machine's id or host name can't be used.
    #[error("{path}: {message}", path = path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A file operation failed.
    #[error("{doing} {path}", path = path.display())]
    File {
        /// What was tried, for example "write".
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The list of network interfaces can't be read.
    #[error("list the network interfaces")]
    Interfaces(#[source] io::Error),
}
