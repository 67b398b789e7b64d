//! The binary `agent`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use convoy_agent::cli::{Cli, Command};
use convoy_agent::machine;
use convoy_agent::metrics::Metrics;
use convoy_agent::run::{Inputs, run};
use convoy_agent::settings::Settings;
use convoy_config::{SearchPath, etcd_inputs, machine_id};
use convoy_keys::{MachineId, MachineRecord};
use convoy_service::{Notifier, Shutdown, exit, logging, metrics};
use convoy_store::{Store, StoreSettings};

fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::init("agent");
    exit::report(match cli.command {
        Command::Run => start(),
        Command::Check => check(),
    })
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Everything that configuration decides, before anything is touched.
fn configure() -> anyhow::Result<(Settings, MachineId, MachineRecord, Store)> {
    let path = SearchPath::system();
    let settings = Settings::read(&path)?;
    let root = Path::new("/");
    let machine = machine_id(variable, &root.join("etc/machine-id"))?;
    let record = machine::record(root, &settings.metadata, variable);
    let store = Store::new(StoreSettings::try_from(etcd_inputs(&path)?)?)?;
    Ok((settings, machine, record, store))
}

fn check() -> anyhow::Result<()> {
    let (settings, machine, record, _) = configure()?;
    let metadata: Vec<String> = record.metadata.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let address = record.address.map_or_else(|| "no address".to_owned(), |address| address.to_string());
    writeln!(
        std::io::stdout().lock(),
        "{machine} ({}, {address}) with metadata {}; present for {} s after its last sign of life",
        record.name,
        if metadata.is_empty() { "-".to_owned() } else { metadata.join(",") },
        settings.ttl.as_secs()
    )?;
    Ok(())
}

fn start() -> anyhow::Result<()> {
    // Two: files are written by one while the other keeps the lease.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("the runtime can't be started")?;
    runtime.block_on(async {
        let shutdown = Shutdown::install().context("signals can't be handled")?;
        let (settings, machine, record, store) = configure()?;
        let (counted, registry) = Metrics::new();
        if let Some(folder) = std::env::var_os("RUNTIME_DIRECTORY").map(PathBuf::from) {
            let path = folder.join("metrics.sock");
            match metrics::bind(&path) {
                Ok(listener) => drop(tokio::spawn(metrics::serve(Arc::new(registry), listener))),
                Err(error) => tracing::warn!(path = %path.display(), %error, "there are no metrics"),
            }
        }
        let inputs =
            Inputs { settings, machine, record, store, notifier: Notifier::from_env(), metrics: counted };
        run(inputs, shutdown).await
    })
}
