//! The binary `scheduler`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use convoy_config::{SearchPath, etcd_inputs};
use convoy_scheduler::cli::{Cli, Command};
use convoy_scheduler::settings::Settings;
use convoy_scheduler::{check, run};
use convoy_service::{Notifier, Shutdown, exit, logging};
use convoy_store::{Store, StoreSettings};

fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::init("scheduler");
    exit::report(dispatch(cli.command))
}

fn dispatch(command: Option<Command>) -> anyhow::Result<()> {
    let settings = Settings::resolve(
        |name| std::env::var(name).ok(),
        &SearchPath::system(),
        Path::new("/etc/machine-id"),
        Path::new("/etc/hostname"),
    )?;
    // Two: a long look at the world must not hold up the keep-alives of the leadership.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("the runtime can't be started")?;
    runtime.block_on(async {
        match command.unwrap_or(Command::Run) {
            Command::Check => check::check(&settings),
            Command::Run => {
                let mut shutdown = Shutdown::install().context("signals can't be handled")?;
                let etcd = etcd_inputs(&SearchPath::system())?;
                let store = Store::new(StoreSettings::try_from(etcd)?)?;
                run::run(settings, store, Notifier::from_env(), shutdown.wait()).await
            }
        }
    })
}
