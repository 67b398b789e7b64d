//! Ends that have an exit code of their own.

use thiserror::Error;

use crate::exit::Outcome;

/// Why a command was not carried out.
#[derive(Debug, Error)]
pub enum Refusal {
    /// The command line can't be meant.
    #[error("{0}")]
    Usage(String),
    /// There is no such unit or machine.
    #[error("{0}")]
    NotFound(String),
    /// A unit was rejected.
    #[error("{0}")]
    Rejected(String),
    /// It can't be done as things are.
    #[error("{0}")]
    Pending(String),
}

impl Refusal {
    /// What the exit code says.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Usage(_) => Outcome::Usage,
            Self::NotFound(_) => Outcome::NotFound,
            Self::Rejected(_) => Outcome::Rejected,
            Self::Pending(_) => Outcome::Pending,
        }
    }
}
