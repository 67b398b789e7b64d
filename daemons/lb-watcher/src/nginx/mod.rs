//! What is done to nginx: check a text, reload, ask what is served.

pub(crate) mod command;
mod question;
pub(crate) mod systemd;
mod workers;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use convoy_lb_config::Digest;
use thiserror::Error;

use command::Command;
pub(crate) use question::ask;
use systemd::Systemd;
pub(crate) use workers::Master;

/// nginx reads a configuration of a thousand upstreams in 20 ms; a check that takes this long never ends.
const CHECK_DEADLINE: Duration = Duration::from_secs(10);
/// The same for the signal that reloads it.
const RELOAD_DEADLINE: Duration = Duration::from_secs(10);
/// From the signal to the first answer of the new configuration: 20 ms on an idle machine.
pub(crate) const FOLLOW_DEADLINE: Duration = Duration::from_secs(5);
/// An nginx that answers later than this is not serving.
const ANSWER_DEADLINE: Duration = Duration::from_secs(1);

/// Why a candidate did not pass.
#[derive(Debug, Error)]
pub enum CheckError {
    /// nginx looked at it and refused.
    #[error("nginx refused the configuration: {0}")]
    Refused(String),
    /// The check itself did not work; nothing is known about the candidate.
    #[error("the configuration could not be checked: {0}")]
    NotRun(String),
}

/// Why nginx was not told to reload.
#[derive(Debug, Error)]
#[error("nginx was not reloaded: {0}")]
pub struct ReloadError(pub String);

/// One nginx. The real one is [`RealNginx`]; tests have one that fails on demand.
pub trait Nginx: Send {
    /// Asks nginx whether this file would do.
    fn check(&mut self, staged: &Path) -> impl Future<Output = Result<(), CheckError>> + Send;
    /// Tells nginx to read its configuration again, which then has this digest. Success says that the signal was
    /// delivered, no more.
    fn reload(&mut self, expected: &Digest) -> impl Future<Output = Result<(), ReloadError>> + Send;
    /// Asks the running nginx which configuration it serves; none when it doesn't answer.
    fn loaded(&mut self) -> impl Future<Output = Option<Digest>> + Send;
}

/// How a candidate is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checker {
    /// By the host's nginx: `nginx -t`.
    Program(PathBuf),
    /// By a shell command that finds the path in `CONVOY_CONFIG`.
    Command(String),
    /// By a unit that runs the container's nginx.
    Unit {
        /// The unit.
        unit: String,
        /// Where it leaves nginx's words.
        output: PathBuf,
    },
}

/// How nginx is reloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reloader {
    /// By systemd.
    Unit(String),
    /// By a shell command.
    Command(String),
}

/// The nginx of this load balancer.
#[derive(Debug)]
pub struct RealNginx {
    checker: Checker,
    reloader: Reloader,
    announce: SocketAddr,
    pid_file: PathBuf,
    systemd: Systemd,
}

impl RealNginx {
    /// `announce` is where it is asked what it serves, `pid_file` tells its master when no unit does.
    pub fn new(checker: Checker, reloader: Reloader, announce: SocketAddr, pid_file: PathBuf) -> Self {
        Self { checker, reloader, announce, pid_file, systemd: Systemd::default() }
    }

    /// By a command, which says nothing about nginx; the rest is done here as `lb-watcher reload` does it for a unit.
    async fn reload_by_command(&self, line: &str, expected: &Digest) -> Result<(), ReloadError> {
        let master = Master::from_file(&self.pid_file);
        let former = master.map(Master::workers).unwrap_or_default();
        let finished = Command::shell(line).run(RELOAD_DEADLINE).await.map_err(ReloadError)?;
        if !finished.success {
            return Err(ReloadError(format!("{line:?} failed: {finished}")));
        }
        let Some(master) = master else { return Ok(()) };
        let followed = master.follow(&former, expected, self.announce, FOLLOW_DEADLINE).await;
        followed.map_err(ReloadError)
    }
}

impl Nginx for RealNginx {
    async fn check(&mut self, staged: &Path) -> Result<(), CheckError> {
        let command = match &self.checker {
            Checker::Program(nginx) => check_by_program(nginx, staged),
            Checker::Command(line) => Command::shell(line).env("CONVOY_CONFIG", staged),
            Checker::Unit { unit, output } => return self.systemd.check(unit, output, CHECK_DEADLINE).await,
        };
        run_check(command).await
    }

    async fn reload(&mut self, expected: &Digest) -> Result<(), ReloadError> {
        match &self.reloader {
            Reloader::Unit(unit) => self.systemd.reload(unit, RELOAD_DEADLINE).await,
            Reloader::Command(line) => self.reload_by_command(line, expected).await,
        }
    }

    async fn loaded(&mut self) -> Option<Digest> {
        ask(self.announce, ANSWER_DEADLINE).await.ok()
    }
}

fn check_by_program(nginx: &Path, staged: &Path) -> Command {
    // `-e stderr`: before it has read the configuration nginx would write to a log that is not ours.
    Command::new(nginx).arg("-t").arg("-q").arg("-e").arg("stderr").arg("-c").arg(staged)
}

/// `nginx -t` outside of the daemon's own flow, for bootstrap and `lb-watcher check`.
pub(crate) async fn check_on_host(nginx: &Path, staged: &Path) -> Result<(), CheckError> {
    run_check(check_by_program(nginx, staged)).await
}

async fn run_check(command: Command) -> Result<(), CheckError> {
    let finished = command.run(CHECK_DEADLINE).await.map_err(CheckError::NotRun)?;
    if finished.success { Ok(()) } else { Err(verdict(&finished)) }
}

/// nginx's own refusals carry their level; whatever else went wrong says nothing about the candidate.
fn verdict(words: &impl fmt::Display) -> CheckError {
    let words = words.to_string();
    if words.contains("[emerg]") { CheckError::Refused(words) } else { CheckError::NotRun(words) }
}
