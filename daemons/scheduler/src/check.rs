//! `scheduler check`

use std::io::Write;

use anyhow::Context;
use convoy_config::{SearchPath, etcd_inputs};
use convoy_store::{Store, StoreSettings};

use crate::settings::Settings;

/// Looks at everything that could be wrong before the start, and says what would be done.
pub fn check(settings: &Settings) -> anyhow::Result<()> {
    let etcd = etcd_inputs(&SearchPath::system())?;
    let endpoints = etcd.endpoints.join(", ");
    // Reads certificates and checks addresses, but connects to nobody.
    Store::new(StoreSettings::try_from(etcd)?)?;
    writeln!(
        std::io::stdout().lock(),
        "The configuration is fine: machine {} ({}), leads for {} s at a time; store {endpoints}.",
        settings.machine,
        settings.name,
        settings.ttl.as_secs(),
    )
    .context("standard output is closed")
}
