//! Certificates that are replaced while connections come in.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{Error, ServerConfig};

use crate::{ACME_TLS_ALPN, Certificates, Proof};

/// What rustls asks for each connection.
#[derive(Debug, Default)]
pub struct Resolver {
    certificates: ArcSwap<Certificates>,
    /// By name; nearly always empty.
    proofs: ArcSwap<HashMap<String, Proof>>,
    proved: AtomicU64,
}

impl Resolver {
    /// From now on these.
    pub fn publish(&self, certificates: Certificates) {
        self.certificates.store(Arc::new(certificates));
    }

    /// Those that are served.
    pub fn certificates(&self) -> Arc<Certificates> {
        self.certificates.load_full()
    }

    /// From now on these names are proved to whoever asks for a proof.
    pub fn publish_proofs(&self, proofs: HashMap<String, Proof>) {
        self.proofs.store(Arc::new(proofs));
    }

    /// How often a proof was asked for and given.
    pub fn proved(&self) -> u64 {
        self.proved.load(Ordering::Relaxed)
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        if wants_proof(&hello) {
            let proof = self.proofs.load().get(name.as_deref()?)?.0.clone();
            self.proved.fetch_add(1, Ordering::Relaxed);
            return Some(proof);
        }
        let certificates = self.certificates.load();
        certificates.find_any(name.as_deref()).map(|certificate| Arc::clone(&certificate.key))
    }
}

/// An authority offers this one protocol; a client that offers it among others has no business with it.
fn wants_proof(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|mut offered| offered.next() == Some(ACME_TLS_ALPN) && offered.next().is_none())
}

/// TLS 1.2 and 1.3 with ring, HTTP/2 and HTTP/1.1, and tickets, so that a client that comes back is spared half of the
/// handshake, whichever thread it meets. A connection that agreed on [`ACME_TLS_ALPN`] has got what it wanted and is to be
/// closed.
pub fn server_config(resolver: Arc<Resolver>) -> Result<ServerConfig, Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec(), ACME_TLS_ALPN.to_vec()];
    // All suites are good ones; that a client could choose is still what scanners complain of.
    config.ignore_client_order = true;
    config.ticketer = ring::Ticketer::new()?;
    Ok(config)
}
