//! What is known about the load balancer apart from its configuration: a small file in the state directory.

use std::net::SocketAddr;

use convoy_keys::{Endpoint, InstanceName};
use convoy_lb_config::{Engine, Upstream};
use serde::{Deserialize, Serialize};

use crate::files::{FilesError, StateDir};

/// Which program balances, and how it is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The host's nginx.
    Host,
    /// A container of the image `nginx`.
    Container,
    /// The host's HAProxy.
    Haproxy,
}

impl Kind {
    /// The program.
    pub fn engine(self) -> Engine {
        match self {
            Self::Host | Self::Container => Engine::Nginx,
            Self::Haproxy => Engine::Haproxy,
        }
    }
}

/// Where the program listens and how it is run; chosen by `bootstrap`, before it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// How it is run.
    pub kind: Kind,
    /// The announced address.
    pub announce: SocketAddr,
    /// All addresses it listens on, the announced one first.
    pub listen: Vec<SocketAddr>,
}

/// What the last proved configuration was rendered from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Good {
    /// Its digest.
    pub digest: String,
    /// The store's revision it stands for; 0 when it was made without the store.
    pub revision: i64,
    /// Its upstreams: name and `ip:port`.
    pub upstreams: Vec<(String, String)>,
}

/// The file `record.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What bootstrap chose.
    pub target: Target,
    /// What was proved last.
    pub good: Option<Good>,
}

impl Good {
    /// The upstreams as types; what doesn't parse any more is left out.
    pub fn upstreams(&self) -> Vec<Upstream> {
        self.upstreams
            .iter()
            .filter_map(|(name, address)| {
                Some(Upstream {
                    name: InstanceName::parse(name).ok()?,
                    address: Endpoint::parse(address).ok()?,
                })
            })
            .collect()
    }

    /// The file's form of the upstreams.
    pub fn new(digest: &str, revision: i64, upstreams: &[Upstream]) -> Self {
        Self {
            digest: digest.to_owned(),
            revision,
            upstreams: upstreams.iter().map(|u| (u.name.to_string(), u.address.to_string())).collect(),
        }
    }
}

impl Record {
    /// The kind of load balancer whose record is in this directory, if there is one.
    pub fn kind(directory: &str) -> Option<Kind> {
        // The record's own name depends on no kind.
        let files = StateDir::new(directory, Engine::default());
        Some(Self::read(&files).ok()??.target.kind)
    }

    /// Reads the record; a damaged one counts as none, since everything in it can be found out again.
    pub fn read(files: &StateDir) -> Result<Option<Self>, FilesError> {
        let Some(text) = files.read(&files.record())? else { return Ok(None) };
        match serde_json::from_str(&text) {
            Ok(record) => Ok(Some(record)),
            Err(error) => {
                tracing::warn!(%error, path = %files.record().display(), "the record is damaged and is made anew");
                Ok(None)
            }
        }
    }

    /// Replaces the record.
    pub fn write(&self, files: &StateDir) -> Result<(), FilesError> {
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        files.replace(&files.record(), &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_and_a_damaged_one_counts_as_none() {
        let directory = tempfile::tempdir().unwrap();
        let files = StateDir::new(directory.path(), Engine::Nginx);
        assert_eq!(Record::read(&files).unwrap(), None);
        let upstreams = [Upstream {
            name: InstanceName::parse("1").unwrap(),
            address: Endpoint::parse("10.0.0.1:3000").unwrap(),
        }];
        let announce = "10.0.0.9:8080".parse().unwrap();
        let record = Record {
            target: Target { kind: Kind::Container, announce, listen: vec![announce] },
            good: Some(Good::new("abc", 7, &upstreams)),
        };
        record.write(&files).unwrap();
        let read = Record::read(&files).unwrap().unwrap();
        assert_eq!(read, record);
        assert_eq!(read.good.unwrap().upstreams(), upstreams);
        std::fs::write(files.record(), "{\"target\":").unwrap();
        assert_eq!(Record::read(&files).unwrap(), None);
    }
}
