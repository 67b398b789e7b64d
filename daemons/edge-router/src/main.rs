//! The binary `edge-router`.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use convoy_config::SearchPath;
use convoy_edge_router::cli::{Cli, Command};
use convoy_edge_router::settings::Settings;
use convoy_edge_router::sockets::{Named, SocketError};
use convoy_edge_router::{check, explain, run, sockets};
use convoy_service::{exit, logging};

/// Every request takes and returns small pieces of memory; this allocator is a good deal faster at it than glibc's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // What systemd hands over is taken while there is one thread and the environment is as it was.
    let inherited = sockets::inherited();
    let cli = Cli::parse();
    logging::init("edge-router");
    exit::report(dispatch(&cli, inherited))
}

fn dispatch(cli: &Cli, inherited: Result<Vec<Named>, SocketError>) -> anyhow::Result<()> {
    let settings = Settings::resolve(&cli.options, |name| std::env::var(name).ok(), &SearchPath::system())?;
    match &cli.command {
        Some(Command::Check) => return check::check(&settings),
        Some(Command::Explain { url }) => return explain::explain(&settings, url),
        None => {}
    }
    let listeners = inherited
        .and_then(|inherited| sockets::listeners(inherited, &settings.listen))
        .map_err(SocketError::into_report)?;
    // The requests have threads of their own; this one follows the store and speaks with systemd.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime can't be started")?;
    runtime.block_on(run::run(settings, listeners))
}
