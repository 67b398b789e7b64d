//! `edge-router check`

use std::io::Write;

use anyhow::Context;
use convoy_config::{SearchPath, etcd_inputs};
use convoy_routing::Domain;
use convoy_store::{Store, StoreSettings};

use crate::settings::Settings;

/// Looks at everything that could be wrong before the start, and says what would be done.
pub fn check(settings: &Settings) -> anyhow::Result<()> {
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
