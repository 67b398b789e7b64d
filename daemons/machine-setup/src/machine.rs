//! `[machine]`, and who the machine is.

use std::fmt;
use std::net::Ipv4Addr;

use convoy_config::{ConfigError, merge_options};
use serde::Deserialize;

use crate::choose::{Addresses, Pair};

/// The table as written.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineFragment {
    /// Other machines of the cluster reach this one here.
    pub private_ipv4: Option<String>,
    /// Clients reach this machine here.
    pub public_ipv4: Option<String>,
}

merge_options!(MachineFragment { private_ipv4, public_ipv4 });

impl MachineFragment {
    pub(crate) fn addresses(&self) -> Result<Pair, ConfigError> {
        let parse = |key: &str, value: &Option<String>| {
            let Some(text) = value else { return Ok(None) };
            let address: Option<Ipv4Addr> = text.parse().ok();
            let usable = address.filter(|ip| !ip.is_unspecified() && !ip.is_loopback() && !ip.is_multicast());
            usable.map(Some).ok_or_else(|| {
                ConfigError::value(
                    format!("[machine] {key}"),
                    format!("{text:?}: write an address of this machine, such as \"10.0.0.5\""),
                )
            })
        };
        Ok((parse("private_ipv4", &self.private_ipv4)?, parse("public_ipv4", &self.public_ipv4)?))
    }
}

/// The content of /etc/machine-id: 32 hex digits in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineId(String);

impl MachineId {
    /// Reads the file's text; the line's end is not part of it.
    pub fn parse(text: &str) -> Option<MachineId> {
        let text = text.trim_end();
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (text.len() == 32 && text.bytes().all(hex)).then(|| MachineId(text.to_owned()))
    }
}

impl fmt::Display for MachineId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A host name: letters, digits, dots and dashes, at most 64 (`HOST_NAME_MAX` of Linux).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName(String);

impl HostName {
    /// Reads what the kernel says; the line's end is not part of it.
    pub fn parse(text: &str) -> Option<HostName> {
        let text = text.trim_end();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
        ((1..=64).contains(&text.len()) && text.bytes().all(plain)).then(|| HostName(text.to_owned()))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What the machine knows about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Stays the same over boots.
    pub id: MachineId,
    /// The kernel's host name.
    pub host_name: HostName,
    /// Where it can be reached.
    pub addresses: Addresses,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_that_would_break_an_environment_file_are_refused() {
        assert!(MachineId::parse("0123456789abcdef0123456789abcdef\n").is_some());
        for bad in
            ["", "uninitialized", "0123456789ABCDEF0123456789ABCDEF", "0123456789abcdef0123456789abcde\nX=1"]
        {
            assert_eq!(MachineId::parse(bad), None, "{bad:?}");
        }
        assert!(HostName::parse("core-1.example.org\n").is_some());
        for bad in ["", "a b", "a\nB=1", "$(x)", "ä", &"a".repeat(65)] {
            assert_eq!(HostName::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn configured_addresses_are_checked() {
        let fragment =
            |private: &str| MachineFragment { private_ipv4: Some(private.into()), public_ipv4: None };
        assert_eq!(fragment("10.0.0.5").addresses().unwrap(), (Some(Ipv4Addr::new(10, 0, 0, 5)), None));
        for bad in ["", "fd00::1", "0.0.0.0", "127.0.0.1", "224.0.0.1", "10.0.0.5/24"] {
            let error = fragment(bad).addresses().unwrap_err().to_string();
            assert!(error.starts_with("[machine] private_ipv4: "), "{error}");
        }
    }
}
