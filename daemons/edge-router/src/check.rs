//! `edge-router check`

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use convoy_acme::Clock;
use convoy_config::{ConfigError, SearchPath, etcd_inputs};
use convoy_routing::{Domain, Routes, Table};
use convoy_store::{Store, StoreSettings};

use crate::settings::Settings;
use crate::{certificates, orders, routes_file};

/// Looks at everything that could be wrong before the start, and says what would be done.
pub fn check(settings: &Settings) -> anyhow::Result<()> {
    if let Some(folder) = &settings.certificates {
        check_certificates(folder)?;
    }
    if let Some(path) = &settings.routes {
        return check_file(path);
    }
    certificates::settings(settings, None)?.validate(true).map_err(|error| orders::with_key(&error))?;
    let etcd = etcd_inputs(&SearchPath::system())?;
    let endpoints = etcd.endpoints.join(", ");
    // Reads certificates and checks addresses, but connects to nobody.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime can't be started")?
        .block_on(async { anyhow::Ok(Store::new(StoreSettings::try_from(etcd)?)?) })?;
    let domains: Vec<_> = settings.domains.iter().map(Domain::as_str).collect();
    let below = if domains.is_empty() { "none, only bare app names".to_owned() } else { domains.join(", ") };
    writeln!(
        std::io::stdout().lock(),
        "The configuration is fine: domains {below}; {} threads, {} connections; store {endpoints}.",
        settings.proxy.threads,
        settings.proxy.max_connections,
    )
    .context("standard output is closed")
}

fn check_file(path: &Path) -> anyhow::Result<()> {
    let file = routes_file::read(path).map_err(|error| ConfigError::value("--routes", error.to_string()))?;
    let path = path.display();
    if let [first, more @ ..] = &file.refused[..] {
        let others = if more.is_empty() { String::new() } else { format!(" (and {} more)", more.len()) };
        let problem = format!("{path}: entry {} ({}): {}{others}", first.number, first.host, first.error);
        return Err(ConfigError::value("--routes", problem).into());
    }
    let mut routes = Routes::new();
    let count = file.documents.len();
    routes.replace_documents(file.documents, 0);
    let table = Table::empty(Arc::default()).next(&routes, 0);
    let mut out = std::io::stdout().lock();
    for conflict in table.conflicts() {
        writeln!(out, "{path}: {conflict}").context("standard output is closed")?;
    }
    writeln!(out, "{path} is fine: {count} entries, {} targets.", routes.target_count())
        .context("standard output is closed")
}

fn check_certificates(folder: &Path) -> anyhow::Result<()> {
    let (certificates, problems) = convoy_acme::look(folder, Clock::system().now());
    if let Some(problem) = problems.first() {
        return Err(ConfigError::value("certificates", problem.to_string()).into());
    }
    let mut names: Vec<_> = certificates.into_iter().flat_map(|certificate| certificate.names).collect();
    names.sort();
    writeln!(std::io::stdout().lock(), "{} has certificates for {}.", folder.display(), names.join(", "))
        .context("standard output is closed")
}
