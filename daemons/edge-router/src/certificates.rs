//! Certificates: what [`convoy_acme`] is told, and the names that it orders for.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use convoy_acme::{Sealing, SecretError};
use convoy_config::ConfigError;
use convoy_keys::CertificateName;
use convoy_routing::Table;

use crate::settings::Settings;

/// The credential with the secret that seals private keys in the store.
const SECRET: &str = "acme-secret";
/// Where the unit has it from. Outside of the unit, as in a check by hand, it is looked for there.
const SECRET_OF_MACHINE: &str = "/etc/convoy/acme-secret";

/// What the certificates of this router are made from. `folder` is where files are, if anybody asks for them.
pub(crate) fn settings(
    settings: &Settings,
    folder: Option<PathBuf>,
) -> Result<convoy_acme::Settings, ConfigError> {
    let mut own = convoy_acme::Settings::new(settings.consumer.clone());
    own.folder = folder;
    own.cache = settings.state_dir.as_ref().map(|folder| folder.join("certificates.json"));
    if settings.routes.is_some() && settings.orders.is_some() {
        tracing::info!(
            "no certificates are ordered with --routes, since other edges are met in the store only"
        );
    } else {
        own.orders.clone_from(&settings.orders);
    }
    let handed_over = settings.credentials.as_ref().map(|folder| folder.join(SECRET));
    let secret = handed_over.or_else(|| own.orders.is_some().then(|| PathBuf::from(SECRET_OF_MACHINE)));
    own.sealing = secret.as_deref().map_or(Ok(None), sealing)?;
    Ok(own)
}

/// The secret, where there is one: the unit hands over a remark when the machine has none.
fn sealing(path: &Path) -> Result<Option<Arc<Sealing>>, ConfigError> {
    match Sealing::read(path) {
        Ok(sealing) => Ok(Some(Arc::new(sealing))),
        Err(SecretError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(SecretError::Nothing { .. }) => Ok(None),
        Err(error) => Err(ConfigError::value("LoadCredential=acme-secret", error.to_string())),
    }
}

/// The names that have a route. Patterns that no certificate can have, and bare names of apps, are none.
pub(crate) fn wanted(table: &Table) -> BTreeSet<CertificateName> {
    table.hosts().filter_map(|host| CertificateName::parse(&host.to_string()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use convoy_routing::{Domain, Routes};

    use super::*;

    #[test]
    fn names_with_a_route_are_wanted_as_far_as_a_certificate_can_have_them() {
        let mut routes = Routes::new();
        routes.put("/services/shop/lb/1", b"10.0.0.1:80", 1, 0);
        let document = br#"{"host": ["Shop.example", "*.shop.example", "**.b.example", "*", "127.0.0.1", "a_b.example"]}"#;
        routes.put("/convoy/routes/shop", document, 1, 0);
        let table = Table::empty([Domain::parse("d.example").unwrap()].into()).next(&routes, 1);
        let wanted = wanted(&table);
        let names: Vec<_> = wanted.iter().map(CertificateName::as_str).collect();
        assert_eq!(names, ["*.shop.example", "shop.d.example", "shop.example"]);
    }

    #[test]
    fn a_machine_without_a_secret_is_as_good_as_any_and_a_wrong_one_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(SECRET);
        assert!(sealing(&file).unwrap().is_none());
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        write("# none\n");
        assert!(sealing(&file).unwrap().is_none());
        write("AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n");
        assert!(sealing(&file).unwrap().is_some());
        write("password\n");
        let error = sealing(&file).unwrap_err().to_string();
        assert!(
            error.contains("acme-secret, line 1") && error.contains("openssl rand -base64 32"),
            "{error}"
        );
    }
}
