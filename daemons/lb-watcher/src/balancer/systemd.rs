//! nginx and HAProxy through systemd's manager.

use std::path::Path;
use std::time::Duration;

use convoy_lb_config::Engine;
use convoy_systemd::{ActiveState, JobResult, Manager, SystemdError};
use tokio::io::AsyncReadExt;

use super::{CheckError, verdict};

/// More than any message of nginx.
const OUTPUT_MAX: u64 = 256 * 1024;

/// A connection that is made when it is needed and dropped when it breaks.
#[derive(Debug, Default)]
pub(crate) struct Systemd(Option<Manager>);

impl Systemd {
    /// Reloads a unit and waits for the result of the job. Whether it was reloaded: one that is about to stop is not.
    pub(crate) async fn reload(&mut self, unit: &str, deadline: Duration) -> Result<bool, String> {
        let outcome = match self.manager().await {
            Ok(manager) => manager.reload_unit(unit, deadline).await,
            Err(error) => Err(error),
        };
        match self.noted(outcome) {
            Ok(result) if result.is_done() => Ok(true),
            Err(SystemdError::Opposed { .. }) => Ok(false),
            Ok(result) => Err(format!("the job to reload {unit} ended with {result}")),
            Err(error) => Err(chain(&error)),
        }
    }

    /// As [`Self::reload`], for a unit that is wanted up: that it is about to stop is a reason to look again.
    pub(crate) async fn must_reload(&mut self, unit: &str, deadline: Duration) -> Result<(), String> {
        if self.reload(unit, deadline).await? { Ok(()) } else { Err(format!("{unit} is about to stop")) }
    }

    /// Starts the unit that checks the staged file in the container and leaves nginx's words in `output`.
    pub(crate) async fn check(
        &mut self,
        engine: Engine,
        unit: &str,
        output: &Path,
        deadline: Duration,
    ) -> Result<(), CheckError> {
        let outcome = match self.manager().await {
            Ok(manager) => manager.start_unit(unit, deadline).await,
            Err(error) => Err(error),
        };
        match self.noted(outcome) {
            Ok(result) if result.is_done() => Ok(()),
            Ok(JobResult::Failed) => Err(verdict(engine, &words(unit, output).await)),
            Ok(result) => Err(CheckError::NotRun(format!("the job to start {unit} ended with {result}"))),
            Err(error) => Err(CheckError::NotRun(chain(&error))),
        }
    }

    /// Whether nothing of a unit runs.
    pub(crate) async fn is_down(&mut self, unit: &str) -> Result<bool, String> {
        let outcome = match self.manager().await {
            Ok(manager) => manager.active_state(unit).await,
            Err(error) => Err(error),
        };
        self.noted(outcome).map(ActiveState::is_down).map_err(|error| chain(&error))
    }

    /// The main process of a service, while it has one.
    pub(crate) async fn main_process(&mut self, unit: &str) -> Result<Option<u32>, String> {
        let outcome = match self.manager().await {
            Ok(manager) => manager.main_process(unit).await,
            Err(error) => Err(error),
        };
        self.noted(outcome).map_err(|error| chain(&error))
    }

    async fn manager(&mut self) -> Result<&Manager, SystemdError> {
        let manager = match self.0.take() {
            Some(manager) => manager,
            None => Manager::connect().await?,
        };
        Ok(self.0.insert(manager))
    }

    fn noted<T>(&mut self, outcome: Result<T, SystemdError>) -> Result<T, SystemdError> {
        if outcome.as_ref().is_err_and(SystemdError::is_disconnected) {
            self.0 = None;
        }
        outcome
    }
}

async fn words(unit: &str, output: &Path) -> String {
    let mut text = Vec::new();
    let read = match tokio::fs::File::open(output).await {
        Ok(file) => file.take(OUTPUT_MAX).read_to_end(&mut text).await,
        Err(error) => Err(error),
    };
    match read {
        Ok(_) if !text.is_empty() => String::from_utf8_lossy(&text).trim().to_owned(),
        Ok(_) => format!("{unit} failed without a word; see journalctl -u {unit}"),
        Err(error) => format!("{unit} failed and {} can't be read: {error}", output.display()),
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
