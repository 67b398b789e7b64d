//! What cluster to bring up.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::addressing::MAXIMUM;
use crate::error::ClusterError;
use crate::layout::StateDir;
use crate::progress::{Reporter, Silent};

/// What [`crate::Cluster::up`] brings up.
#[derive(Clone)]
pub struct UpOptions {
    /// The cluster's name: letters, digits and dashes, at most 20. A cluster of this name that exists is replaced.
    pub name: String,
    /// How many machines, 1 to 200. Three or more give an etcd cluster of three.
    pub machines: u8,
    /// Machines, counted from 1, that have no nginx of their own.
    pub without_nginx: BTreeSet<u8>,
    /// The release that the machines install (`make release` makes it). Without one the machines are plain Debian
    /// with Docker: no cloud-config is applied and etcd is not set up.
    pub release: Option<PathBuf>,
    /// The repository's cloud-config.yaml, or another.
    pub cloud_config: PathBuf,
    /// The domain below which the edge router serves apps.
    pub domain: String,
    /// Fragments of Convoy's configuration for every machine: file name in config.d, text.
    pub fragments: Vec<(String, String)>,
    /// Where everything is kept.
    pub state: StateDir,
    /// Who is told what happens.
    pub reporter: Arc<dyn Reporter>,
}

impl fmt::Debug for UpOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("UpOptions")
            .field("name", &self.name)
            .field("machines", &self.machines)
            .field("without_nginx", &self.without_nginx)
            .field("release", &self.release)
            .finish_non_exhaustive()
    }
}

impl Default for UpOptions {
    /// Four machines from the repository's cloud-config.yaml and no release.
    fn default() -> UpOptions {
        UpOptions {
            name: "default".to_owned(),
            machines: 4,
            without_nginx: BTreeSet::new(),
            release: None,
            cloud_config: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../cloud-config.yaml")),
            domain: "mywebsite.com".to_owned(),
            fragments: Vec::new(),
            state: StateDir::from_environment(),
            reporter: Arc::new(Silent),
        }
    }
}

impl UpOptions {
    pub(crate) fn check(&self) -> Result<(), ClusterError> {
        check_name(&self.name)?;
        if self.machines == 0 || self.machines > MAXIMUM {
            return Err(ClusterError::Unknown(format!(
                "a cluster has 1 to {MAXIMUM} machines, not {}",
                self.machines
            )));
        }
        match self.without_nginx.iter().find(|index| **index == 0 || **index > self.machines) {
            Some(index) => {
                Err(ClusterError::Unknown(format!("there is no machine {index} to be without nginx")))
            }
            None => Ok(()),
        }
    }
}

/// The name goes into folder, cgroup and machine names.
pub(crate) fn check_name(name: &str) -> Result<(), ClusterError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=20).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('-') {
        return Ok(());
    }
    Err(ClusterError::Unknown(format!(
        "cluster name {name:?}: 1 to 20 lower-case letters, digits and dashes"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_names_and_numbers_that_make_no_cluster() {
        let options = |change: fn(&mut UpOptions)| {
            let mut options = UpOptions::default();
            change(&mut options);
            options.check().is_ok()
        };
        assert!(options(|_| {}));
        assert!(options(|options| options.name = "demo-2".into()));
        assert!(!options(|options| options.name = "../etc".into()));
        assert!(!options(|options| options.name = "-v".into()));
        assert!(!options(|options| options.name = String::new()));
        assert!(!options(|options| options.machines = 0));
        assert!(options(|options| options.without_nginx = BTreeSet::from([4])));
        assert!(!options(|options| options.without_nginx = BTreeSet::from([5])));
    }
}
