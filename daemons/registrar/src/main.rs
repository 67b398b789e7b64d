//! The binary `registrar`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Parser;
use convoy_config::{ConfigError, SearchPath, etcd_inputs};
use convoy_registrar::cli::{Arguments, Cli, Command};
use convoy_registrar::fragment::load_files;
use convoy_registrar::metrics::Metrics;
use convoy_registrar::options::{Layer, Options};
use convoy_registrar::run::{Inputs, run};
use convoy_registrar::settings::{Machine, Settings};
use convoy_service::{Notifier, Shutdown, exit, logging, metrics};
use convoy_store::{Store, StoreSettings};

fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::init("registrar");
    exit::report(match &cli.command {
        Some(Command::Check(arguments)) => check(arguments),
        None => start(&cli.run),
    })
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Everything that configuration decides, before anything is touched.
fn configure(arguments: &Arguments) -> Result<(Settings, Options, StoreSettings)> {
    let path = SearchPath::system();
    let options = Options::new([arguments.layer(), Layer::environment(variable), load_files(&path)?]);
    let instance = arguments.instance.as_deref().ok_or_else(|| {
        ConfigError::value("--instance", "missing; name the instance to announce, such as someapp-1")
    })?;
    // No machine-id is no reason not to announce: the record just doesn't name the machine.
    let machine_id = std::fs::read_to_string("/etc/machine-id").ok().map(|id| id.trim().to_owned());
    let settings = Settings::resolve(instance, &options, Machine::from_environment(variable, machine_id)?)?;
    let store = StoreSettings::try_from(etcd_inputs(&path)?)
        .map_err(|error| ConfigError::value("[etcd]", error.to_string()))?;
    Ok((settings, options, store))
}

fn check(arguments: &Arguments) -> Result<()> {
    let (settings, options, store) = configure(arguments)?;
    let instance = settings.instance_settings(&options)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "instance   {} ({})", settings.instance, settings.instance.app_unit())?;
    writeln!(out, "announces  {}", settings.subject)?;
    writeln!(out, "keys       {}", instance.keys.join(", "))?;
    writeln!(out, "check      {}", instance.check)?;
    writeln!(out, "lease      {} s", settings.ttl.as_secs())?;
    writeln!(out, "etcd       {}", store.endpoints.join(", "))?;
    Ok(())
}

fn start(arguments: &Arguments) -> Result<()> {
    let (settings, options, store) = configure(arguments)?;
    // One thread: there is one instance to look after, and every thread costs memory.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime can't be started")?;
    runtime.block_on(async {
        let shutdown = Shutdown::install().context("signals can't be handled")?;
        let store = Store::new(store).context("the store's settings can't be used")?;
        let (metrics, registry) = Metrics::registered();
        if let Some(folder) = runtime_folder() {
            let path = folder.join("metrics.sock");
            let listener = metrics::bind(&path).with_context(|| format!("{}: no metrics", path.display()))?;
            tokio::spawn(metrics::serve(Arc::new(registry), listener));
        }
        run(Inputs { settings, options, store, notifier: Notifier::from_env(), metrics, variable }, shutdown)
            .await
    })
}

/// The folder that systemd made for us (`RuntimeDirectory=`).
fn runtime_folder() -> Option<PathBuf> {
    let folders = variable("RUNTIME_DIRECTORY")?;
    folders.split(':').next().map(|folder| Path::new(folder).to_owned())
}
