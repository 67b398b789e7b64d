//! The reader of a resource's files: its commands, its unit, and what its processes tell.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use convoy_confd::resource::{Command, Invocation, Reload, Resource};
use tokio::time::{Instant, sleep};

use super::generation::{Generation, Program, Which};
use super::overlay;
use crate::balancer::{self, Systemd};
use crate::install::disk::{Difference, staged};
use crate::install::reader::{CheckError, Proof, Reader, ReloadError, Sight, Told};

/// From the reload until new workers have to be there.
const FOLLOW_DEADLINE: Duration = Duration::from_secs(10);
/// Between two questions whether the new files are served.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// The reader of one resource's files.
#[derive(Debug)]
pub(super) struct SystemReader {
    check: Option<Command>,
    reload: Option<Reload>,
    verify: Option<Command>,
    /// The first file's place, for commands that name it.
    destination: String,
    folder: PathBuf,
    systemd: Systemd,
    /// What ran before the reload.
    before: Option<Generation>,
}

impl SystemReader {
    /// The reader that a resource names; `folder` is for what checks need.
    pub(super) fn new(resource: &Resource, folder: PathBuf) -> Self {
        let first = resource.files.first();
        Self {
            check: resource.check.clone(),
            reload: resource.reload.clone(),
            verify: resource.verify.clone(),
            destination: first.and_then(|file| file.destination(None).ok()).unwrap_or_default(),
            folder,
            systemd: Systemd::default(),
            before: None,
        }
    }

    fn invocation(&self, command: &Command, source: &str) -> Result<Invocation, String> {
        command.invoke(source, &self.destination)
    }

    /// The program that the commands speak of, and which of its masters.
    fn program(&self) -> Option<(Program, Which)> {
        let Some(Reload::Command(reload)) = &self.reload else { return None };
        let reload = self.invocation(reload, "").ok()?.to_string();
        let check = self.check.as_ref().and_then(|check| self.invocation(check, "").ok());
        let check = check.map(|check| check.to_string()).unwrap_or_default();
        let program = Program::named_in(&reload).or_else(|| Program::named_in(&check))?;
        Some((program, program.meant_in(&reload)))
    }

    async fn reload_unit(&mut self, unit: &str, deadline: Duration) -> Result<Told, ReloadError> {
        if self.systemd.is_down(unit).await.map_err(ReloadError)? {
            return Ok(Told::Absent);
        }
        let main = self.systemd.main_process(unit).await.map_err(ReloadError)?;
        self.before = main.and_then(|main| {
            let program = Program::of_process(main)?;
            Some(Generation::now(program, &Which::Process(main)))
        });
        if self.systemd.reload(unit, deadline).await.map_err(ReloadError)? {
            return Ok(Told::Reloaded);
        }
        self.before = None;
        Ok(Told::Absent)
    }

    async fn reload_by(&mut self, command: &Command) -> Result<Told, ReloadError> {
        let invocation = self.invocation(command, &self.destination).map_err(ReloadError)?;
        let before = self.program().map(|(program, which)| Generation::now(program, &which));
        if before.as_ref().is_some_and(Generation::is_absent) {
            return Ok(Told::Absent);
        }
        self.before = before;
        let finished = process(&invocation).run(command.deadline()).await.map_err(ReloadError)?;
        if finished.success {
            Ok(Told::Reloaded)
        } else {
            Err(ReloadError(format!("{invocation}: {finished}")))
        }
    }

    async fn ask(&self, command: &Command) -> Result<Proof, String> {
        let invocation = self.invocation(command, &self.destination)?;
        let limit = Instant::now() + command.deadline();
        loop {
            let left = limit.saturating_duration_since(Instant::now()).max(ASK_AGAIN);
            let answer = match process(&invocation).run(left).await {
                Ok(finished) if finished.success => return Ok(Proof::Served),
                Ok(finished) => finished.to_string(),
                Err(error) => error,
            };
            if Instant::now() + ASK_AGAIN >= limit {
                return Err(format!("{invocation}: {answer}"));
            }
            sleep(ASK_AGAIN).await;
        }
    }
}

impl Reader for SystemReader {
    fn sight(&self) -> Sight {
        match &self.check {
            None => Sight::None,
            Some(check) if check.names_source() => Sight::Staged,
            Some(_) => Sight::InPlace,
        }
    }

    async fn check_staged(&mut self, candidates: &BTreeSet<PathBuf>) -> Result<(), CheckError> {
        let Some(check) = &self.check else { return Ok(()) };
        for path in candidates {
            let source = staged(path).to_string_lossy().into_owned();
            let invocation = self.invocation(check, &source).map_err(CheckError::NotRun)?;
            run_check(&invocation, check.deadline()).await?;
        }
        Ok(())
    }

    async fn check_overlaid(&mut self, difference: &Difference) -> Result<(), CheckError> {
        let Some(check) = &self.check else { return Ok(()) };
        let invocation = self.invocation(check, &self.destination).map_err(CheckError::NotRun)?;
        overlay::check(&self.folder, difference, &invocation, check.deadline()).await
    }

    async fn check_in_place(&mut self) -> Result<(), CheckError> {
        let Some(check) = &self.check else { return Ok(()) };
        let invocation = self.invocation(check, &self.destination).map_err(CheckError::NotRun)?;
        run_check(&invocation, check.deadline()).await
    }

    async fn reload(&mut self) -> Result<Told, ReloadError> {
        self.before = None;
        match self.reload.clone() {
            None => Ok(Told::Reloaded),
            Some(Reload::Unit { unit, deadline }) => self.reload_unit(&unit, deadline).await,
            Some(Reload::Command(command)) => self.reload_by(&command).await,
        }
    }

    async fn verify(&mut self) -> Result<Proof, String> {
        let mut proof = Proof::Believed;
        if let Some(before) = self.before.take() {
            before.followed(FOLLOW_DEADLINE).await?;
            proof = Proof::Served;
        }
        match self.verify.clone() {
            Some(command) => self.ask(&command).await,
            None => Ok(proof),
        }
    }
}

async fn run_check(invocation: &Invocation, deadline: Duration) -> Result<(), CheckError> {
    let finished = process(invocation).run(deadline).await.map_err(CheckError::NotRun)?;
    if finished.success { Ok(()) } else { Err(CheckError::Refused(format!("{invocation}: {finished}"))) }
}

fn process(invocation: &Invocation) -> balancer::Command {
    match invocation {
        Invocation::Shell(line) => balancer::Command::shell(line),
        Invocation::Program(parts) => {
            let mut parts = parts.iter();
            let program = parts.next().map(String::as_str).unwrap_or_default();
            parts.fold(balancer::Command::new(program), balancer::Command::arg)
        }
    }
}
