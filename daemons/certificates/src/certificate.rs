//! A chain of certificates and the key of the first of them.

use std::sync::Arc;

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Why a text is no certificate that could be served.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// The text is not PEM, or has nothing in it.
    #[error("there is no certificate in it; it has to be PEM, the server's own certificate first")]
    NoChain,
    /// The same for the key.
    #[error("there is no private key in it; it has to be PEM, without a password")]
    NoKey,
    /// A key that can't be used.
    #[error("the private key can't be used: {0}")]
    Key(rustls::Error),
    /// Chain and key are not of one another.
    #[error("the private key is not the certificate's")]
    Mismatch,
    /// No X.509.
    #[error("the certificate can't be read: {0}")]
    X509(String),
    /// Not for any host.
    #[error("the certificate names no host (it has no subjectAltName)")]
    NoName,
}

/// A certificate that can be served.
#[derive(Debug)]
pub struct Certificate {
    /// For rustls.
    pub(crate) key: Arc<CertifiedKey>,
    /// `a.example`, `*.a.example`; in lower case.
    names: Vec<String>,
    not_after: i64,
}

impl Certificate {
    /// Parses a chain and a key; both may stand in one text. `ocsp` is a response of the authority, in DER, to be handed
    /// out with it.
    pub fn parse(chain: &[u8], key: &[u8], ocsp: Option<Vec<u8>>) -> Result<Self, CertificateError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|_| CertificateError::NoChain)?;
        let first = chain.first().ok_or(CertificateError::NoChain)?;
        let (names, not_after) = facts(first)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| CertificateError::NoKey)?;
        let key = any_supported_type(&key).map_err(CertificateError::Key)?;
        let mut certified = CertifiedKey::new(chain, key);
        // An unknown answer is no mismatch: some keys can't tell.
        if let Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) =
            certified.keys_match()
        {
            return Err(CertificateError::Mismatch);
        }
        certified.ocsp = ocsp.filter(|response| !response.is_empty());
        Ok(Self { key: Arc::new(certified), names, not_after })
    }

    /// The hosts that it is for.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Unix time until which it is valid.
    pub fn not_after(&self) -> i64 {
        self.not_after
    }
}

fn facts(certificate: &CertificateDer<'_>) -> Result<(Vec<String>, i64), CertificateError> {
    let (_, parsed) =
        X509Certificate::from_der(certificate).map_err(|error| CertificateError::X509(error.to_string()))?;
    let alternatives =
        parsed.subject_alternative_name().map_err(|error| CertificateError::X509(error.to_string()))?;
    let names: Vec<_> = alternatives
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.trim_end_matches('.').to_ascii_lowercase()),
            _ => None,
        })
        .collect();
    if names.is_empty() {
        return Err(CertificateError::NoName);
    }
    Ok((names, parsed.validity().not_after.timestamp()))
}

#[cfg(test)]
pub(crate) mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    /// Chain and key in one text.
    pub(crate) fn pem(names: &[&str], year: i32) -> String {
        let key = KeyPair::generate().unwrap();
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.not_after = date_time_ymd(year, 1, 1);
        params.self_signed(&key).unwrap().pem() + &key.serialize_pem()
    }

    pub(crate) fn certificate(names: &[&str], year: i32) -> Certificate {
        let pem = pem(names, year);
        Certificate::parse(pem.as_bytes(), pem.as_bytes(), None).unwrap()
    }

    #[test]
    fn a_certificate_tells_its_names_and_its_end() {
        let certificate = certificate(&["A.example", "*.a.example"], 2040);
        assert_eq!(certificate.names(), ["a.example", "*.a.example"]);
        assert_eq!(certificate.not_after(), 2_208_988_800);
    }

    #[test]
    fn what_can_not_be_served_is_refused() {
        let (one, two) = (pem(&["a.example"], 2040), pem(&["a.example"], 2040));
        let nameless = pem(&[], 2040);
        for (chain, key, expected) in [
            ("", &*one, "there is no certificate"),
            (&*one, "", "there is no private key"),
            (&*one, &*two, "not the certificate's"),
            (&*nameless, &*nameless, "names no host"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &*one, "can't be read"),
        ] {
            let error = Certificate::parse(chain.as_bytes(), key.as_bytes(), None).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
