//! The table `[etcd]`, which every daemon reads.

use std::path::PathBuf;

use serde::Deserialize;

use crate::{ConfigError, SearchPath, load, merge_options};

/// Overrides the endpoints of all files, as a list separated by commas.
const ENDPOINTS: &str = "CONVOY_ETCD_ENDPOINTS";
/// On every machine of a Convoy cluster a member, or a gateway to the members, answers here.
const LOCAL: &str = "http://127.0.0.1:2379";

/// The table as written.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EtcdFragment {
    /// URLs of the members.
    pub endpoints: Option<Vec<String>>,
    /// PEM file of the authority that signed the members' certificates.
    pub ca: Option<PathBuf>,
    /// PEM file of our certificate.
    pub cert: Option<PathBuf>,
    /// PEM file of its key.
    pub key: Option<PathBuf>,
    /// Name in the members' certificates, when it differs from the host in the URL.
    pub server_name: Option<String>,
    /// etcd user.
    pub user: Option<String>,
    /// File with that user's password on its first line.
    pub password_file: Option<PathBuf>,
}

merge_options!(EtcdFragment { endpoints, ca, cert, key, server_name, user, password_file });

/// How to reach the store: checked, but without a look at the files it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdInputs {
    /// URLs of the members, at least one.
    pub endpoints: Vec<String>,
    /// See [`EtcdFragment::ca`].
    pub ca: Option<PathBuf>,
    /// See [`EtcdFragment::cert`]; set together with the key.
    pub cert: Option<PathBuf>,
    /// See [`EtcdFragment::key`].
    pub key: Option<PathBuf>,
    /// See [`EtcdFragment::server_name`].
    pub server_name: Option<String>,
    /// See [`EtcdFragment::user`]; set together with the password file.
    pub user: Option<String>,
    /// See [`EtcdFragment::password_file`].
    pub password_file: Option<PathBuf>,
}

/// Reads `[etcd]`; the environment variable `CONVOY_ETCD_ENDPOINTS` wins over the files.
pub fn etcd_inputs(path: &SearchPath) -> Result<EtcdInputs, ConfigError> {
    resolve(load("etcd", path)?, std::env::var(ENDPOINTS).ok().as_deref())
}

fn resolve(fragment: EtcdFragment, variable: Option<&str>) -> Result<EtcdInputs, ConfigError> {
    let (origin, endpoints) = match variable.filter(|list| !list.trim().is_empty()) {
        Some(list) => (ENDPOINTS, list.split(',').map(|url| url.trim().to_owned()).collect()),
        None => ("[etcd] endpoints", fragment.endpoints.unwrap_or_else(|| vec![LOCAL.to_owned()])),
    };
    if endpoints.is_empty() {
        return Err(ConfigError::value(
            origin,
            format!("the list is empty; write at least one URL, such as {LOCAL}"),
        ));
    }
    if let Some(bad) = endpoints.iter().find(|url| !is_url(url)) {
        return Err(ConfigError::value(
            origin,
            format!("{bad:?} is no endpoint; write a URL such as {LOCAL}"),
        ));
    }
    if fragment.cert.is_some() != fragment.key.is_some() {
        return Err(ConfigError::value("[etcd] cert, key", "one is set without the other; set both or none"));
    }
    if fragment.user.is_some() != fragment.password_file.is_some() {
        return Err(ConfigError::value(
            "[etcd] user, password_file",
            "one is set without the other; set both or none",
        ));
    }
    Ok(EtcdInputs {
        endpoints,
        ca: fragment.ca,
        cert: fragment.cert,
        key: fragment.key,
        server_name: fragment.server_name,
        user: fragment.user,
        password_file: fragment.password_file,
    })
}

fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    rest.is_some_and(|rest| {
        !rest.is_empty() && rest.chars().all(|c| c.is_ascii_graphic() && !matches!(c, ',' | '"' | '@'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(endpoints: &[&str]) -> EtcdFragment {
        EtcdFragment {
            endpoints: Some(endpoints.iter().map(|&url| url.to_owned()).collect()),
            ..EtcdFragment::default()
        }
    }

    #[test]
    fn without_configuration_the_local_member_or_gateway_is_asked() {
        assert_eq!(resolve(EtcdFragment::default(), None).unwrap().endpoints, [LOCAL]);
    }

    #[test]
    fn the_environment_wins_over_files() {
        let inputs = resolve(fragment(&["http://10.0.0.1:2379"]), Some("http://a:1, http://b:2")).unwrap();
        assert_eq!(inputs.endpoints, ["http://a:1", "http://b:2"]);
        assert_eq!(resolve(fragment(&["http://10.0.0.1:2379"]), Some(" ")).unwrap().endpoints.len(), 1);
    }

    #[test]
    fn what_can_not_be_meant_is_refused() {
        assert!(resolve(fragment(&[]), None).is_err());
        assert!(resolve(fragment(&["10.0.0.1:2379"]), None).is_err());
        let half = EtcdFragment { cert: Some("c.pem".into()), ..EtcdFragment::default() };
        assert!(resolve(half, None).unwrap_err().to_string().contains("set both or none"));
    }
}
