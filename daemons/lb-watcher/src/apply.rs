//! The road of one configuration: check, swap, reload, proof; and the way back.

use std::time::Duration;

use convoy_lb_config::{Configuration, Digest};
use thiserror::Error;
use tokio::time::{Instant, sleep};

use crate::files::{FilesError, StateDir};
use crate::nginx::{CheckError, Nginx, ReloadError};

/// How long the parts of an application may take.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// How long an nginx that doesn't answer is given to come up, before it is told anything. A signal that
    /// comes before nginx has installed its handlers would kill it.
    pub come_up: Duration,
    /// How long nginx may take from the reload until it serves the new text.
    pub proof: Duration,
    /// How often it is asked meanwhile.
    pub poll: Duration,
    /// How many answers in a row are a proof: workers of the former configuration take connections too until they
    /// have heard of the reload.
    pub answers: u32,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            come_up: Duration::from_secs(3),
            proof: Duration::from_secs(5),
            poll: Duration::from_millis(2),
            answers: 3,
        }
    }
}

/// What had to be done until nginx served the configuration, and how long each step took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Nothing: it was served already.
    Already,
    /// Only the file was not ours any more; nginx needed no reload.
    FileRestored,
    /// All of it.
    Reloaded {
        /// The check by nginx.
        check: Duration,
        /// The reload as such.
        reload: Duration,
        /// From there to the proof.
        proof: Duration,
    },
}

/// Why nginx does not serve the configuration. What it served before, it serves still.
#[derive(Debug, Error)]
pub enum Failure {
    /// The candidate did not pass.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// A file could not be written.
    #[error("{error}: {cause}", cause = std::error::Error::source(.error).map(ToString::to_string).unwrap_or_default())]
    Files {
        /// Which, and why.
        error: FilesError,
    },
    /// nginx could not be told.
    #[error(transparent)]
    Reload(#[from] ReloadError),
    /// nginx was told, but goes on with something else. It writes the reason to its own log.
    #[error(
        "nginx was reloaded but did not take the configuration over: it {}; see the last lines of its log",
        answered(.running.as_ref())
    )]
    NotServed {
        /// What it serves instead, if it answers.
        running: Option<Digest>,
    },
}

fn answered(running: Option<&Digest>) -> String {
    match running {
        Some(digest) => format!("still serves {}", digest.short()),
        None => "answers no question".to_owned(),
    }
}

impl From<FilesError> for Failure {
    fn from(error: FilesError) -> Self {
        Self::Files { error }
    }
}

impl Failure {
    /// For a metric's label.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Check(CheckError::Refused(_)) => "refused",
            Self::Check(CheckError::NotRun(_)) => "check",
            Self::Files { .. } => "files",
            Self::Reload(_) => "reload",
            Self::NotServed { .. } => "not-served",
        }
    }

    /// Whether the configuration was refused before nginx was touched.
    pub fn is_rejection(&self) -> bool {
        matches!(self, Self::Check(_))
    }
}

/// Takes configurations to one nginx, one after the other.
///
/// Nothing is remembered between two calls but what stands in files and what nginx answers, so a process that was
/// killed at any step goes on where the facts are.
#[derive(Debug)]
pub struct Applier<N> {
    nginx: N,
    files: StateDir,
    timing: Timing,
}

impl<N: Nginx> Applier<N> {
    /// For this nginx, with these files.
    pub fn new(nginx: N, files: StateDir, timing: Timing) -> Self {
        Self { nginx, files, timing }
    }

    /// The nginx.
    pub fn nginx(&mut self) -> &mut N {
        &mut self.nginx
    }

    /// Makes nginx serve this configuration. On failure the last good one is in place again and goes on being served.
    pub async fn apply(&mut self, desired: &Configuration) -> Result<Applied, Failure> {
        let running = self.running().await;
        let is_running = running.as_ref() == Some(desired.digest());
        if is_running && self.files.read(&self.files.live())?.as_deref() == Some(desired.text()) {
            self.keep(desired)?;
            return Ok(Applied::Already);
        }
        self.files.stage(desired.text())?;
        let begin = Instant::now();
        if let Err(error) = self.nginx.check(&self.files.staged()).await {
            self.files.quarantine(desired.text(), &error.to_string())?;
            return Err(error.into());
        }
        let check = begin.elapsed();
        self.files.install_staged()?;
        if is_running {
            self.keep(desired)?;
            return Ok(Applied::FileRestored);
        }
        match self.reload_and_prove(desired.digest()).await {
            Ok((reload, proof)) => {
                self.keep(desired)?;
                Ok(Applied::Reloaded { check, reload, proof })
            }
            Err(failure) => {
                self.roll_back(desired, &failure).await;
                Err(failure)
            }
        }
    }

    /// What nginx serves; it is given a moment to come up.
    async fn running(&mut self) -> Option<Digest> {
        let limit = Instant::now() + self.timing.come_up;
        loop {
            let loaded = self.nginx.loaded().await;
            if loaded.is_some() || Instant::now() >= limit {
                return loaded;
            }
            sleep(self.timing.poll.saturating_mul(10)).await;
        }
    }

    async fn reload_and_prove(&mut self, digest: &Digest) -> Result<(Duration, Duration), Failure> {
        let begin = Instant::now();
        self.nginx.reload().await?;
        let reload = begin.elapsed();
        let told = Instant::now();
        let mut in_a_row = 0;
        loop {
            let running = self.nginx.loaded().await;
            if running.as_ref() == Some(digest) {
                in_a_row += 1;
                if in_a_row >= self.timing.answers {
                    return Ok((reload, told.elapsed()));
                }
                continue;
            }
            in_a_row = 0;
            if told.elapsed() >= self.timing.proof {
                return Err(Failure::NotServed { running });
            }
            sleep(self.timing.poll).await;
        }
    }

    /// Puts the last good configuration back, into the file and, should nginx have left it, into nginx.
    async fn roll_back(&mut self, refused: &Configuration, failure: &Failure) {
        if let Err(error) = self.try_roll_back(refused, failure).await {
            tracing::error!(%error, "the last good configuration could not be put back");
        }
    }

    async fn try_roll_back(&mut self, refused: &Configuration, failure: &Failure) -> Result<(), Failure> {
        self.files.quarantine(refused.text(), &failure.to_string())?;
        let Some(good) = self.files.read(&self.files.good())? else { return Ok(()) };
        self.files.replace(&self.files.live(), &good)?;
        match self.nginx.loaded().await {
            Some(running) if !good.contains(running.as_str()) => Ok(self.nginx.reload().await?),
            // Either it never left the good one, or it isn't there: then it reads the file when it starts.
            _ => Ok(()),
        }
    }

    /// The configuration is proved: from now on it is the one to go back to.
    fn keep(&self, proved: &Configuration) -> Result<(), Failure> {
        if self.files.read(&self.files.good())?.as_deref() != Some(proved.text()) {
            self.files.replace(&self.files.good(), proved.text())?;
        }
        Ok(self.files.lift_quarantine()?)
    }
}
