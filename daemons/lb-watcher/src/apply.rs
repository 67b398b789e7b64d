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
    /// How long nobody may have answered for the former configuration until it counts as gone. nginx starts new
    /// workers, sleeps for 100 ms, and only then tells the old ones to take no more connections
    /// (`ngx_master_process_cycle`); until then requests still reach instances that are gone from the keys.
    pub handover: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            come_up: Duration::from_secs(3),
            proof: Duration::from_secs(5),
            poll: Duration::from_millis(2),
            handover: Duration::from_millis(150),
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
    Reloaded(Steps),
}

/// The steps of an application, each from the end of the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// Until the candidate had passed nginx's check.
    pub check: Duration,
    /// Until nginx was told to reload.
    pub reload: Duration,
    /// Until nginx answered with the new configuration for the first time.
    pub serve: Duration,
    /// Until nobody answered with the old one any more.
    pub handover: Duration,
    /// When nginx answered with the new one for the first time.
    pub served_at: Instant,
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
        match self.reload_and_prove(desired.digest(), check).await {
            Ok(steps) => {
                self.keep(desired)?;
                Ok(Applied::Reloaded(steps))
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

    async fn reload_and_prove(&mut self, digest: &Digest, check: Duration) -> Result<Steps, Failure> {
        let begin = Instant::now();
        self.nginx.reload(digest).await?;
        let told = Instant::now();
        let mut first = None;
        let mut former = told;
        loop {
            let running = self.nginx.loaded().await;
            let now = Instant::now();
            if running.as_ref() == Some(digest) {
                let first = *first.get_or_insert(now);
                if now - first.max(former) >= self.timing.handover {
                    return Ok(Steps {
                        check,
                        reload: told - begin,
                        serve: first - told,
                        handover: now - first,
                        served_at: first,
                    });
                }
            } else if now - told >= self.timing.proof {
                return Err(Failure::NotServed { running });
            } else {
                former = now;
            }
            // While the old one may still answer there is no hurry.
            sleep(if first.is_some() { self.timing.poll * 5 } else { self.timing.poll }).await;
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
        match (self.nginx.loaded().await, Digest::find(&good)) {
            (Some(running), Some(good)) if running != good => Ok(self.nginx.reload(&good).await?),
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
