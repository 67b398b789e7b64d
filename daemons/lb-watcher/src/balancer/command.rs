//! A command with a deadline, its whole output kept.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::Child;
use tokio::time::timeout;

/// More than any message of nginx; what comes after is read and dropped.
const OUTPUT_MAX: usize = 256 * 1024;
/// A grandchild may hold the pipe open long after the command has ended; its words are not waited for.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// A program and its arguments.
#[derive(Debug)]
pub(crate) struct Command {
    program: String,
    command: tokio::process::Command,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Exit status 0.
    pub(crate) success: bool,
    status: String,
    output: String,
}

impl fmt::Display for Finished {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.output.trim() {
            "" => formatter.write_str(&self.status),
            words => formatter.write_str(words),
        }
    }
}

impl Command {
    /// A program, without a shell in between.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let name = program.as_ref().to_string_lossy().into_owned();
        Self { program: name, command: tokio::process::Command::new(program) }
    }

    /// A line that the operator wrote, for the shell.
    pub(crate) fn shell(line: &str) -> Self {
        Self::new("/bin/sh").arg("-c").arg(line)
    }

    /// One more argument.
    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// One more variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it. At the deadline the command and everything it started is killed. The error is for humans.
    pub(crate) async fn run(mut self, deadline: Duration) -> Result<Finished, String> {
        let start = |error: io::Error| format!("{} could not be started: {error}", self.program);
        let (reader, writer) = io::pipe().map_err(start)?;
        let both = writer.try_clone().map_err(start)?;
        self.command.stdin(Stdio::null()).stdout(writer).stderr(both).kill_on_drop(true).process_group(0);
        let mut child = self.command.spawn().map_err(start)?;
        let receiver = pipe::Receiver::from_owned_fd(reader.into()).map_err(start);
        // The command holds the writing ends of the pipe; without this its end would never be seen.
        drop(self.command);
        let mut reader = tokio::spawn(read_capped(receiver?));
        let group = Group::of(&child);
        let Ok(status) = timeout(deadline, child.wait()).await else {
            return Err(format!(
                "{} did not end within {} s and was killed",
                self.program,
                deadline.as_secs()
            ));
        };
        group.let_go();
        let status = status.map_err(|error| format!("{} could not be waited for: {error}", self.program))?;
        let last_words = timeout(LAST_WORDS, &mut reader).await;
        reader.abort();
        let output = last_words.ok().and_then(Result::ok).unwrap_or_default();
        Ok(Finished {
            success: status.success(),
            status: format!("{} ended with {status}", self.program),
            output: String::from_utf8_lossy(&output).into_owned(),
        })
    }
}

async fn read_capped(mut receiver: pipe::Receiver) -> Vec<u8> {
    let mut output = Vec::new();
    let mut chunk = [0u8; 4096];
    while let Ok(count) = receiver.read(&mut chunk).await {
        if count == 0 {
            break;
        }
        let room = OUTPUT_MAX.saturating_sub(output.len());
        output.extend(chunk.iter().take(count.min(room)));
    }
    output
}

/// A command and all that it started, killed when nobody waits for it any more: at the deadline, or because we end.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    /// The command has ended; what it left running in the background is its own affair.
    fn let_go(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // Gone already is as good as killed.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn output_and_status_are_kept() {
        let finished = Command::shell("echo out; echo err >&2; exit 3").run(LONG).await.unwrap();
        assert!(!finished.success);
        assert_eq!(finished.output, "out\nerr\n");
        let silent = Command::shell("exit 3").run(LONG).await.unwrap();
        assert!(silent.to_string().contains('3'), "{silent}");
    }

    #[tokio::test]
    async fn the_path_reaches_the_command_as_a_variable() {
        let finished =
            Command::shell("printf %s \"$CONVOY_CONFIG\"").env("CONVOY_CONFIG", "/a b;c").run(LONG).await;
        assert_eq!(finished.unwrap().output, "/a b;c");
    }

    #[tokio::test]
    async fn a_hanging_command_is_killed_with_its_children() {
        let error =
            Command::shell("sleep 1000 & sleep 1000").run(Duration::from_millis(100)).await.unwrap_err();
        assert!(error.contains("killed"), "{error}");
    }

    #[tokio::test]
    async fn a_command_that_nobody_waits_for_any_more_is_killed_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("child");
        let line = format!("sleep 1000 & echo $! > {}; wait", file.display());
        let running = tokio::spawn(Command::shell(&line).run(LONG));
        let child = loop {
            match std::fs::read_to_string(&file).unwrap_or_default().trim().parse::<u32>() {
                Ok(child) => break child,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        running.abort();
        assert!(running.await.is_err());
        let limit = Instant::now() + LONG;
        while std::fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|name| name.trim() == "sleep")
        {
            assert!(Instant::now() < limit, "{child} lives on");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_child_left_behind_holds_nothing_up() {
        let begin = Instant::now();
        let finished = Command::shell("sleep 30 & echo done").run(LONG).await.unwrap();
        assert!(finished.success);
        assert!(begin.elapsed() < Duration::from_secs(10));
    }

    #[tokio::test]
    async fn much_output_is_read_to_the_end_and_cut() {
        let finished = Command::shell("head -c 3000000 /dev/zero").run(LONG).await.unwrap();
        assert!(finished.success);
        assert_eq!(finished.output.len(), OUTPUT_MAX);
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let error = Command::new("/no/such/program").run(LONG).await.unwrap_err();
        assert!(error.contains("/no/such/program"), "{error}");
    }
}
