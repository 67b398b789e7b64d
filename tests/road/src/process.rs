//! Child processes that are stopped with their owner.

use std::borrow::Borrow;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How often a condition is looked at while waiting for it.
const LOOK: Duration = Duration::from_millis(5);

/// A child process with its output in a file.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts the command with standard output and error going to `<folder>/<name>.log`.
    pub fn start(name: &str, folder: &Path, command: impl Borrow<Command>) -> Result<Self> {
        let command = command.borrow();
        let log = folder.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log);
        let output = output.with_context(|| format!("{} can't be written", log.display()))?;
        let mut child = dies_with_us(command);
        child.process_group(0).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let program = command.get_program();
        let child = child.spawn().with_context(|| format!("{} can't be started", program.display()))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// What it was started as.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it printed so far.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends a signal; a process that has already ended is no error.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        match kill_process(self.process_id()?, signal) {
            Err(rustix::io::Errno::SRCH) | Ok(()) => Ok(()),
            Err(error) => Err(io::Error::from(error)).context(format!("{} can't be signalled", self.name)),
        }
    }

    fn process_id(&self) -> Result<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("no process id")
    }

    /// The exit status, if it has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for its end, at most for `deadline`.
    pub fn wait(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if started.elapsed() > deadline {
                bail!("{} did not end within {deadline:?}; it said:\n{}", self.name, tail(&self.output()));
            }
            pause();
        }
    }

    /// SIGTERM, and KILL when that takes longer than `deadline`.
    pub fn stop(mut self, deadline: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait(deadline)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The whole group: nginx leaves its workers behind when its master is killed. Whatever has already ended is
        // fine, and nothing else can be done here.
        if let Ok(id) = self.process_id() {
            let _ = kill_process_group(id, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// The same command, to be told to end when this process is gone, however it went. `Drop` does not see a Ctrl-C.
fn dies_with_us(command: &Command) -> Command {
    let mut wrapped = Command::new("setpriv");
    wrapped.args(["--pdeathsig", "TERM", "--"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    wrapped
}

/// Waits until the condition holds; the error says what was waited for and what was seen last.
pub fn wait_until(
    what: &str,
    deadline: Duration,
    mut condition: impl FnMut() -> Result<bool>,
) -> Result<Duration> {
    let started = Instant::now();
    let mut last = None;
    loop {
        match condition() {
            Ok(true) => return Ok(started.elapsed()),
            Ok(false) => {}
            Err(error) => last = Some(error),
        }
        if started.elapsed() > deadline {
            let seen = last.map_or_else(String::new, |error| format!("; the last error was: {error:#}"));
            bail!("waited {deadline:?} for: {what}{seen}");
        }
        pause();
    }
}

/// The last lines of a long text.
pub fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(20)).copied().collect::<Vec<_>>().join("\n")
}

/// A program of this workspace: from `CONVOY_BIN_DIR`, where there is one, otherwise built by the same profile as the
/// caller.
pub fn program(name: impl AsRef<OsStr>) -> Result<PathBuf> {
    let name = name.as_ref();
    let own = std::env::current_exe().context("the own program has no path")?;
    let given = std::env::var_os("CONVOY_BIN_DIR").map(PathBuf::from);
    let folders = given.iter().map(PathBuf::as_path).chain(own.ancestors().skip(1).take(2));
    let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("{} is not built; run `cargo build --workspace` first", name.display()))
}

#[allow(clippy::disallowed_methods)] // the callers are plain threads that wait for another process
fn pause() {
    std::thread::sleep(LOOK);
}
