//! Environment files: `KEY=value` a line, as /etc/environment and Flatcar's metadata service write them.

use std::net::Ipv4Addr;
use std::path::Path;

use crate::error::SetupError;

/// A variable with the line that sets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Line, counted from 1.
    pub line: usize,
    /// The name.
    pub key: String,
    /// The value, without the quotes around it.
    pub value: String,
}

/// How providers' metadata name the private address, after `COREOS_<PROVIDER>` or `AFTERBURN_<PROVIDER>`.
const PRIVATE: [&str; 5] =
    ["_IPV4_PRIVATE_0", "_IPV4_LOCAL", "_IP_LOCAL_0", "_IPV4_DYNAMIC", "_PRIVATE_IPV4"];
/// The same for the public address.
const PUBLIC: [&str; 5] =
    ["_IPV4_PUBLIC_0", "_IPV4_PUBLIC", "_IP_EXTERNAL_0", "_IPV4_VIRTUAL", "_PUBLIC_IPV4"];

/// All variables of the text. Comments, blank lines, `export` and lines of another form are passed over: the file
/// belongs to the operating system, and only the variables that are asked for have to make sense.
pub fn parse_environment(text: &str) -> Vec<Variable> {
    let variable = |(index, line): (usize, &str)| {
        let line = line.trim().trim_start_matches("export ");
        let (key, value) = line.split_once('=')?;
        let is_name = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        is_name.then(|| Variable {
            line: index + 1,
            key: key.to_owned(),
            value: unquote(value.trim()).to_owned(),
        })
    };
    text.lines().enumerate().filter_map(variable).collect()
}

/// The address that `key` sets. An empty value counts as none: coreos-cloudinit writes such.
pub(crate) fn named(path: &Path, all: &[Variable], key: &str) -> Result<Option<Ipv4Addr>, SetupError> {
    let last = all.iter().rev().find(|variable| variable.key == key && !variable.value.is_empty());
    last.map(|variable| address(path, variable)).transpose()
}

/// The private address in a provider's metadata.
pub(crate) fn provider_private(path: &Path, all: &[Variable]) -> Result<Option<Ipv4Addr>, SetupError> {
    provider(path, all, &PRIVATE)
}

/// The public address in a provider's metadata.
pub(crate) fn provider_public(path: &Path, all: &[Variable]) -> Result<Option<Ipv4Addr>, SetupError> {
    provider(path, all, &PUBLIC)
}

fn provider(path: &Path, all: &[Variable], suffixes: &[&str]) -> Result<Option<Ipv4Addr>, SetupError> {
    let is_metadata = |key: &str| key.starts_with("COREOS_") || key.starts_with("AFTERBURN_");
    let wanted = |variable: &&Variable| {
        !variable.value.is_empty()
            && is_metadata(&variable.key)
            && suffixes.iter().any(|suffix| variable.key.ends_with(suffix))
    };
    all.iter().find(wanted).map(|variable| address(path, variable)).transpose()
}

fn address(path: &Path, variable: &Variable) -> Result<Ipv4Addr, SetupError> {
    variable.value.parse().map_err(|_| SetupError::Line {
        path: path.to_owned(),
        line: variable.line,
        message: format!("{} is {:?}; write an IPv4 address, such as 10.0.0.5", variable.key, variable.value),
    })
}

fn unquote(value: &str) -> &str {
    let inner = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn private_of(text: &str) -> Result<Option<Ipv4Addr>, SetupError> {
        provider_private(Path::new("/run/metadata/flatcar"), &parse_environment(text))
    }

    #[test]
    fn providers_name_the_private_address_in_many_ways() {
        for line in [
            "COREOS_DIGITALOCEAN_IPV4_PRIVATE_0=10.1.2.3",
            "COREOS_EC2_IPV4_LOCAL=10.1.2.3",
            "COREOS_GCE_IP_LOCAL_0=10.1.2.3",
            "COREOS_AZURE_IPV4_DYNAMIC=10.1.2.3",
            "COREOS_OPENSTACK_IPV4_LOCAL=10.1.2.3",
            "COREOS_VAGRANT_VIRTUALBOX_PRIVATE_IPV4=10.1.2.3",
            "AFTERBURN_AWS_IPV4_LOCAL=10.1.2.3",
            "AFTERBURN_HETZNER_PRIVATE_IPV4_0=\nAFTERBURN_EXOSCALE_IPV4_LOCAL='10.1.2.3'",
            "export COREOS_PACKET_IPV4_PRIVATE_0=\"10.1.2.3\"",
        ] {
            assert_eq!(private_of(line).unwrap(), Some(Ipv4Addr::new(10, 1, 2, 3)), "{line}");
        }
        assert_eq!(private_of("COREOS_EC2_HOSTNAME=x\nOTHER_IPV4_LOCAL=10.1.2.3\n").unwrap(), None);
    }

    #[test]
    fn an_address_that_is_none_names_file_and_line() {
        let error = private_of("# comment\nCOREOS_EC2_IPV4_LOCAL=10.1.2\n").unwrap_err().to_string();
        assert_eq!(
            error,
            "/run/metadata/flatcar:2: COREOS_EC2_IPV4_LOCAL is \"10.1.2\"; write an IPv4 address, such as 10.0.0.5"
        );
    }

    #[test]
    fn the_last_setting_counts_and_an_empty_one_does_not() {
        let all = parse_environment("A=10.0.0.1\nA=10.0.0.2\nA=\n");
        assert_eq!(named(Path::new("x"), &all, "A").unwrap(), Some(Ipv4Addr::new(10, 0, 0, 2)));
        assert_eq!(named(Path::new("x"), &all, "B").unwrap(), None);
    }

    proptest! {
        #[test]
        fn no_text_panics_and_keys_are_names(text in "\\PC{0,80}(\\n\\PC{0,80}){0,5}") {
            for variable in parse_environment(&text) {
                prop_assert!(variable.key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
                prop_assert!(variable.line <= text.lines().count());
            }
        }
    }
}
