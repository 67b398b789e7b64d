//! The binary `convoy-lease`.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use convoy_agent::lease::{Cli, run};
use convoy_service::{exit, logging};

fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::init("convoy-lease");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    exit::report(
        runtime.context("the runtime can't be started").and_then(|runtime| runtime.block_on(run(&cli))),
    )
}
