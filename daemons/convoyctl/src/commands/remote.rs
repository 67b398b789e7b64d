//! `status`, `journal`, `ssh`: systemd's and SSH's own tools, on the right machine.

use std::{
    fs,
    io::{self, IsTerminal},
    os::unix::process::ExitStatusExt,
    process::{Command, ExitStatus},
};

use anyhow::{Context, Result};
use convoy_keys::MachineId;
use convoy_unit_files::UnitName;

use super::{Session, stop};
use crate::{
    cli::{JournalArguments, SshArguments, StatusArguments},
    connect,
    exit::Outcome,
    machine,
    picture::Picture,
    refusal::Refusal,
    select::{self, Templates},
    ssh::{self, Access},
};

pub(super) async fn status(session: &mut Session<'_>, arguments: &StatusArguments) -> Result<Outcome> {
    let picture = session.picture().await?;
    let selection = select::stored(&picture, &arguments.units, Templates::Refused)?;
    let mut outcome = stop::missing(session, &selection.missing);
    let access = access(session, arguments.ssh_port);
    let mut is_first = true;
    for name in &selection.names {
        let machines = match machines(&picture, name) {
            Ok(machines) => machines,
            Err(refusal) => {
                session.console.note(&refusal);
                outcome = outcome.and(refusal.outcome());
                continue;
            }
        };
        for machine in &machines {
            if !std::mem::take(&mut is_first) {
                session.console.line("");
            }
            if machines.len() > 1 {
                session.console.line(format_args!("{}:", picture.label(machine, false)));
            }
            let words =
                ["systemctl", "status", "--full", "--no-pager", "--", name.as_str()].map(str::to_owned);
            outcome = worse(outcome, on_machine(session, &picture, &access, machine, &words)?);
        }
    }
    Ok(outcome)
}

pub(super) async fn journal(session: &mut Session<'_>, arguments: &JournalArguments) -> Result<Outcome> {
    let picture = session.picture().await?;
    let selection = select::stored(&picture, std::slice::from_ref(&arguments.unit), Templates::Refused)?;
    let [name] = selection.names.as_slice() else {
        return match selection.missing.into_iter().next() {
            Some(missing) => Err(Refusal::NotFound(missing).into()),
            None => Err(Refusal::Usage(format!("{} is several units; name one", arguments.unit)).into()),
        };
    };
    let mut machines = machines(&picture, name)?;
    if let Some(word) = &arguments.machine {
        let machine = machine::find(&picture, word)?;
        if !machines.contains(&machine) {
            let message = format!("{name} is not on {}", picture.label(&machine, false));
            return Err(Refusal::NotFound(message).into());
        }
        machines = vec![machine];
    }
    if arguments.follow && machines.len() > 1 {
        let labels: Vec<_> = machines.iter().map(|machine| picture.label(machine, false)).collect();
        let message = format!("{name} is on {}: say which with --machine to follow it", labels.join(", "));
        return Err(Refusal::Usage(message).into());
    }
    let mut words = Vec::new();
    if arguments.sudo {
        words.push("sudo".to_owned());
    }
    words.extend(["journalctl", "--no-pager", "--unit", name.as_str(), "--lines"].map(str::to_owned));
    words.push(arguments.lines.to_string());
    if arguments.follow {
        words.push("--follow".to_owned());
    }
    if let Some(form) = &arguments.output {
        words.extend(["--output".to_owned(), form.clone()]);
    }
    let access = access(session, arguments.ssh_port);
    let mut outcome = Outcome::Done;
    for machine in &machines {
        if machines.len() > 1 {
            session.console.line(format_args!("{}:", picture.label(machine, false)));
        }
        outcome = worse(outcome, on_machine(session, &picture, &access, machine, &words)?);
    }
    Ok(outcome)
}

pub(super) async fn ssh(session: &mut Session<'_>, arguments: &SshArguments) -> Result<Outcome> {
    let picture = session.picture().await?;
    let mut rest = arguments.arguments.as_slice();
    let machine = if let Some(word) = &arguments.machine {
        machine::find(&picture, word)?
    } else if let Some(word) = &arguments.unit {
        of_unit(&picture, word)?
    } else {
        let Some((word, command)) = rest.split_first() else {
            return Err(Refusal::Usage("name a machine or a unit".to_owned()).into());
        };
        rest = command;
        match machine::find(&picture, word) {
            Err(Refusal::NotFound(message)) => match of_unit(&picture, word) {
                Err(Refusal::NotFound(_)) => {
                    return Err(Refusal::NotFound(format!(
                        "{message}, and no unit of that name is anywhere"
                    ))
                    .into());
                }
                other => other?,
            },
            other => other?,
        }
    };
    let mut access = access(session, arguments.ssh_port);
    access.forward_agent = arguments.forward_agent;
    // As with ssh itself, the words are a command line of the machine's shell.
    let command = (!rest.is_empty()).then(|| rest.join(" "));
    over_ssh(&picture, &access, &machine, command.as_deref())
}

