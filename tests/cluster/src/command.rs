//! Running a program with a deadline and all of its output.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::error::ClusterError;
use crate::wait::sleep;

/// For what a machine or a tool answers at once.
pub(crate) const SHORT: Duration = Duration::from_secs(60);

/// After the program ended, its output may be held open by what it started; that is not waited for.
const OUTPUT_GRACE: Duration = Duration::from_millis(500);

/// What a program wrote and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The exit status.
    pub status: ExitStatus,
    /// Standard output; what is no UTF-8 is replaced.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
}

impl Output {
    /// Whether the program ended with 0.
    pub fn success(&self) -> bool {
        self.status.success()
    }

    /// Both outputs, standard error last, for messages.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr).trim_end().to_owned()
    }

    pub(crate) fn ok(self, what: &str) -> Result<Output, ClusterError> {
        if self.success() {
            return Ok(self);
        }
        Err(ClusterError::Command {
            what: what.to_owned(),
            status: self.status.to_string(),
            output: self.text(),
        })
    }
}

/// Runs to the end or to the deadline, whichever is first; after the deadline the program and its children are
/// killed, and what they wrote so far is in the error.
pub(crate) fn run(
    what: &str,
    command: Command,
    input: Option<&[u8]>,
    within: Duration,
) -> Result<Output, ClusterError> {
    run_with_lines(what, command, input, within, |_| {})
}

/// As [`run`], and calls `on_line` with each line of standard error as it comes.
pub(crate) fn run_with_lines(
    what: &str,
    mut command: Command,
    input: Option<&[u8]>,
    within: Duration,
    mut on_line: impl FnMut(&str),
) -> Result<Output, ClusterError> {
    let started = Instant::now();
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command.spawn().map_err(|source| ClusterError::Start { program, source })?;
    feed(&mut child, input);
    let mut stdout = Collector::new(child.stdout.take());
    let mut stderr = Collector::new(child.stderr.take());
    let status = loop {
        let ended =
            child.try_wait().map_err(|source| ClusterError::System { doing: what.to_owned(), source })?;
        stdout.poll();
        stderr.poll();
        stderr.lines(&mut on_line);
        if let Some(status) = ended {
            break status;
        }
        if started.elapsed() >= within {
            kill_group(&child);
            let _ = child.wait();
            let last = format!("{}{}", stdout.finish(), stderr.finish());
            return Err(ClusterError::Deadline { what: what.to_owned(), within, last });
        }
        sleep(Duration::from_millis(2));
    };
    // What was on its way when the program ended.
    stderr.drain();
    stderr.lines(&mut on_line);
    Ok(Output { status, stdout: stdout.finish(), stderr: stderr.finish() })
}

fn feed(child: &mut Child, input: Option<&[u8]>) {
    if let (Some(mut pipe), Some(input)) = (child.stdin.take(), input) {
        let input = input.to_vec();
        // A program that does not read its input says so by its exit status.
        std::thread::spawn(move || pipe.write_all(&input));
    }
}

fn kill_group(child: &Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Reads a pipe on a thread of its own, so that a full pipe never stops the program.
struct Collector {
    chunks: Option<Receiver<Vec<u8>>>,
    bytes: Vec<u8>,
    told: usize,
}

impl Collector {
    fn new(pipe: Option<impl Read + Send + 'static>) -> Collector {
        let chunks = pipe.map(|mut pipe| {
            let (sender, receiver) = mpsc::channel();
            std::thread::spawn(move || {
                let mut buffer = vec![0; 65536];
                while let Ok(length) = pipe.read(&mut buffer) {
                    let Some(chunk) = buffer.get(..length).filter(|chunk| !chunk.is_empty()) else { break };
                    if sender.send(chunk.to_vec()).is_err() {
                        break;
                    }
                }
            });
            receiver
        });
        Collector { chunks, bytes: Vec::new(), told: 0 }
    }

    fn poll(&mut self) {
        if let Some(chunks) = &self.chunks {
            self.bytes.extend(chunks.try_iter().flatten());
        }
    }

    fn lines(&mut self, on_line: &mut impl FnMut(&str)) {
        while let Some(rest) = self.bytes.get(self.told..) {
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { break };
            if let Some(line) = rest.get(..end) {
                on_line(&String::from_utf8_lossy(line));
            }
            self.told += end + 1;
        }
    }

    /// Reads until the pipe is closed, which a child that stays may put off.
    fn drain(&mut self) {
        if let Some(chunks) = self.chunks.take() {
            let until = Instant::now() + OUTPUT_GRACE;
            while let Ok(chunk) = chunks.recv_timeout(until.saturating_duration_since(Instant::now())) {
                self.bytes.extend(chunk);
            }
        }
    }

    fn finish(mut self) -> String {
        self.drain();
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn returns_both_outputs_and_the_status() {
        let output = run("script", shell("cat; echo err >&2; exit 3"), Some(b"in"), SHORT).unwrap();
        assert_eq!(
            (output.status.code(), output.stdout.as_str(), output.stderr.as_str()),
            (Some(3), "in", "err\n")
        );
        assert!(output.ok("script").unwrap_err().to_string().contains("err"));
    }

    #[test]
    fn kills_what_takes_too_long_and_shows_what_it_wrote() {
        let started = Instant::now();
        let error = run("slow script", shell("echo begun; sleep 60"), None, Duration::from_millis(300));
        assert!(started.elapsed() < Duration::from_secs(10));
        let text = error.unwrap_err().to_string();
        assert!(text.contains("slow script") && text.contains("begun"), "{text}");
    }

    #[test]
    fn does_not_wait_for_children_that_stay() {
        let started = Instant::now();
        let output = run("daemon", shell("sleep 20 & echo started"), None, SHORT).unwrap();
        assert_eq!(output.stdout, "started\n");
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn tells_lines_of_standard_error_as_they_come() {
        let mut lines = Vec::new();
        let script = shell("echo one >&2; echo two >&2");
        run_with_lines("script", script, None, SHORT, |line| lines.push(line.to_owned())).unwrap();
        assert_eq!(lines, ["one", "two"]);
    }
}
