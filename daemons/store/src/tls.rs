//! Certificates, read from files for each new connection.

use std::path::Path;

use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use crate::{StoreError, TlsSettings, settings::settings_error};

/// Reads the files and builds the configuration (rustls with ring).
pub(crate) fn configure(settings: &TlsSettings) -> Result<ClientTlsConfig, StoreError> {
    let mut config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read("ca", &settings.ca)?));
    match (&settings.cert, &settings.key) {
        (Some(cert), Some(key)) => {
            config = config.identity(Identity::from_pem(read("cert", cert)?, read("key", key)?));
        }
        (None, None) => {}
        (Some(_), None) => return Err(settings_error("key", "`cert` needs its `key`")),
        (None, Some(_)) => return Err(settings_error("cert", "`key` needs its `cert`")),
    }
    if let Some(name) = &settings.server_name {
        config = config.domain_name(name);
    }
    Ok(config)
}

/// The files are small and local, and read only when a connection is made: no worth a thread pool.
fn read(name: &str, path: &Path) -> Result<Vec<u8>, StoreError> {
    std::fs::read(path)
        .map_err(|error| settings_error(format!("{name} {}", path.display()), error.to_string()))
}
