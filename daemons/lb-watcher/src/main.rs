//! The binary `lb-watcher`.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use convoy_config::SearchPath;
use convoy_lb_watcher::cli::{Cli, Command, Options};
use convoy_lb_watcher::settings::Settings;
use convoy_lb_watcher::{bootstrap, check, reload, run, status, wait};
use convoy_service::{exit, logging};

fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::init("lb-watcher");
    exit::report(dispatch(cli.command))
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
        }
    })
}

fn settings(options: &Options) -> anyhow::Result<Settings> {
    let variable = |name: &str| std::env::var(name).ok();
    Ok(Settings::resolve(options, variable, &SearchPath::system())?)
}
