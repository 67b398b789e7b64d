//! HAProxy: its servers come and go through its runtime socket; for everything else it is reloaded.

mod answer;
mod bind;
mod change;
mod generation;
mod socket;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use convoy_lb_config::{Configuration, Digest, Engine, Membership};

use crate::balancer::{
    ANSWER_DEADLINE, Balancer, CheckError, Checker, Command, FOLLOW_DEADLINE, Master, RELOAD_DEADLINE,
    ReloadError, Reloader, Systemd, ask, ask_all,
};
use crate::files::StateDir;
pub use answer::ServerState;
use change::{plan, plan_tidying};
pub(crate) use generation::Generation;
pub use socket::{RuntimeError, RuntimeSocket};

/// How often HAProxy is told and looked at until it must be as it was told to be. It is right the first time, unless it
/// was reloaded in between, or somebody else tells it things as well.
const ROUNDS: usize = 3;

/// The HAProxy of this load balancer.
#[derive(Debug)]
pub struct RealHaproxy {
    checker: Checker,
    reloader: Reloader,
    announce: SocketAddr,
    socket: RuntimeSocket,
    /// The text that it was proved to run.
    good: PathBuf,
    /// How long a server that was taken out may finish what it has.
    drain: Duration,
    /// What it was reloaded to, as long as nothing was changed since. Without its socket that is all that is known.
    reloaded_to: Option<Digest>,
    pid_file: PathBuf,
    systemd: Systemd,
}

impl RealHaproxy {
    /// `announce` is where it is asked what it serves.
    pub fn new(
        checker: Checker,
        reloader: Reloader,
        announce: SocketAddr,
        files: &StateDir,
        drain: Duration,
    ) -> Self {
        Self {
            checker,
            reloader,
            announce,
            socket: RuntimeSocket::new(files.socket()),
            good: files.good(),
            drain,
            reloaded_to: None,
            pid_file: files.pid_file(),
            systemd: Systemd::default(),
        }
    }

    /// By a command, which says nothing about HAProxy; the rest is done here as `lb-watcher reload` does it for a unit.
    async fn reload_by_command(&self, line: &str, expected: &Configuration) -> Result<(), String> {
        let former = Generation::now(&self.socket, Master::from_file(Engine::Haproxy, &self.pid_file)).await;
        let finished = Command::shell(line).run(RELOAD_DEADLINE).await?;
        if !finished.success {
            return Err(format!("{line:?} failed: {finished}"));
        }
        former.follow(&self.socket, expected, self.announce, FOLLOW_DEADLINE).await
    }

    /// Whether HAProxy, which does not listen to us, has read exactly these servers, and nobody has told it others since.
    /// The socket of a worker is handed on when it is reloaded, so a file that was removed does not come back with that.
    async fn has_read(&self, wanted: &Configuration) -> bool {
        let Some(loaded) = wanted.loaded().filter(|loaded| self.reloaded_to.as_ref() == Some(loaded)) else {
            return false;
        };
        let answer = ask_all(self.announce, ANSWER_DEADLINE).await;
        answer.is_ok_and(|answer| answer.loaded.as_ref() == Some(loaded))
    }
}

impl Balancer for RealHaproxy {
    fn engine(&self) -> Engine {
        Engine::Haproxy
    }

    async fn check(&mut self, staged: &Path) -> Result<(), CheckError> {
        self.checker.check(Engine::Haproxy, staged, &mut self.systemd).await?;
        let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        match bind::taken(&read(&self.good), &read(staged)) {
            Some(words) => Err(CheckError::Refused {
                engine: Engine::Haproxy,
                words: format!("it can't listen on {words}"),
            }),
            None => Ok(()),
        }
    }

    async fn reload(&mut self, expected: &Configuration) -> Result<(), ReloadError> {
        let reloaded = match &self.reloader {
            Reloader::Unit(unit) => self.systemd.must_reload(unit, RELOAD_DEADLINE).await,
            Reloader::Command(line) => self.reload_by_command(line, expected).await,
        };
        reloaded.map_err(|reason| ReloadError { engine: Engine::Haproxy, reason })?;
        self.reloaded_to = expected.loaded().cloned();
        Ok(())
    }

    async fn loaded(&mut self) -> Option<Digest> {
        ask(self.announce, ANSWER_DEADLINE).await.ok()
    }

    async fn follows(&mut self, wanted: &Configuration) -> Result<bool, RuntimeError> {
        match self.socket.follows(wanted.membership()).await {
            Err(RuntimeError::Unreachable { .. }) if self.has_read(wanted).await => Ok(true),
            outcome => outcome,
        }
    }

    async fn adjust(&mut self, wanted: &Configuration) -> Result<usize, RuntimeError> {
        match self.socket.adjust(wanted.membership()).await {
            Err(RuntimeError::Unreachable { .. }) if self.has_read(wanted).await => Ok(0),
            Ok(0) => Ok(0),
            outcome => {
                self.reloaded_to = None;
                outcome
            }
        }
    }

    async fn tidy(&mut self, wanted: &Configuration) -> usize {
        self.socket.tidy(wanted.membership(), self.drain).await
    }
}

impl RuntimeSocket {
    /// Whether requests go to exactly these servers.
    pub async fn follows(&self, wanted: &Membership) -> Result<bool, RuntimeError> {
        for backend in &wanted.backends {
            if !plan(wanted, backend, &self.servers(backend).await?).is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Has requests go to exactly these servers; gives the number of changes that this took. What an answer says, or that
    /// there was none, leads to another look at the servers and to nothing else.
    pub async fn adjust(&self, wanted: &Membership) -> Result<usize, RuntimeError> {
        let mut told = 0;
        let mut words = None;
        for _ in 0..=ROUNDS {
            let mut in_step = true;
            for backend in &wanted.backends {
                for change in plan(wanted, backend, &self.servers(backend).await?) {
                    in_step = false;
                    told += 1;
                    if let Err(error) = self.tell(backend, &change).await {
                        words = Some(error.to_string());
                    }
                }
            }
            if in_step {
                return Ok(told);
            }
        }
        Err(RuntimeError::NotFollowed(words.unwrap_or_else(|| "they change again and again".to_owned())))
    }

    /// Takes out servers that are not wanted and have nothing more to do, or have had `longest` for it; gives how many are
    /// left. Nothing depends on when they go, so a failure is left to the next time.
    pub async fn tidy(&self, wanted: &Membership, longest: Duration) -> usize {
        let mut left = 0;
        for backend in &wanted.backends {
            // Without its socket it is reloaded for every change, and a reload leaves nobody behind.
            let Ok(running) = self.servers(backend).await else { return left };
            let (changes, busy) = plan_tidying(wanted, &running, longest);
            left += busy;
            for change in changes {
                if let Err(error) = self.tell(backend, &change).await {
                    tracing::debug!(%error, "a server that was taken out is still there");
                    left += 1;
                }
            }
        }
        left
    }
}
