//! The way to the store.

use anyhow::{Context, Result};
use convoy_config::{SearchPath, etcd_inputs};
use convoy_store::{Store, StoreSettings};

use crate::{cli::Global, refusal::Refusal};

/// The store that the options and the configuration name. Nothing is connected yet.
pub(crate) fn store(global: &Global) -> Result<Store> {
    let mut inputs = etcd_inputs(&SearchPath::system())?;
    if let Some(list) = &global.endpoint {
        inputs.endpoints = list.split(',').map(|url| url.trim().to_owned()).collect();
    }
    if global.ca_file.is_some() {
        inputs.ca.clone_from(&global.ca_file);
    }
    if global.cert_file.is_some() || global.key_file.is_some() {
        if global.cert_file.is_none() || global.key_file.is_none() {
            return Err(
                Refusal::Usage("--cert-file and --key-file belong together: give both".to_owned()).into()
            );
        }
        inputs.cert.clone_from(&global.cert_file);
        inputs.key.clone_from(&global.key_file);
    }
    let mut settings = StoreSettings::try_from(inputs)?;
    if let Some(timeout) = global.request_timeout {
        settings.call_deadline = timeout;
    }
    Store::new(settings).context("the store can't be used")
}
