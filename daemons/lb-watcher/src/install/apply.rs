//! The road of a set of files: check, swap, reload, proof; and the way back.
//!
//! | killed | what stands where | what happens next |
//! |---|---|---|
//! | while staging or checking | the old files in place, candidates beside them | the candidates are staged anew |
//! | before or during the swap | a mixture, and "a reload is owed" in the state | the difference is seen, all of it is done again |
//! | after the swap | the new files, and "a reload is owed" | they are checked where they are, reloaded, proved |
//! | on the way back | a mixture of good and refused, "a reload is owed" | as if nothing had happened: the new ones are tried again |

use std::collections::BTreeSet;
use std::path::PathBuf;

use thiserror::Error;

use super::disk::{self, Difference, DiskError};
use super::reader::{CheckError, Proof, Reader, ReloadError, Sight, Told};
use super::set::FileSet;
use super::state::{State, StateFolder};
use crate::files::FilesError;

/// How much is done about a difference.
pub use convoy_confd::settings::Extent;

/// What had to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Nothing: the files are as they should be, and their reader has loaded them.
    Already,
    /// Owners or modes were wrong. The reader reads what it read before.
    Attributes,
    /// The files are in place; nobody had to be told.
    InPlace,
    /// They are in place, and their reader doesn't run: it reads them when it starts.
    AwaitsReader,
    /// They are in place and loaded.
    Loaded(Proof),
    /// Nothing was done, as ordered, though something would have to be.
    Withheld,
}

/// Why the files are not in place, or not loaded. Their reader goes on with the last good ones.
#[derive(Debug, Error)]
pub enum Failure {
    /// They did not pass.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// A file could not be written.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The state could not be written.
    #[error("{error}: {cause}", cause = std::error::Error::source(.0).map(ToString::to_string).unwrap_or_default(), error = .0)]
    State(#[from] FilesError),
    /// The reader could not be told.
    #[error(transparent)]
    Reload(#[from] ReloadError),
    /// The reader was told, but goes on with something else.
    #[error("the reload succeeded, but the new files are not served: {0}")]
    NotServed(String),
}

impl Failure {
    /// For a metric's label.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Check(CheckError::Refused(_)) => "refused",
            Self::Check(_) => "check",
            Self::Disk(_) | Self::State(_) => "files",
            Self::Reload(_) => "reload",
            Self::NotServed(_) => "not-served",
        }
    }

    /// Whether it was refused before the reader was touched.
    pub fn is_rejection(&self) -> bool {
        matches!(self, Self::Check(_))
    }
}

/// Takes sets of files to one reader, one after the other.
#[derive(Debug)]
pub struct Applier<R> {
    reader: R,
    folder: StateFolder,
    extent: Extent,
    keeps_staged: bool,
}

impl<R: Reader> Applier<R> {
    /// For this reader, with its state in this folder. With `keeps_staged` candidates that were not put in place stay.
    pub fn new(reader: R, folder: StateFolder, extent: Extent, keeps_staged: bool) -> Self {
        Self { reader, folder, extent, keeps_staged }
    }

    /// Where the state is kept.
    pub fn folder(&self) -> &StateFolder {
        &self.folder
    }

    /// The reader.
    pub fn reader(&mut self) -> &mut R {
        &mut self.reader
    }

    /// Makes the files as they should be and has them loaded. On failure the last good ones are in place again, and
    /// loaded.
    pub async fn apply(&mut self, wanted: &FileSet) -> Result<Applied, Failure> {
        let mut state = self.folder.read();
        let digest = wanted.digest();
        let difference = Difference::of(wanted, state.files.iter().map(PathBuf::as_path))?;
        let is_loaded = state.owed.is_none() && state.loaded.as_deref() == Some(&digest);
        if self.extent == Extent::Nothing {
            let same = difference == Difference::default();
            return Ok(if same { Applied::Already } else { Applied::Withheld });
        }
        self.clear_away(&mut state, &difference)?;
        let attributes = !difference.attributes.is_empty();
        disk::set_attributes(wanted, &difference.attributes)?;
        if !difference.matters() && is_loaded {
            self.settle(&mut state, wanted, &digest)?;
            return Ok(if attributes { Applied::Attributes } else { Applied::Already });
        }
        if self.extent == Extent::FilesOnly {
            disk::replace(wanted, &difference)?;
            self.settle(&mut state, wanted, &digest)?;
            return Ok(if difference.matters() { Applied::InPlace } else { Applied::Already });
        }
        self.remember_former(&state, wanted)?;
        // The reader may have loaded something else than the last good set, or be about to.
        let mut is_touched = state.owed.is_some();
        let outcome = match self.put_in_place(&mut state, wanted, &digest, &difference).await {
            Ok(()) => {
                is_touched = true;
                self.load().await
            }
            Err(failure) => Err(failure),
        };
        match outcome {
            Ok(applied) => {
                self.settle(&mut state, wanted, &digest)?;
                Ok(applied)
            }
            Err(failure) => {
                self.go_back(&mut state, wanted, &failure, is_touched).await;
                Err(failure)
            }
        }
    }

