//! Fills in what a user would fill in at the top of cloud-config.yaml, and nothing else.

use std::net::Ipv4Addr;

use crate::error::ClusterError;

/// The values to edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Values {
    /// Private addresses of the machines that form the etcd cluster.
    pub seeds: Vec<Ipv4Addr>,
    /// What tells this etcd cluster from any other.
    pub token: String,
    /// The domain below which the edge router serves apps.
    pub domain: String,
    /// Where the release is fetched from.
    pub release_url: String,
    /// Its SHA-256 in hex.
    pub release_sha256: String,
}

/// The document with these values in place of its own. Each key must be set on exactly one line.
pub fn fill_in(document: &str, values: &Values) -> Result<String, ClusterError> {
    let seeds: Vec<String> = values.seeds.iter().map(|seed| format!("\"{seed}\"")).collect();
    let settings = [
        ("seeds", format!("seeds = [{}]", seeds.join(", "))),
        ("token", format!("token = \"{}\"", values.token)),
        ("domains", format!("domains = [\"{}\"]", values.domain)),
        ("CONVOY_RELEASE_URL", format!("CONVOY_RELEASE_URL={}", values.release_url)),
        ("CONVOY_RELEASE_SHA256", format!("CONVOY_RELEASE_SHA256={}", values.release_sha256)),
    ];
    settings.iter().try_fold(document.to_owned(), |text, (key, line)| set(&text, key, line))
}

fn set(document: &str, key: &'static str, line: &str) -> Result<String, ClusterError> {
    let mut found = 0;
    let mut lines: Vec<String> = Vec::new();
    for old in document.lines() {
        if sets(old, key) {
            found += 1;
            let indent = old.len() - old.trim_start().len();
            lines.push(format!("{}{line}", " ".repeat(indent)));
        } else {
            lines.push(old.to_owned());
        }
    }
    if found == 1 { Ok(lines.join("\n") + "\n") } else { Err(ClusterError::CloudConfig { key, found }) }
}

fn sets(line: &str, key: &str) -> bool {
    line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "#cloud-config\n\
        # token = \"a comment\"\n\
        \x20   token = \"change me\"\n\
        \x20   seeds = []\n\
        \x20   domains = [\"example.org\"]\n\
        \x20   CONVOY_RELEASE_URL=\n\
        \x20   CONVOY_RELEASE_SHA256=\n\
        \x20   token_file = 1\n";

    fn values() -> Values {
        Values {
            seeds: vec![Ipv4Addr::new(10, 77, 0, 11), Ipv4Addr::new(10, 77, 0, 12)],
            token: "t1".into(),
            domain: "mywebsite.com".into(),
            release_url: "file:///srv/convoy.tar.gz".into(),
            release_sha256: "00ff".into(),
        }
    }

    #[test]
    fn edits_the_five_values_and_leaves_the_rest() {
        assert_eq!(
            fill_in(DOCUMENT, &values()).unwrap(),
            "#cloud-config\n\
             # token = \"a comment\"\n\
             \x20   token = \"t1\"\n\
             \x20   seeds = [\"10.77.0.11\", \"10.77.0.12\"]\n\
             \x20   domains = [\"mywebsite.com\"]\n\
             \x20   CONVOY_RELEASE_URL=file:///srv/convoy.tar.gz\n\
             \x20   CONVOY_RELEASE_SHA256=00ff\n\
             \x20   token_file = 1\n"
        );
    }

    #[test]
    fn fails_when_a_value_is_missing_or_there_twice() {
        for (document, key, found) in [
            (DOCUMENT.replace("seeds", "members"), "seeds", 0),
            (format!("{DOCUMENT}token = \"again\"\n"), "token", 2),
        ] {
            let error = fill_in(&document, &values()).unwrap_err();
            assert!(
                matches!(error, ClusterError::CloudConfig { key: k, found: f } if k == key && f == found),
                "{error}"
            );
        }
    }
}
