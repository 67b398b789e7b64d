//! The proof of TLS-ALPN-01 (RFC 8737): a certificate that says nothing but the answer to a challenge.

use std::sync::Arc;

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use thiserror::Error;

/// What an authority speaks when it wants a proof, and nothing else (RFC 8737, section 4).
pub const ACME_TLS_ALPN: &[u8] = b"acme-tls/1";

/// Why no proof could be made.
#[derive(Debug, Error)]
#[error("no proof can be made for {name}: {detail}")]
pub struct ProofError {
    name: String,
    detail: String,
}

/// Proves a name. Its key is made on the spot and means nothing to anybody.
#[derive(Debug, Clone)]
pub struct Proof(pub(crate) Arc<CertifiedKey>);

impl Proof {
    /// Makes the proof of a name. `digest` is the SHA-256 of the challenge's answer.
    pub fn new(name: &str, digest: &[u8; 32]) -> Result<Self, ProofError> {
        let wrong = |detail: String| ProofError { name: name.to_owned(), detail };
        let mut params =
            CertificateParams::new([name.to_owned()]).map_err(|error| wrong(error.to_string()))?;
        params.distinguished_name = DistinguishedName::new();
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let pair = KeyPair::generate().map_err(|error| wrong(error.to_string()))?;
        let certificate = params.self_signed(&pair).map_err(|error| wrong(error.to_string()))?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der()));
        let key = any_supported_type(&key).map_err(|error| wrong(error.to_string()))?;
        Ok(Self(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key))))
    }
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;

    #[test]
    fn a_proof_names_the_host_and_the_answer_and_must_be_understood() {
        let proof = Proof::new("a.example", &[7; 32]).unwrap();
        let (_, parsed) = X509Certificate::from_der(&proof.0.cert[0]).unwrap();
        let names = parsed.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names.len(), 1);
        // id-pe-acmeIdentifier: RFC 8737, section 3.
        let mut extensions = parsed.extensions().iter();
        let answer =
            extensions.find(|extension| extension.oid.to_id_string() == "1.3.6.1.5.5.7.1.31").unwrap();
        assert!(answer.critical);
        assert_eq!(answer.value, [&[4, 32][..], &[7; 32]].concat());
        assert!(Proof::new("b\u{fc}cher.example", &[7; 32]).is_err());
    }
}
