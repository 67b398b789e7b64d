//! A chain of certificates and the key of the first of them.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Why a text is no certificate that could be served, and what to do about it.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// The text is not PEM, or has nothing in it.
    #[error("there is no certificate in it; it has to be PEM, the server's own certificate first")]
    NoChain,
    /// The same for the key.
    #[error("there is no private key in it; it has to be PEM, without a password")]
    NoKey,
    /// A key that can't be used.
    #[error("the private key can't be used: {0}; make one for ECDSA P-256 or RSA with 2048 bits or more")]
    Key(rustls::Error),
    /// Chain and key are not of one another.
    #[error("the private key is not the certificate's; put the pair there that was made together")]
    Mismatch,
    /// No X.509.
    #[error("the certificate can't be read: {0}; get it from the authority again")]
    X509(String),
    /// Not for any host.
    #[error("the certificate names no host; it needs a subjectAltName")]
    NoName,
}

/// A certificate that can be served.
#[derive(Debug)]
pub struct Certificate {
    /// For rustls.
    pub(crate) key: Arc<CertifiedKey>,
    facts: Facts,
}

#[derive(Debug)]
struct Facts {
    /// `a.example`, `*.a.example`; in lower case.
    names: Vec<String>,
    issuer: String,
    not_before: i64,
    not_after: i64,
}

/// Whether a certificate can be served at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Validity {
    /// Its time is over.
    Expired,
    /// Its time is to come.
    NotYet,
    /// Clients take it.
    Valid,
}

impl fmt::Display for Validity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "it has expired; renew it",
            Self::NotYet => "it is not valid yet; check this machine's clock",
            Self::Valid => "it is valid",
        })
    }
}

impl Certificate {
    /// Parses a chain and a key; both may stand in one text. `ocsp` is a response of the authority, in DER, to be handed
    /// out with it.
    pub fn parse(chain: &[u8], key: &[u8], ocsp: Option<Vec<u8>>) -> Result<Self, CertificateError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|_| CertificateError::NoChain)?;
        let facts = facts(chain.first().ok_or(CertificateError::NoChain)?)?;
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
        Ok(Self { key: Arc::new(certified), facts })
    }

    /// The hosts that it is for.
    pub fn names(&self) -> &[String] {
        &self.facts.names
    }

    /// Who signed it, for people: `CN=R11, O=Let's Encrypt, C=US`.
    pub fn issuer(&self) -> &str {
        &self.facts.issuer
    }

    /// Unix time from which it is valid.
    pub fn not_before(&self) -> i64 {
        self.facts.not_before
    }

    /// Unix time until which it is valid.
    pub fn not_after(&self) -> i64 {
        self.facts.not_after
    }

    /// The certificate itself, in DER, without the rest of its chain.
    pub fn leaf(&self) -> Option<&CertificateDer<'static>> {
        self.key.cert.first()
    }

    /// The authority's response that is handed out with it, in DER.
    pub fn ocsp(&self) -> Option<&[u8]> {
        self.key.ocsp.as_deref()
    }

    /// How it stands at a moment, in Unix time.
    pub fn validity(&self, now: i64) -> Validity {
        if now > self.facts.not_after {
            Validity::Expired
        } else if now < self.facts.not_before {
            Validity::NotYet
        } else {
            Validity::Valid
        }
    }
}

fn facts(certificate: &CertificateDer<'_>) -> Result<Facts, CertificateError> {
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
    let validity = parsed.validity();
    Ok(Facts {
        names,
        issuer: parsed.issuer().to_string().chars().filter(|letter| !letter.is_control()).collect(),
        not_before: validity.not_before.timestamp(),
        not_after: validity.not_after.timestamp(),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    /// Chain and key in one text, valid for these years.
    pub(crate) fn pem(names: &[&str], years: (i32, i32)) -> String {
        let key = KeyPair::generate().unwrap();
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.not_before = date_time_ymd(years.0, 1, 1);
        params.not_after = date_time_ymd(years.1, 1, 1);
        params.self_signed(&key).unwrap().pem() + &key.serialize_pem()
    }

    pub(crate) fn certificate(names: &[&str], years: (i32, i32)) -> Arc<Certificate> {
        let pem = pem(names, years);
        Arc::new(Certificate::parse(pem.as_bytes(), pem.as_bytes(), None).unwrap())
    }

    #[test]
    fn a_certificate_tells_its_names_and_its_time() {
        let certificate = certificate(&["A.example", "*.a.example"], (2020, 2040));
        assert_eq!(certificate.names(), ["a.example", "*.a.example"]);
        assert_eq!((certificate.not_before(), certificate.not_after()), (1_577_836_800, 2_208_988_800));
        assert_eq!(certificate.issuer(), "CN=rcgen self signed cert");
        for (now, expected) in [
            (1_577_836_799, Validity::NotYet),
            (1_577_836_800, Validity::Valid),
            (2_208_988_800, Validity::Valid),
            (2_208_988_801, Validity::Expired),
        ] {
            assert_eq!(certificate.validity(now), expected, "{now}");
        }
    }

    #[test]
    fn what_can_not_be_served_is_refused_with_what_to_do() {
        let years = (2020, 2040);
        let (one, two) = (pem(&["a.example"], years), pem(&["a.example"], years));
        let nameless = pem(&[], years);
        for (chain, key, expected) in [
            ("", &*one, "there is no certificate in it; it has to be PEM"),
            (&*one, "", "there is no private key in it; it has to be PEM"),
            (&*one, &*two, "not the certificate's; put the pair there"),
            (&*nameless, &*nameless, "names no host; it needs"),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                &*one,
                "get it from the authority",
            ),
        ] {
            let error = Certificate::parse(chain.as_bytes(), key.as_bytes(), None).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