fn of_unit(picture: &Picture, word: &str) -> Result<MachineId, Refusal> {
    let name = UnitName::complete(word).map_err(|error| Refusal::NotFound(error.to_string()))?;
    if !picture.units.contains_key(&name) && !picture.states.contains_key(&name) {
        return Err(Refusal::NotFound(format!("{word}: there is no such unit")));
    }
    match machines(picture, &name)?.as_slice() {
        [one] => Ok(one.clone()),
        several => {
            let labels: Vec<_> = several.iter().map(|machine| picture.label(machine, false)).collect();
            Err(Refusal::Usage(format!("{name} is on {}: name one of them", labels.join(", "))))
        }
    }
}

/// The machines that a unit is on; several for a global.
fn machines(picture: &Picture, name: &UnitName) -> Result<Vec<MachineId>, Refusal> {
    let mut machines: Vec<MachineId> = picture.states_of(name).map(|(machine, _)| machine.clone()).collect();
    for (machine, _) in picture.scheduled(name) {
        if !machines.contains(machine) {
            machines.push(machine.clone());
        }
    }
    if machines.is_empty() {
        let desired = picture.units.get(name).map_or("inactive", |unit| unit.record.desired.as_str());
        return Err(Refusal::Pending(format!(
            "Unit {name} is on no machine (wanted: {desired}); `convoyctl explain {name}` says why"
        )));
    }
    Ok(machines)
}

fn access(session: &Session<'_>, port: Option<u16>) -> Access {
    let global = &session.global;
    Access {
        user: global.ssh_username.clone(),
        port,
        timeout: global.ssh_timeout,
        tunnel: global.tunnel.clone(),
        host_keys: connect::host_keys(global),
        forward_agent: false,
        terminal: false,
    }
}

/// Runs a command where the unit is: here if it is here.
fn on_machine(
    session: &mut Session<'_>,
    picture: &Picture,
    access: &Access,
    machine: &MachineId,
    words: &[String],
) -> Result<Outcome> {
    session.console.wipe();
    let is_here = here().as_ref() == Some(machine);
    match words.split_first() {
        Some((program, rest)) if is_here => {
            let status = Command::new(program).args(rest).status();
            Ok(ended(status.with_context(|| format!("{program} can't be run"))?))
        }
        _ => {
            let access = Access {
                terminal: io::stdout().is_terminal() && io::stdin().is_terminal(),
                ..access.clone()
            };
            over_ssh(picture, &access, machine, Some(&ssh::command_line(words)))
        }
    }
}

fn over_ssh(
    picture: &Picture,
    access: &Access,
    machine: &MachineId,
    command: Option<&str>,
) -> Result<Outcome> {
    let label = picture.label(machine, false);
    let Some(address) = picture.machines.get(machine).and_then(|record| record.address) else {
        let message = format!("{label} is away, or has told no address: there is no way to it");
        return Err(Refusal::Pending(message).into());
    };
    let status = Command::new("ssh").args(access.arguments(address, command)).status();
    Ok(ended(status.context("ssh can't be run; install OpenSSH's client")?))
}

/// This machine's id, if it is a machine of a cluster.
fn here() -> Option<MachineId> {
    // What the agent goes by comes first.
    let environment = fs::read_to_string("/run/convoy/machine.env").unwrap_or_default();
    let named = environment.lines().find_map(|line| line.strip_prefix("CONVOY_MACHINE_ID="));
    let text = match named {
        Some(id) => id.trim_matches('"').to_owned(),
        None => fs::read_to_string("/etc/machine-id").ok()?,
    };
    MachineId::parse(text.trim()).ok()
}

fn ended(status: ExitStatus) -> Outcome {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    match u8::try_from(code) {
        Ok(0) => Outcome::Done,
        Ok(code) => Outcome::Remote(code),
        Err(_) => Outcome::Error,
    }
}

/// The last command that went wrong decides.
fn worse(before: Outcome, now: Outcome) -> Outcome {
    if now == Outcome::Done { before } else { now }
}
