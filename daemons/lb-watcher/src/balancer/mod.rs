//! What is done to the program that balances: check a text, reload, ask what is served, change its servers.

mod command;
mod master;
mod question;
mod real;
mod systemd;

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use convoy_lb_config::{Configuration, Digest, Engine};
use thiserror::Error;

pub(crate) use command::Command;
pub(crate) use master::Master;
pub(crate) use question::{ask, ask_all};
pub use real::RealBalancer;
pub(crate) use systemd::Systemd;

use crate::haproxy::RuntimeError;

/// A configuration of a thousand upstreams is read in 20 ms; a check that takes this long never ends.
const CHECK_DEADLINE: Duration = Duration::from_secs(10);
/// The same for the signal that reloads.
pub(crate) const RELOAD_DEADLINE: Duration = Duration::from_secs(10);
/// From the signal to the first answer of the new configuration: 20 ms on an idle machine.
pub(crate) const FOLLOW_DEADLINE: Duration = Duration::from_secs(5);
/// A program that answers later than this is not serving.
pub(crate) const ANSWER_DEADLINE: Duration = Duration::from_secs(1);

/// Why a candidate did not pass.
#[derive(Debug, Error)]
pub enum CheckError {
    /// The program looked at it and refused.
    #[error("{engine} refused the configuration: {words}")]
    Refused {
        /// Which program.
        engine: Engine,
        /// Its words.
        words: String,
    },
    /// The check itself did not work; nothing is known about the candidate.
    #[error("the configuration could not be checked: {0}")]
    NotRun(String),
}

/// Why the program was not told to reload.
#[derive(Debug, Error)]
#[error("{engine} was not reloaded: {reason}")]
pub struct ReloadError {
    /// Which program.
    pub engine: Engine,
    /// Why.
    pub reason: String,
}

/// One running load balancer. The real ones are nginx and HAProxy; tests have one that fails on demand.
pub trait Balancer: Send {
    /// Which program it is.
    fn engine(&self) -> Engine;
    /// Asks the program whether this file would do.
    fn check(&mut self, staged: &Path) -> impl Future<Output = Result<(), CheckError>> + Send;
    /// Tells it to read its configuration again, which is then this one. Success says that the signal was delivered, no
    /// more.
    fn reload(&mut self, expected: &Configuration) -> impl Future<Output = Result<(), ReloadError>> + Send;
    /// Asks the running program which configuration it serves; none when it doesn't answer.
    fn loaded(&mut self) -> impl Future<Output = Option<Digest>> + Send;
    /// Whether the running program, which answers the digest of this configuration, has exactly its servers.
    fn follows(&mut self, wanted: &Configuration) -> impl Future<Output = Result<bool, RuntimeError>> + Send {
        fixed(wanted);
        async { Ok(true) }
    }
    /// Has it send requests to exactly these servers without a reload, and gives the number of changes that took. A
    /// server that is not wanted gets no new request when this ends; it finishes those that it has.
    fn adjust(&mut self, wanted: &Configuration) -> impl Future<Output = Result<usize, RuntimeError>> + Send {
        fixed(wanted);
        async { Ok(0) }
    }
    /// Takes out what is not wanted and has no more to do; gives how many servers are still busy.
    fn tidy(&mut self, wanted: &Configuration) -> impl Future<Output = usize> + Send {
        fixed(wanted);
        async { 0 }
    }
}

/// The digest of a program without changes at run time has to speak for its servers as well.
fn fixed(wanted: &Configuration) {
    debug_assert!(wanted.membership().is_fixed(), "this program's servers can't change without a reload");
}

/// How a candidate is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checker {
    /// By the host's program: `nginx -t`, `haproxy -c`.
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

/// How the program is reloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reloader {
    /// By systemd.
    Unit(String),
    /// By a shell command.
    Command(String),
}

impl Checker {
    /// Has the file checked.
    pub(crate) async fn check(
        &self,
        engine: Engine,
        staged: &Path,
        systemd: &mut Systemd,
    ) -> Result<(), CheckError> {
        match self {
            Self::Program(program) => check_on_host(engine, program, staged).await,
            Self::Command(line) => run_check(engine, Command::shell(line).env("CONVOY_CONFIG", staged)).await,
            Self::Unit { unit, output } => systemd.check(engine, unit, output, CHECK_DEADLINE).await,
        }
    }
}

/// The check by the host's program, also outside of the daemon's own flow, for bootstrap and `lb-watcher check`.
pub(crate) async fn check_on_host(engine: Engine, program: &Path, staged: &Path) -> Result<(), CheckError> {
    let command = Command::new(program);
    let command = match engine {
        // `-e stderr`: before it has read the configuration nginx would write to a log that is not ours.
        Engine::Nginx => command.arg("-t").arg("-q").arg("-e").arg("stderr").arg("-c"),
        Engine::Haproxy => command.arg("-c").arg("-f"),
    };
    run_check(engine, command.arg(staged)).await
}

async fn run_check(engine: Engine, command: Command) -> Result<(), CheckError> {
    let finished = command.run(CHECK_DEADLINE).await.map_err(CheckError::NotRun)?;
    if finished.success { Ok(()) } else { Err(verdict(engine, &finished)) }
}

/// The program's own refusals carry their level; whatever else went wrong says nothing about the candidate.
fn verdict(engine: Engine, words: &impl fmt::Display) -> CheckError {
    let level = match engine {
        Engine::Nginx => "[emerg]",
        Engine::Haproxy => "[ALERT]",
    };
    let words = words.to_string();
    if words.contains(level) { CheckError::Refused { engine, words } } else { CheckError::NotRun(words) }
}
