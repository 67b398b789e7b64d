//! Machines: who they are, what they say of themselves, what the operator says of them.

use std::{collections::BTreeMap, fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Record;

/// Why a text is no machine id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is not a machine id: 1 to 64 letters, digits, dots, dashes and underscores, as in /etc/machine-id"
)]
pub struct MachineIdError(String);

/// `/etc/machine-id` of a machine. Kept wide enough for what tests and dry runs call machines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MachineId(Box<str>);

impl MachineId {
    /// Parses an id.
    pub fn parse(text: &str) -> Result<Self, MachineIdError> {
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
            && !text.starts_with('.');
        if fits { Ok(Self(text.into())) } else { Err(MachineIdError(text.chars().take(80).collect())) }
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its first eight characters, as fleet's tables show it.
    pub fn short(&self) -> &str {
        self.0.get(..8).unwrap_or(&self.0)
    }
}

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for MachineId {
    type Err = MachineIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<String> for MachineId {
    type Error = MachineIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<MachineId> for String {
    fn from(id: MachineId) -> Self {
        id.0.into()
    }
}

/// Value of `/convoy/machines/<machine id>`, under the agent's lease: the machine is there as long as the key is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MachineRecord {
    /// Its host name.
    pub name: String,
    /// The address that other machines reach it at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The address that the world reaches it at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_address: Option<IpAddr>,
    /// What `MachineMetadata=` is compared with.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// Version of the agent.
    #[serde(default)]
    pub version: String,
    /// `/proc/sys/kernel/random/boot_id`: another one means that nothing of before runs any more.
    #[serde(default)]
    pub boot_id: String,
    /// Memory in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Thousandths of a processor: 2 processors are 2000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_millis: Option<u32>,
    /// The agent is being restarted or upgraded: what runs here goes on running, and the key's lease is long enough
    /// for it to come back. Nothing new is started here meanwhile.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub agent_restarts: bool,
}

impl Record for MachineRecord {
    const WHAT: &'static str = "a machine record";
}

/// What the operator wants of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MaintenanceMode {
    /// What runs there stays, nothing new comes.
    Cordon,
    /// What runs there goes elsewhere.
    Drain,
    /// It is about to be rebooted: while it is away, until `until`, its units wait for it.
    Reboot,
}

/// Value of `/convoy/maintenance/<machine id>`, without a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaintenanceRecord {
    /// What is wanted.
    pub mode: MaintenanceMode,
    /// Seconds since the epoch at which it was asked for.
    pub since: u64,
    /// Seconds since the epoch after which a reboot is no longer waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

impl Record for MaintenanceRecord {
    const WHAT: &'static str = "a maintenance record";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_safe_in_keys_and_paths() {
        for good in ["A", "m1", "0123456789abcdef0123456789abcdef", "a.b-c_d"] {
            assert_eq!(MachineId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "a/b", "..", ".", "a b", "ä", &"a".repeat(65)] {
            assert!(MachineId::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(MachineId::parse("0123456789abcdef").unwrap().short(), "01234567");
        assert_eq!(MachineId::parse("m1").unwrap().short(), "m1");
    }

    #[test]
    fn a_newer_record_is_understood() {
        let record = MachineRecord::parse(br#"{"name":"m1","metadata":{"zone":"a"},"novelty":1}"#).unwrap();
        assert_eq!(record.metadata["zone"], "a");
        assert_eq!(MachineRecord::parse(&record.to_json().unwrap()).unwrap(), record);
        assert!(MachineRecord::parse(b"{}").is_err());
        assert!(MachineRecord::parse(&vec![b' '; 17 * 1024]).is_err());
    }
}
