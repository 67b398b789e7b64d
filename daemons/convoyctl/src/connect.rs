//! The way to the store.

use anyhow::{Context, Result};
use convoy_config::{SearchPath, etcd_inputs};
use convoy_store::{Store, StoreSettings};

use crate::{cli::Global, refusal::Refusal, tunnel::Tunnel};

/// The store, and what has to live as long as it is used.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) store: Store,
    _tunnel: Option<Tunnel>,
}

/// The store that the options and the configuration name. Nothing but a tunnel is connected yet.
pub(crate) async fn open(global: &Global) -> Result<Connection> {
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
    let mut tunnel = None;
    if let Some(through) = &global.tunnel {
        let opened = Tunnel::open(through, &inputs.endpoints, &host_keys(global), global.ssh_timeout).await?;
        inputs.endpoints.clone_from(&opened.endpoints);
        if inputs.ca.is_some() && inputs.server_name.is_none() {
            inputs.server_name = Some(opened.host.clone());
        }
        tunnel = Some(opened);
    }
    let mut settings = StoreSettings::try_from(inputs)?;
    if let Some(timeout) = global.request_timeout {
        settings.call_deadline = timeout;
    }
    let store = Store::new(settings).context("the store can't be used")?;
    Ok(Connection { store, _tunnel: tunnel })
}

/// ssh's options about host keys.
pub(crate) fn host_keys(global: &Global) -> Vec<String> {
    let mut options = Vec::new();
    if let Some(strict) = global.strict_host_key_checking {
        let answer = if strict { "yes" } else { "no" };
        options.extend(["-o".to_owned(), format!("StrictHostKeyChecking={answer}")]);
    }
    if let Some(file) = &global.known_hosts_file {
        options.extend(["-o".to_owned(), format!("UserKnownHostsFile={}", file.display())]);
    }
    options
}
