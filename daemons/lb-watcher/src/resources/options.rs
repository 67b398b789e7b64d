//! Everything that is fixed for a run over a folder of resources.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use convoy_confd::settings::{Nodes, Settings};
use convoy_config::{SearchPath, etcd_inputs, machine_id};
use convoy_lb_config::GuardLimits;
use convoy_store::{StoreSettings, TlsSettings};

use super::target::{Surroundings, usual_state};
use crate::machine::services;

/// Settings as confd's users write them, and what Convoy adds.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// confd's.
    pub settings: Settings,
    /// Where state is kept.
    pub state: PathBuf,
    /// How much may vanish without a question.
    pub limits: GuardLimits,
    /// This machine's name for others, if it has one.
    pub machine: Option<String>,
}

impl Configuration {
    /// Resolves confd's command line, environment and file, and `[lb-watcher]` for what they don't know.
    pub fn resolve(arguments: &[String]) -> anyhow::Result<Self> {
        let variable = |name: &str| std::env::var(name).ok();
        let settings = Settings::resolve(arguments, &variable, &read)?;
        let state = variable("STATE_DIRECTORY").filter(|path| !path.is_empty());
        Ok(Self {
            state: state.map_or_else(|| usual_state().to_owned(), PathBuf::from),
            limits: crate::settings::guard_limits(&SearchPath::system())?,
            machine: machine_id(variable, Path::new("/etc/machine-id")).ok().map(|id| id.short().to_owned()),
            settings,
        })
    }

    /// What a resource has to know about where it is.
    pub(crate) fn surroundings(&self) -> Surroundings {
        Surroundings {
            confdir: self.settings.confdir.clone(),
            state: self.state.clone(),
            extent: self.settings.extent,
            keeps_staged: self.settings.keep_stage_file,
        }
    }

    /// How etcd is reached: as the settings say, else as the machine is configured.
    pub(crate) async fn store(&self) -> anyhow::Result<StoreSettings> {
        let mut store = StoreSettings::try_from(etcd_inputs(&SearchPath::system())?)?;
        match &self.settings.nodes {
            Nodes::Configured => {}
            Nodes::Urls(urls) => {
                store.endpoints.clone_from(urls);
                store.tls = None;
            }
            Nodes::Record { name, scheme } => {
                let record = name.clone();
                let found = tokio::task::spawn_blocking(move || services(&record)).await;
                let found = found.context("the look-up of the service record ended")?;
                if found.is_empty() {
                    bail!("srv-record: {name} names no member of etcd, or its server does not answer");
                }
                store.endpoints = found
                    .into_iter()
                    .map(|found| format!("{scheme}://{}:{}", found.target.trim_end_matches('.'), found.port))
                    .collect();
                store.tls = None;
            }
        }
        let access = &self.settings.access;
        if let Some(ca) = &access.ca {
            let (cert, key) = access.identity.clone().unzip();
            store.tls = Some(TlsSettings { ca: ca.clone(), cert, key, server_name: None });
        } else if access.identity.is_some() {
            bail!("client-cert: a certificate alone is not enough; name the authority with client-ca-keys");
        }
        if access.user.is_some() {
            store.user.clone_from(&access.user);
        }
        Ok(store)
    }
}

fn read(path: &Path) -> Result<Option<String>, String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("it can't be read: {error}")),
    }
}
