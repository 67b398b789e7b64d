//! The road of one configuration: check, swap, reload, proof; and the way back.

use std::time::Duration;

use convoy_lb_config::{Configuration, Digest, Engine};
use thiserror::Error;
use tokio::time::{Instant, sleep};

use crate::balancer::{Balancer, CheckError, ReloadError};
use crate::files::{FilesError, StateDir};
use crate::haproxy::RuntimeError;

/// How long the parts of an application may take.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// How long a program that doesn't answer is given to come up, before it is told anything. A signal that
    /// comes before it has installed its handlers would kill it.
    pub come_up: Duration,
    /// How long it may take from the reload until it serves the new text.
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

/// What had to be done until the configuration was served, and how long each step took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Nothing: it was served already.
    Already,
    /// Only the file was not ours any more; no reload was needed.
    FileRestored,
    /// Only servers came and went: the running process was told, and the file brought in step.
    Adjusted(Adjustment),
    /// All of it.
    Reloaded(Steps),
}

/// A change of servers without a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adjustment {
    /// How many commands it took; none when a former watcher was killed after the last of them.
    pub changes: usize,
    /// Until the running process had exactly the servers that are wanted.
    pub change: Duration,
    /// Until the file had passed its check and was in place.
    pub file: Duration,
    /// When the running process had them.
    pub served_at: Instant,
}

/// The steps of a reload, each from the end of the one before.
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
    /// Only servers came and went, but the running process could not be told.
    pub fell_back: bool,
}

/// Why the configuration is not served. What was served before, is served still. HAProxy may have its new servers
/// already, while the file that holds them for its next start could not be brought in step.
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
    /// The program could not be told.
    #[error(transparent)]
    Reload(#[from] ReloadError),
    /// The servers that it runs are not known, or can't be put back.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The program was told, but goes on with something else. It writes the reason to its own log.
    #[error(
        "{engine} was reloaded but did not take the configuration over: it {}; see the last lines of its log",
        answered(.running.as_ref(), .expected)
    )]
    NotServed {
        /// Which program.
        engine: Engine,
        /// What it serves instead, if it answers.
        running: Option<Digest>,
        /// What it should serve.
        expected: Digest,
    },
}

fn answered(running: Option<&Digest>, expected: &Digest) -> String {
    match running {
        Some(digest) if digest == expected => "has other servers".to_owned(),
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
            Self::Check(CheckError::Refused { .. }) => "refused",
            Self::Check(CheckError::NotRun(_)) => "check",
            Self::Files { .. } => "files",
            Self::Reload(_) => "reload",
            Self::Runtime(_) => "runtime",
            Self::NotServed { .. } => "not-served",
        }
    }

    /// Whether the configuration was refused before the program was touched.
    pub fn is_rejection(&self) -> bool {
        matches!(self, Self::Check(_))
    }
}

/// Takes configurations to one load balancer, one after the other.
///
/// Nothing is remembered between two calls but what stands in files and what the program answers, so a process that was
/// killed at any step goes on where the facts are.
#[derive(Debug)]
pub struct Applier<B> {
    balancer: B,
    files: StateDir,
    timing: Timing,
    /// Servers that were taken out and still have something to do.
    leaving: usize,
}

impl<B: Balancer> Applier<B> {
    /// For this load balancer, with these files.
    pub fn new(balancer: B, files: StateDir, timing: Timing) -> Self {
        Self { balancer, files, timing, leaving: 0 }
    }

    /// Servers that were taken out and still have something to do; another application looks after them.
    pub fn leaving(&self) -> usize {
        self.leaving
    }

    /// Makes this configuration the one that is served. On failure the last good one is in place again and goes on being
    /// served.
    pub async fn apply(&mut self, desired: &Configuration) -> Result<Applied, Failure> {
        let applied = self.bring(desired).await?;
        self.leaving = self.balancer.tidy(desired).await;
        Ok(applied)
    }

