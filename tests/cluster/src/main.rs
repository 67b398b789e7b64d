//! `cluster`: the cluster of real machines from the command line.

mod cli;

use std::io::{self, Write};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use convoy_cluster::{Cluster, Lines, Machine, StateDir, UpOptions};

use crate::cli::{Action, Cli, Up};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(io::stderr().lock(), "cluster: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let state = StateDir::from_environment();
    let name = cli.name;
    let machine = |machine: &str| find(&state, &name, machine);
    match cli.command {
        Action::Check => {
            Cluster::possible()?;
            say("machines can be booted here")?;
        }
        Action::Up(up) => {
            let cluster = Cluster::up(options(name, up))?.leave_running();
            say(&format!("cluster {} is up; look around: cluster shell m1", cluster.name()))?;
        }
        Action::Down { purge: true } => Cluster::purge(&state)?,
        Action::Down { purge: false } => Cluster::remove(&state, &name)?,
        Action::List => list(&state)?,
        Action::Exec { machine: which, command } => {
            return pass(machine(&which)?.command(&borrowed(&command))?);
        }
        Action::Shell { machine: which } => return pass(machine(&which)?.command(&["bash", "-l"])?),
        Action::Journal { machine: which, arguments } => {
            let all: Vec<&str> =
                ["journalctl", "--no-pager"].into_iter().chain(borrowed(&arguments)).collect();
            return pass(machine(&which)?.command(&all)?);
        }
        Action::Net { command } => {
            let (program, arguments) = command.split_first().context("no program")?;
            let mut command = Cluster::open(state, &name)?.in_network(program);
            command.args(arguments);
            return pass(command);
        }
        Action::Cut { machine: which } => machine(&which)?.cut()?,
        Action::Heal { machine: which } => machine(&which)?.heal()?,
        Action::Crash { machine: which } => machine(&which)?.crash()?,
        Action::PowerOff { machine: which } => machine(&which)?.power_off()?,
        Action::Start { machine: which } => machine(&which)?.start()?,
        Action::Freeze { machine: which } => machine(&which)?.freeze()?,
        Action::Thaw { machine: which } => machine(&which)?.thaw()?,
    }
    Ok(ExitCode::SUCCESS)
}

fn options(name: String, up: Up) -> UpOptions {
    let mut options =
        UpOptions { name, machines: up.machines, reporter: Arc::new(Lines), ..UpOptions::default() };
    options.release = up.release;
    options.without_nginx = up.without_nginx.into_iter().collect();
    if let Some(path) = up.cloud_config {
        options.cloud_config = path;
    }
    if let Some(domain) = up.domain {
        options.domain = domain;
    }
    options
}

fn find(state: &StateDir, name: &str, machine: &str) -> anyhow::Result<Machine> {
    let cluster = Cluster::open(state.clone(), name)?;
    let found = cluster.machines().find(|m| m.name() == machine || m.index().to_string() == machine);
    found.with_context(|| format!("cluster {name:?} has no machine {machine:?}"))
}

fn list(state: &StateDir) -> anyhow::Result<()> {
    for name in Cluster::list(state) {
        let Ok(cluster) = Cluster::open(state.clone(), &name) else {
            say(&format!("{name}\tincomplete; cluster --name {name} down removes it"))?;
            continue;
        };
        for machine in cluster.machines() {
            let power = if machine.is_on() { "on" } else { "off" };
            say(&format!(
                "{name}\t{}\t{}\t{power}\t{}",
                machine.name(),
                machine.address(),
                machine.machine_id()
            ))?;
        }
    }
    Ok(())
}

/// Runs with this process's own input and output, and passes the exit status on.
fn pass(mut command: Command) -> anyhow::Result<ExitCode> {
    let status = command.status().context("start the program")?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

fn borrowed(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

fn say(line: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}
