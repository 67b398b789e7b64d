//! TXT records, set by a command of the operator.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::timeout;

/// How long a command may take, unless it is told otherwise: until the record is served by all name servers.
const DEADLINE: Duration = Duration::from_secs(120);
/// How much of what it says is told.
const SAID_MAX: u64 = 1000;

/// A command that sets and removes TXT records. It is started without a shell as
/// `COMMAND ARGUMENTS… present|cleanup NAME. VALUE`, which is how lego calls its commands, and ends successfully when the
/// record is served, or gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsHook {
    /// The program.
    pub command: PathBuf,
    /// What it is told before anything else.
    pub arguments: Vec<String>,
    /// How long it may take, after which it is killed.
    pub deadline: Duration,
}

/// Why a record was not set.
#[derive(Debug, Error)]
pub(super) enum HookError {
    #[error(
        "the DNS hook {command} can't be started: {source}; check [edge-router] settings and its permissions"
    )]
    Start { command: String, source: std::io::Error },
    #[error("the DNS hook {command} did not {action} {name} within {deadline:?} and was killed")]
    Deadline { command: String, action: &'static str, name: String, deadline: Duration },
    #[error("the DNS hook {command} did not {action} {name} ({status}): {said}")]
    Failed { command: String, action: &'static str, name: String, status: ExitStatus, said: String },
}

impl DnsHook {
    /// A hook with the usual deadline.
    pub fn new(command: PathBuf, arguments: Vec<String>) -> Self {
        Self { command, arguments, deadline: DEADLINE }
    }

    /// Sets the record of a host.
    pub(super) async fn present(&self, host: &str, value: &str) -> Result<(), HookError> {
        self.run("present", host, value).await
    }

    /// Removes it.
    pub(super) async fn cleanup(&self, host: &str, value: &str) -> Result<(), HookError> {
        self.run("cleanup", host, value).await
    }

    async fn run(&self, action: &'static str, host: &str, value: &str) -> Result<(), HookError> {
        let (command, name) = (self.command.display().to_string(), format!("_acme-challenge.{host}."));
        let mut child = Command::new(&self.command)
            .args(&self.arguments)
            .args([action, &name, value])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| HookError::Start { command: command.clone(), source })?;
        let said = child.stderr.take();
        let outcome = timeout(self.deadline, async {
            let said = said_by(said).await;
            (child.wait().await, said)
        });
        match outcome.await {
            Ok((Ok(status), _)) if status.success() => Ok(()),
            Ok((Ok(status), said)) => Err(HookError::Failed { command, action, name, status, said }),
            Ok((Err(source), _)) => Err(HookError::Start { command, source }),
            Err(_) => {
                // What can't be killed is gone already.
                let _ = child.kill().await;
                Err(HookError::Deadline { command, action, name, deadline: self.deadline })
            }
        }
    }
}

/// The beginning of what a command says; the rest is read and forgotten, so that it never waits for a reader.
async fn said_by(stream: Option<impl AsyncRead + Unpin>) -> String {
    let Some(stream) = stream else { return String::new() };
    let mut said = Vec::new();
    let mut beginning = stream.take(SAID_MAX);
    // An error ends what it says.
    let _ = beginning.read_to_end(&mut said).await;
    let _ = tokio::io::copy(&mut beginning.into_inner(), &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&said).trim().replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn script(text: &str) -> (tempfile::TempDir, DnsHook) {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("hook");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let hook = DnsHook::new(path, vec!["$(touch oops)".to_owned()]);
        (place, hook)
    }

    #[tokio::test]
    async fn a_command_is_told_what_to_do_letter_by_letter() {
        let (place, hook) = script(r#"printf '%s\n' "$@" > "$(dirname "$0")/told""#);
        hook.present("a.example", "-value_1").await.unwrap();
        let told = std::fs::read_to_string(place.path().join("told")).unwrap();
        assert_eq!(told, "$(touch oops)\npresent\n_acme-challenge.a.example.\n-value_1\n");
        hook.cleanup("a.example", "-value_1").await.unwrap();
        assert!(std::fs::read_to_string(place.path().join("told")).unwrap().contains("\ncleanup\n"));
    }

    #[tokio::test]
    async fn a_command_that_fails_is_quoted() {
        let (_place, hook) = script("echo 'no such zone' >&2; exit 3");
        let error = hook.present("a.example", "x").await.unwrap_err().to_string();
        assert!(
            error.contains("did not present _acme-challenge.a.example. (exit status: 3): no such zone"),
            "{error}"
        );
        let missing = DnsHook::new("/nowhere/hook".into(), Vec::new());
        let error = missing.present("a.example", "x").await.unwrap_err().to_string();
        assert!(error.contains("/nowhere/hook can't be started"), "{error}");
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_killed() {
        let (place, hook) = script(r#"echo $$ > "$(dirname "$0")/pid"; exec sleep 1000"#);
        let hook = DnsHook { deadline: Duration::from_millis(500), ..hook };
        let error = hook.present("a.example", "x").await.unwrap_err().to_string();
        assert!(error.contains("within 500ms and was killed"), "{error}");
        let pid = std::fs::read_to_string(place.path().join("pid")).unwrap();
        assert!(!std::path::Path::new(&format!("/proc/{}", pid.trim())).exists());
    }

    #[tokio::test]
    async fn a_command_that_says_much_is_cut_short() {
        let (_place, hook) = script("yes | head -c 1000000 >&2; exit 1");
        let error = hook.present("a.example", "x").await.unwrap_err().to_string();
        assert!(error.len() < 1200);
    }
}