    async fn bring(&mut self, desired: &Configuration) -> Result<Applied, Failure> {
        let running = self.running().await;
        let begin = Instant::now();
        let adjusted = match running {
            Some(running) if running == *desired.digest() => Some(self.balancer.adjust(desired).await),
            _ => None,
        };
        let served_at = Instant::now();
        let live = self.files.read(&self.files.live())?;
        let fell_back = matches!(adjusted, Some(Err(_)));
        let is_running = match adjusted {
            Some(Ok(changes)) if live.as_deref() == Some(desired.text()) => {
                self.keep(desired)?;
                return Ok(match changes {
                    0 => Applied::Already,
                    _ => Applied::Adjusted(Adjustment {
                        changes,
                        change: served_at - begin,
                        file: Duration::ZERO,
                        served_at,
                    }),
                });
            }
            Some(Ok(changes)) => Some(changes),
            Some(Err(error)) => {
                tracing::warn!(%error, "the running servers can't be changed; the configuration is reloaded instead");
                None
            }
            None => None,
        };
        self.files.stage(desired.text())?;
        let begin_check = Instant::now();
        if let Err(error) = self.balancer.check(&self.files.staged()).await {
            self.files.quarantine(desired.text(), &error.to_string())?;
            return Err(error.into());
        }
        let check = begin_check.elapsed();
        self.files.install_staged()?;
        if let Some(changes) = is_running {
            // The file of a watcher that was killed between the two is the last good one, and nobody's edit.
            let was_ours = !desired.membership().is_fixed() && live == self.files.read(&self.files.good())?;
            self.keep(desired)?;
            let (change, file) = (served_at - begin, served_at.elapsed());
            return Ok(match changes {
                0 if !was_ours => Applied::FileRestored,
                _ => Applied::Adjusted(Adjustment { changes, change, file, served_at }),
            });
        }
        match self.reload_and_prove(desired, check, fell_back).await {
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

    /// What is served; the program is given a moment to come up.
    async fn running(&mut self) -> Option<Digest> {
        let limit = Instant::now() + self.timing.come_up;
        loop {
            let loaded = self.balancer.loaded().await;
            if loaded.is_some() || Instant::now() >= limit {
                return loaded;
            }
            sleep(self.timing.poll.saturating_mul(10)).await;
        }
    }

    async fn reload_and_prove(
        &mut self,
        desired: &Configuration,
        check: Duration,
        fell_back: bool,
    ) -> Result<Steps, Failure> {
        let begin = Instant::now();
        self.balancer.reload(desired).await?;
        let told = Instant::now();
        let mut first = None;
        let mut former = told;
        loop {
            let running = self.balancer.loaded().await;
            let serves = running.as_ref() == Some(desired.digest())
                && self.balancer.follows(desired).await.unwrap_or(false);
            let now = Instant::now();
            if serves {
                let first = *first.get_or_insert(now);
                if now - first.max(former) >= self.timing.handover {
                    return Ok(Steps {
                        check,
                        reload: told - begin,
                        serve: first - told,
                        handover: now - first,
                        served_at: first,
                        fell_back,
                    });
                }
            } else if now - told >= self.timing.proof {
                let (engine, expected) = (self.balancer.engine(), desired.digest().clone());
                return Err(Failure::NotServed { engine, running, expected });
            } else {
                former = now;
            }
            // While the old one may still answer there is no hurry.
            sleep(if first.is_some() { self.timing.poll * 5 } else { self.timing.poll }).await;
        }
    }

    /// Puts the last good configuration back, into the file and, should the program have left it, into the program.
    async fn roll_back(&mut self, refused: &Configuration, failure: &Failure) {
        if let Err(error) = self.try_roll_back(refused, failure).await {
            tracing::error!(%error, "the last good configuration could not be put back");
        }
    }

    async fn try_roll_back(&mut self, refused: &Configuration, failure: &Failure) -> Result<(), Failure> {
        self.files.quarantine(refused.text(), &failure.to_string())?;
        let Some(good) = self.files.read(&self.files.good())? else { return Ok(()) };
        self.files.replace(&self.files.live(), &good)?;
        match (self.balancer.loaded().await, Configuration::find(good)) {
            (Some(running), Some(good)) if running != *good.digest() => {
                Ok(self.balancer.reload(&good).await?)
            }
            // It never left the good one, but its servers may be half changed.
            (Some(_), Some(good)) => Ok(self.balancer.adjust(&good).await.map(drop)?),
            // It isn't there: then it reads the file when it starts.
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
