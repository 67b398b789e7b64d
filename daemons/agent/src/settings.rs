//! Settings of the agent: the table `[agent]`.

use std::collections::BTreeMap;
use std::time::Duration;

use convoy_config::{ConfigError, Merge, SearchPath, Span, load};
use serde::Deserialize;

/// Long enough for a store that elects a leader, short enough for a failover in seconds.
const TTL: Duration = Duration::from_secs(5);
/// etcd grants no less by default.
const SHORTEST_TTL: Duration = Duration::from_secs(2);
const LONGEST_TTL: Duration = Duration::from_secs(300);

/// The table as written.
#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fragment {
    ttl: Option<Span>,
    metadata: Option<BTreeMap<String, String>>,
}

impl Merge for Fragment {
    fn merge(&mut self, later: Self) {
        self.ttl = later.ttl.or(self.ttl);
        // Key by key: one file may say where the machine is, another what it is for.
        if let Some(metadata) = later.metadata {
            self.metadata.get_or_insert_default().extend(metadata);
        }
    }
}

/// What the agent works by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How long the machine counts as present after its last sign of life. The schedulers have to know it too: it is
    /// the same on every machine.
    pub ttl: Duration,
    /// What `MachineMetadata=` is compared with.
    pub metadata: BTreeMap<String, String>,
}

impl Settings {
    /// Reads and checks the table.
    pub fn read(path: &SearchPath) -> Result<Self, ConfigError> {
        let fragment: Fragment = load("agent", path)?;
        let ttl = fragment.ttl.map_or(TTL, |span| span.0);
        if !(SHORTEST_TTL..=LONGEST_TTL).contains(&ttl) {
            return Err(ConfigError::value("[agent] ttl", "write a time from 2s to 5min"));
        }
        let metadata = fragment.metadata.unwrap_or_default();
        for (key, value) in &metadata {
            let fits = |text: &str| {
                (1..=255).contains(&text.len())
                    && !text.chars().any(|c| c.is_control() || c == '=' || c == ',')
            };
            if !fits(key) || !fits(value) {
                return Err(ConfigError::value(
                    "[agent] metadata",
                    format!(
                        "{key:?} = {value:?} can't be asked for; use 1 to 255 characters without = and ,"
                    ),
                ));
            }
        }
        Ok(Self { ttl, metadata })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[&str]) -> Result<Settings, String> {
        let folder = tempfile::tempdir().unwrap();
        for (number, text) in files.iter().enumerate() {
            std::fs::write(folder.path().join(format!("{number}.toml")), text).unwrap();
        }
        Settings::read(&SearchPath::new([folder.path().to_owned()])).map_err(|error| error.to_string())
    }

    #[test]
    fn metadata_of_several_files_is_laid_together() {
        let settings = read(&[
            "[agent]\nmetadata = { zone = \"a\", disk = \"hdd\" }\n",
            "[agent]\nttl = \"10s\"\nmetadata = { disk = \"ssd\" }\n",
        ])
        .unwrap();
        assert_eq!(settings.ttl, Duration::from_secs(10));
        assert_eq!(
            settings.metadata,
            [("disk", "ssd"), ("zone", "a")].map(|(k, v)| (k.into(), v.into())).into()
        );
        assert_eq!(read(&[]).unwrap().ttl, TTL);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (file, word) in [
            ("[agent]\nttl = \"1s\"\n", "[agent] ttl"),
            ("[agent]\nttl = \"soon\"\n", "0.toml:2"),
            ("[agent]\nmetadata = { zone = \"\" }\n", "[agent] metadata"),
            ("[agent]\nmetadata = { \"a=b\" = \"c\" }\n", "[agent] metadata"),
            ("[agent]\nmetdata = 1\n", "0.toml:2"),
        ] {
            let error = read(&[file]).unwrap_err();
            assert!(error.contains(word), "{word}: {error}");
        }
    }
}
