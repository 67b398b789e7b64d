//! What can be wrong with a configuration.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// An error in the configuration: names the place and what to do there.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A file or directory can't be read.
    #[error("{path}: can't be read; check its owner and mode", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is no TOML, or has a key or table that nobody knows.
    #[error("{path}:{line}: {message}", path = path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// What is wrong, in the parser's words.
        message: String,
    },
    /// A value that parsed but can't be used.
    #[error("{origin}: {message}")]
    Value {
        /// Where it comes from: a table and key, an option or an environment variable.
        origin: String,
        /// What is wrong and what to write instead.
        message: String,
    },
}

impl ConfigError {
    /// A value that can't be used; `origin` names the key, option or variable.
    pub fn value(origin: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Value { origin: origin.into(), message: message.into() }
    }
}