    /// Removes what a kill left beside the files, and writes down where it could leave something next.
    fn clear_away(&self, state: &mut State, difference: &Difference) -> Result<(), Failure> {
        let left: BTreeSet<PathBuf> = state.staged.drain(..).collect();
        if !self.keeps_staged {
            disk::unstage(&left)?;
        }
        state.staged = difference.changed.iter().cloned().collect();
        if difference.matters() || !left.is_empty() {
            self.folder.write(state)?;
        }
        Ok(())
    }

    /// Files that were there before us are what to go back to, until something better is proved.
    fn remember_former(&self, state: &State, wanted: &FileSet) -> Result<(), Failure> {
        if self.folder.good().is_some() || state.loaded.is_some() || state.owed.is_some() {
            return Ok(());
        }
        let mut former = FileSet::default();
        for path in wanted.paths() {
            if let Some(content) = disk::read(path)? {
                former.insert(path.to_owned(), content);
            }
        }
        if former.is_empty() { Ok(()) } else { Ok(self.folder.keep(&former)?) }
    }

    /// Checks the candidates and swaps them in. Where the check can't be shown them otherwise they are in place while it
    /// looks.
    async fn put_in_place(
        &mut self,
        state: &mut State,
        wanted: &FileSet,
        digest: &str,
        difference: &Difference,
    ) -> Result<(), Failure> {
        disk::stage(wanted, &difference.changed)?;
        let looked = match self.reader.sight() {
            Sight::None => Ok(()),
            Sight::Staged if difference.changed.is_empty() => {
                // Whole already, as after a kill between swap and reload: staged once more, only to be looked at.
                let all: BTreeSet<PathBuf> = wanted.paths().map(ToOwned::to_owned).collect();
                disk::stage(wanted, &all)?;
                let looked = self.reader.check_staged(&all).await;
                disk::unstage(&all)?;
                looked
            }
            Sight::Staged => self.reader.check_staged(&difference.changed).await,
            Sight::InPlace if !difference.matters() => self.reader.check_in_place().await,
            Sight::InPlace => self.reader.check_overlaid(difference).await,
        };
        match looked {
            Ok(()) => {
                self.owe(state, wanted, digest)?;
                Ok(disk::swap(difference)?)
            }
            Err(CheckError::NoOverlay(reason)) => {
                tracing::debug!(reason, "the candidates are checked in their places");
                self.owe(state, wanted, digest)?;
                disk::swap(difference)?;
                Ok(self.reader.check_in_place().await?)
            }
            Err(error) => {
                if !self.keeps_staged {
                    disk::unstage(&difference.changed)?;
                }
                Err(error.into())
            }
        }
    }

    /// From here on a reload is owed. It is written down before the first file is touched, so that no kill can lose it.
    fn owe(&self, state: &mut State, wanted: &FileSet, digest: &str) -> Result<(), Failure> {
        state.owed = Some(digest.to_owned());
        let mut files: BTreeSet<PathBuf> = state.files.drain(..).collect();
        files.extend(wanted.paths().map(ToOwned::to_owned));
        state.files = files.into_iter().collect();
        Ok(self.folder.write(state)?)
    }

    async fn load(&mut self) -> Result<Applied, Failure> {
        match self.reader.reload().await? {
            Told::Absent => Ok(Applied::AwaitsReader),
            Told::Reloaded => match self.reader.verify().await {
                Ok(proof) => Ok(Applied::Loaded(proof)),
                Err(reason) => Err(Failure::NotServed(reason)),
            },
        }
    }

    /// The set is in place and loaded: nothing is owed, and it is the one to go back to.
    fn settle(&self, state: &mut State, wanted: &FileSet, digest: &str) -> Result<(), Failure> {
        self.folder.keep(wanted)?;
        state.files = wanted.paths().map(ToOwned::to_owned).collect();
        state.loaded = Some(digest.to_owned());
        state.owed = None;
        state.staged.clear();
        self.folder.write(state)?;
        Ok(self.folder.lift_quarantine()?)
    }

    /// Puts the last good set back, should anything else be in place, and has it loaded, should the reader have been
    /// touched.
    async fn go_back(&mut self, state: &mut State, refused: &FileSet, failure: &Failure, is_touched: bool) {
        let Some(good) = self.take_back(state, refused, failure) else { return };
        if is_touched {
            if good == refused.digest() {
                // It has just failed to load; nothing else is there to go back to.
                return;
            }
            if let Err(error) = self.load().await {
                tracing::error!(%error, "the last good files are in place again, but were not loaded: {error}");
                return;
            }
            state.loaded = Some(good);
        }
        state.owed = None;
        self.note(self.folder.write(state));
    }

    /// The files of the last good set, in place of those that were refused; its digest.
    fn take_back(&self, state: &mut State, refused: &FileSet, failure: &Failure) -> Option<String> {
        self.note(self.folder.quarantine(refused, &failure.to_string()));
        let good = self.folder.good()?;
        let ours: Vec<PathBuf> =
            state.files.iter().cloned().chain(refused.paths().map(ToOwned::to_owned)).collect();
        let restored = Difference::of(&good, ours.iter().map(PathBuf::as_path))
            .and_then(|difference| disk::replace(&good, &difference));
        if let Err(error) = restored {
            tracing::error!(%error, "the last good files could not be put back: {error}");
            return None;
        }
        Some(good.digest())
    }

    fn note(&self, written: Result<(), FilesError>) {
        if let Err(error) = written {
            let path = self.folder.path().display();
            tracing::error!(%error, %path, "the state could not be written");
        }
    }
}
