//! Certificates made on the spot: an authority, a server's and a client's.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

/// The PEM files of a cluster with TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificates {
    /// The authority that signed the others.
    pub ca: PathBuf,
    /// The members' certificate, for their address and for the name `etcd.convoy.test`.
    pub server_cert: PathBuf,
    /// Its key.
    pub server_key: PathBuf,
    /// A client's certificate, for the user `convoy`.
    pub client_cert: PathBuf,
    /// Its key.
    pub client_key: PathBuf,
}

impl Certificates {
    /// Makes a set in a directory, for a server at that address.
    pub fn make(directory: &Path, address: IpAddr) -> Result<Self> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        authority.distinguished_name.push(DnType::CommonName, "Convoy test authority");
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

        let files = Self {
            ca: directory.join("ca.pem"),
            server_cert: directory.join("server.pem"),
            server_key: directory.join("server.key"),
            client_cert: directory.join("client.pem"),
            client_key: directory.join("client.key"),
        };
        write(&files.ca, &authority.pem())?;
        // etcd also dials itself with the server's certificate.
        let server = (
            vec![address.to_string(), "etcd.convoy.test".to_owned()],
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        );
        let client = (Vec::new(), vec![ExtendedKeyUsagePurpose::ClientAuth]);
        for (name, (names, usages), certificate, key) in [
            ("etcd", server, &files.server_cert, &files.server_key),
            ("convoy", client, &files.client_cert, &files.client_key),
        ] {
            let mut params = CertificateParams::new(names)?;
            params.distinguished_name.push(DnType::CommonName, name);
            params.extended_key_usages = usages;
            let pair = KeyPair::generate()?;
            write(certificate, &params.signed_by(&pair, &authority)?.pem())?;
            write(key, &pair.serialize_pem())?;
        }
        Ok(files)
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
