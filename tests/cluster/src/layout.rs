//! The folder with everything in it, and the names inside.

use std::path::{Path, PathBuf};

/// Where base trees, images and clusters are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir {
    root: PathBuf,
}

impl StateDir {
    /// `CONVOY_CLUSTER_DIR`, or `/var/tmp/convoy-cluster`.
    pub fn from_environment() -> StateDir {
        let root = std::env::var_os("CONVOY_CLUSTER_DIR").filter(|value| !value.is_empty());
        StateDir { root: root.map_or_else(|| PathBuf::from("/var/tmp/convoy-cluster"), PathBuf::from) }
    }

    /// A folder of one's own.
    pub fn new(root: impl Into<PathBuf>) -> StateDir {
        StateDir { root: root.into() }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.root
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    pub(crate) fn clusters(&self) -> PathBuf {
        self.root.join("clusters")
    }

    pub(crate) fn cluster(&self, name: &str) -> ClusterDir {
        ClusterDir { root: self.clusters().join(name) }
    }

    pub(crate) fn lock_file(&self, what: &str) -> PathBuf {
        self.root.join(format!("{what}.lock"))
    }
}

/// The folder of one cluster.
#[derive(Debug, Clone)]
pub(crate) struct ClusterDir {
    root: PathBuf,
}

impl ClusterDir {
    pub(crate) fn path(&self) -> &Path {
        &self.root
    }

    /// The cluster's network namespace, kept alive by a bind mount.
    pub(crate) fn network(&self) -> PathBuf {
        self.root.join("network")
    }

    /// What every machine sees, read-only, at [`crate::nspawn::SHARE`]: the release.
    pub(crate) fn share(&self) -> PathBuf {
        self.root.join("share")
    }

    pub(crate) fn record(&self) -> PathBuf {
        self.root.join("cluster.json")
    }

    pub(crate) fn machine(&self, name: &str) -> MachineDir {
        MachineDir { root: self.root.join(name) }
    }
}

/// The folder of one machine.
#[derive(Debug, Clone)]
pub(crate) struct MachineDir {
    root: PathBuf,
}

impl MachineDir {
    pub(crate) fn upper(&self) -> PathBuf {
        self.root.join("upper")
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// The machine's file system: the overlay on the base tree.
    pub(crate) fn tree(&self) -> PathBuf {
        self.root.join("tree")
    }

    /// Docker's storage; on the host's file system, because overlays don't stack.
    pub(crate) fn docker(&self) -> PathBuf {
        self.root.join("docker")
    }

    /// Podman's storage, likewise.
    pub(crate) fn containers(&self) -> PathBuf {
        self.root.join("containers")
    }

    pub(crate) fn network(&self) -> PathBuf {
        self.root.join("network")
    }

    pub(crate) fn console(&self) -> PathBuf {
        self.root.join("console.log")
    }

    /// The process id of nspawn, written by the launching shell.
    pub(crate) fn pid(&self) -> PathBuf {
        self.root.join("pid")
    }
}
