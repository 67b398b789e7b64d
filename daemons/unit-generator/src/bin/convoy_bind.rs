//! The oneshot behind `registrar-bind@.service`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use convoy_config::ConfigError;
use convoy_service::{exit, logging};
use convoy_unit_generator::bind::bind;
use convoy_unit_generator::binding::Binding;

/// Binds a sidekick to its app unit, and starts that.
#[derive(Debug, Parser)]
#[command(name = "convoy-bind", version)]
struct Cli {
    /// Instance of the sidekick: someapp-1 or someapp@1
    instance: String,
    /// Folder for the drop-in
    #[arg(long, default_value = "/run/systemd/system")]
    units: PathBuf,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::init("registrar-bind");
    exit::report(run(&cli))
}

fn run(cli: &Cli) -> Result<()> {
    let binding = Binding::of_instance(&cli.instance)
        .map_err(|error| ConfigError::value("the unit's name", error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime can't be started")?;
    runtime.block_on(bind(&binding, &cli.units))
}
