//! The binary `lb-watcher`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use convoy_config::SearchPath;
use convoy_lb_watcher::cli::{Cli, Command, Options};
use convoy_lb_watcher::settings::Settings;
use convoy_lb_watcher::{bootstrap, check, reload, render, run, status, wait};
use convoy_service::{exit, logging};

fn main() -> ExitCode {
    let command = Cli::parse().command;
    // Tools for people and scripts: what goes wrong belongs on standard error, not into the journal.
    if matches!(command, Command::Render(_) | Command::Lint(_)) {
        return outcome(&dispatch(command));
    }
    logging::init("lb-watcher");
    exit::report(dispatch(command))
}

fn outcome(result: &anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Without standard error there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "lb-watcher: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<()> {
    // Two: writing a file through to the disk must not hold up the lease.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("the runtime can't be started")?;
    runtime.block_on(async {
        match command {
            Command::Run(options) => run(settings(&options)?).await,
            Command::Bootstrap { kind, options } => {
                bootstrap(&settings(&options)?, kind.into()).await.map(drop)
            }
            Command::Reload { pid, pid_file, options } => {
                reload(&settings(&options)?, pid.as_deref(), pid_file.as_deref()).await
            }
            Command::Wait(options) => wait(&settings(&options)?).await,
            Command::Check(options) => check(&settings(&options)?).await,
            Command::Status(options) => status(&settings(&options)?).await,
            Command::Render(options) => render::render(&options),
            Command::Lint(options) => render::lint_template(&options),
        }
    })
}

fn settings(options: &Options) -> anyhow::Result<Settings> {
    let variable = |name: &str| std::env::var(name).ok();
    Ok(Settings::resolve(options, variable, &SearchPath::system())?)
}
