//! Handshakes in memory: what a client gets for what it asks.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::HashMap;
use std::sync::Arc;

use convoy_certificates::{ACME_TLS_ALPN, Certificate, Certificates, Proof, Resolver, server_config};
use rcgen::{CertificateParams, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, ServerConnection, SignatureScheme,
};

/// Looks at nothing: what was shown is looked at afterwards.
#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// What the server shows, and the protocol agreed on.
fn shake(resolver: &Arc<Resolver>, name: &str, alpn: &[&[u8]]) -> Result<(Vec<u8>, Option<Vec<u8>>), Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name)?;
    let mut server = ServerConnection::new(Arc::new(server_config(Arc::clone(resolver))?))?;
    for _ in 0..10 {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        server.read_tls(&mut &*bytes).unwrap();
        server.process_new_packets()?;
        bytes.clear();
        server.write_tls(&mut bytes).unwrap();
        client.read_tls(&mut &*bytes).unwrap();
        client.process_new_packets()?;
        if !client.is_handshaking() && !server.is_handshaking() {
            break;
        }
    }
    let shown = client.peer_certificates().unwrap()[0].to_vec();
    Ok((shown, client.alpn_protocol().map(<[u8]>::to_vec)))
}

fn certificate(name: &str) -> Arc<Certificate> {
    let key = KeyPair::generate().unwrap();
    let pem = CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap().pem();
    Arc::new(Certificate::parse(pem.as_bytes(), key.serialize_pem().as_bytes(), None).unwrap())
}

#[test]
fn certificates_are_replaced_in_one_step() {
    let resolver = Arc::new(Resolver::default());
    assert!(shake(&resolver, "a.example", &[]).is_err(), "nobody has one");
    for _ in 0..2 {
        let next = certificate("a.example");
        resolver.publish(Certificates::new([Arc::clone(&next)]));
        assert_eq!(shake(&resolver, "A.Example", &[b"h2"]).unwrap().0, next.leaf().unwrap().to_vec());
    }
}

#[test]
fn only_an_authority_gets_a_proof_and_only_of_a_name_that_is_being_proved() {
    let resolver = Arc::new(Resolver::default());
    let own = certificate("a.example");
    resolver.publish(Certificates::new([Arc::clone(&own)]));
    let own = own.leaf().unwrap().to_vec();
    assert!(shake(&resolver, "a.example", &[ACME_TLS_ALPN]).is_err(), "nothing to prove");
    let proof = Proof::new("a.example", &[1; 32]).unwrap();
    resolver.publish_proofs(HashMap::from([("a.example".to_owned(), proof)]));
    let (shown, protocol) = shake(&resolver, "a.example", &[ACME_TLS_ALPN]).unwrap();
    assert_ne!(shown, own);
    assert_eq!(protocol.as_deref(), Some(ACME_TLS_ALPN));
    assert!(shake(&resolver, "b.example", &[ACME_TLS_ALPN]).is_err());
    for alpn in [&[&b"h2"[..], &b"http/1.1"[..]][..], &[&b"http/1.1"[..], ACME_TLS_ALPN][..], &[][..]] {
        assert_eq!(shake(&resolver, "a.example", alpn).unwrap().0, own, "{alpn:?}");
    }
    assert_eq!(resolver.proved(), 1);
}
