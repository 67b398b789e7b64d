//! `[cluster]`: who forms the etcd cluster.

use std::net::Ipv4Addr;

use convoy_config::{ConfigError, merge_options};
use serde::Deserialize;

/// The table as written.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterFragment {
    /// Private addresses of the machines that form the etcd cluster; the same list on every machine.
    pub seeds: Option<Vec<String>>,
    /// Tells this etcd cluster from any other.
    pub token: Option<String>,
}

merge_options!(ClusterFragment { seeds, token });

/// The table, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSettings {
    /// In the order of the file; empty when somebody else looks after etcd.
    pub seeds: Vec<Ipv4Addr>,
    /// 1 to 64 letters, digits, dots, dashes and underscores.
    pub token: String,
}

const LONGEST_TOKEN: usize = 64;
/// More members make etcd slower and not safer.
const MOST_SEEDS: usize = 7;

impl TryFrom<ClusterFragment> for ClusterSettings {
    type Error = ConfigError;

    fn try_from(fragment: ClusterFragment) -> Result<ClusterSettings, ConfigError> {
        let token = fragment.token.unwrap_or_else(|| "convoy".to_owned());
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if token.is_empty() || token.len() > LONGEST_TOKEN || !token.bytes().all(plain) {
            return Err(ConfigError::value(
                "[cluster] token",
                format!(
                    "{token:?}: write 1 to {LONGEST_TOKEN} letters, digits, dots, dashes and underscores"
                ),
            ));
        }
        let origin = "[cluster] seeds";
        let mut seeds: Vec<Ipv4Addr> = Vec::new();
        for text in fragment.seeds.unwrap_or_default() {
            let seed = text.parse().map_err(|_| {
                ConfigError::value(
                    origin,
                    format!("{text:?} is no IPv4 address; write one such as \"10.0.0.5\""),
                )
            })?;
            if seeds.contains(&seed) {
                return Err(ConfigError::value(origin, format!("{seed} is there twice; remove one")));
            }
            seeds.push(seed);
        }
        if seeds.len() > MOST_SEEDS {
            return Err(ConfigError::value(
                origin,
                format!("{} seeds; write three or five, the other machines join as clients", seeds.len()),
            ));
        }
        Ok(ClusterSettings { seeds, token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(seeds: &[&str], token: &str) -> Result<ClusterSettings, String> {
        let seeds = Some(seeds.iter().map(|seed| (*seed).to_owned()).collect());
        let fragment = ClusterFragment { seeds, token: Some(token.to_owned()) };
        ClusterSettings::try_from(fragment).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_addresses_in_their_order() {
        let found = settings(&["10.0.0.2", "10.0.0.1"], "t-1").unwrap();
        assert_eq!(found.seeds, [Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(10, 0, 0, 1)]);
    }

    #[test]
    fn every_refusal_names_the_key_and_what_to_write() {
        let long = "a".repeat(65);
        for (seeds, token, expected) in [
            (&["10.0.0"][..], "t", "[cluster] seeds: \"10.0.0\" is no IPv4 address"),
            (&["10.0.0.1", "10.0.0.1"][..], "t", "[cluster] seeds: 10.0.0.1 is there twice"),
            (&["1.1.1.1,--force"][..], "t", "[cluster] seeds: \"1.1.1.1,--force\" is no IPv4 address"),
            (&[][..], "", "[cluster] token: \"\""),
            (&[][..], "two words", "[cluster] token: \"two words\""),
            (&[][..], long.as_str(), "[cluster] token: "),
        ] {
            let error = settings(seeds, token).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
        let many: Vec<String> = (1..=8).map(|last| format!("10.0.0.{last}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(settings(&many, "t").unwrap_err().contains("8 seeds"));
    }

    #[test]
    fn nothing_written_means_no_etcd_of_ours() {
        let found = ClusterSettings::try_from(ClusterFragment::default()).unwrap();
        assert!(found.seeds.is_empty());
    }
}
