//! What is written down about a cluster, so that another process can go on with it.

use std::fs;

use serde::{Deserialize, Serialize};

use crate::error::ClusterError;
use crate::layout::ClusterDir;

/// One cluster, as `cluster.json` has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) name: String,
    /// The base tree under all overlays.
    pub(crate) base: String,
    /// The folder with the image archive.
    pub(crate) images: String,
    /// Whether the machines boot from cloud-config.yaml.
    pub(crate) convoy: bool,
    pub(crate) machines: Vec<MachineRecord>,
}

/// One machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MachineRecord {
    /// From 1.
    pub(crate) index: u8,
    /// 32 hex digits, as in /etc/machine-id.
    pub(crate) machine_id: String,
    /// Whether the machine has a host nginx.
    pub(crate) nginx: bool,
}

impl Record {
    pub(crate) fn save(&self, dir: &ClusterDir) -> Result<(), ClusterError> {
        let path = dir.record();
        let text = serde_json::to_vec_pretty(self).map_err(|source| ClusterError::File {
            doing: "write",
            path: path.clone(),
            source: source.into(),
        })?;
        fs::write(&path, text).map_err(ClusterError::file("write", &path))
    }

    pub(crate) fn load(dir: &ClusterDir) -> Result<Record, ClusterError> {
        let path = dir.record();
        let text = fs::read(&path).map_err(ClusterError::file("read", &path))?;
        serde_json::from_slice(&text).map_err(|source| ClusterError::File {
            doing: "read",
            path,
            source: source.into(),
        })
    }
}
