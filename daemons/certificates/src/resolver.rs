//! Certificates that are replaced while connections come in.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{Error, ServerConfig};

use crate::Certificates;

/// What rustls asks for each connection.
#[derive(Debug, Default)]
pub struct Resolver(ArcSwap<Certificates>);

impl Resolver {
    /// From now on these.
    pub fn publish(&self, certificates: Certificates) {
        self.0.store(Arc::new(certificates));
    }

    /// Those that are served.
    pub fn certificates(&self) -> Arc<Certificates> {
        self.0.load_full()
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let certificates = self.0.load();
        let name = hello.server_name().map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        certificates.find_any(name.as_deref()).map(|certificate| Arc::clone(&certificate.key))
    }
}

/// TLS 1.2 and 1.3 with ring, HTTP/2 and HTTP/1.1, and tickets, so that a client that comes back is spared half of the
/// handshake, whichever thread it meets.
pub fn server_config(resolver: Arc<Resolver>) -> Result<ServerConfig, Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = ring::Ticketer::new()?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::tests::certificate;

    #[test]
    fn certificates_are_replaced_in_one_step() {
        let resolver = Arc::new(Resolver::default());
        assert_eq!(resolver.certificates().count(), 0);
        resolver.publish(Certificates::new([Arc::new(certificate(&["a.example"], 2040))]));
        assert!(resolver.certificates().find("a.example").is_some());
        assert_eq!(server_config(resolver).unwrap().alpn_protocols.len(), 2);
    }
}
