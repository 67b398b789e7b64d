//! The program that reads the files, as the road of a change sees it.

use std::collections::BTreeSet;
use std::future::Future;
use std::path::PathBuf;

use thiserror::Error;

use super::disk::Difference;

/// How candidates are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// Nobody looks at them.
    None,
    /// The check is told where the candidate is staged.
    Staged,
    /// The check reads the files in their places, as their reader will: the candidates have to be there, for the check
    /// alone if that is possible.
    InPlace,
}

/// How a look at candidates ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CheckError {
    /// They would not do.
    #[error("the check refused them: {0}")]
    Refused(String),
    /// The check itself did not work.
    #[error("they could not be checked: {0}")]
    NotRun(String),
    /// Candidates can't be laid over the files in place here (that takes a mount namespace).
    #[error("candidates can't be shown to the check without putting them in place: {0}")]
    NoOverlay(String),
}

/// The reader was not told.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the reload failed: {0}")]
pub struct ReloadError(pub String);

/// How the reader took it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It was told.
    Reloaded,
    /// It does not run, and reads the files when it starts.
    Absent,
}

/// What is known of the reader after a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// It serves the new files.
    Served,
    /// It said that all is well, and can't be asked.
    Believed,
}

/// The program that reads the files. Tests have one that fails on demand.
pub trait Reader: Send {
    /// How candidates are looked at.
    fn sight(&self) -> Sight;
    /// Looks at the staged candidates.
    fn check_staged(
        &mut self,
        staged: &BTreeSet<PathBuf>,
    ) -> impl Future<Output = Result<(), CheckError>> + Send;
    /// Looks at the files in place, with the staged candidates laid over them for this look alone.
    fn check_overlaid(
        &mut self,
        difference: &Difference,
    ) -> impl Future<Output = Result<(), CheckError>> + Send;
    /// Looks at the files in place.
    fn check_in_place(&mut self) -> impl Future<Output = Result<(), CheckError>> + Send;
    /// Tells the reader that the files are new; nothing to do if it has to be told nothing.
    fn reload(&mut self) -> impl Future<Output = Result<Told, ReloadError>> + Send;
    /// Finds out whether it serves them, after a reload.
    fn verify(&mut self) -> impl Future<Output = Result<Proof, String>> + Send;
}
