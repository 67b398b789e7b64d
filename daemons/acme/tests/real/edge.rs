//! An edge: the library with what an edge router has around it.

use std::sync::Arc;
use std::time::Duration;

use convoy_acme::{Certificates, Settings, Status};
use convoy_certificates::{ACME_TLS_ALPN, server_config};
use convoy_store::Store;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, ServerConfig, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Far above what anything here takes; only a hang reaches it.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

/// Fails with a name instead of hanging.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(value) = timeout(BOUND, future).await else { panic!("{what} did not come within {BOUND:?}") };
    value
}

pub(crate) struct Edge {
    pub(crate) certificates: Certificates,
    tls: Arc<ServerConfig>,
}

impl Edge {
    pub(crate) fn start(settings: Settings, store: Option<Store>) -> Arc<Self> {
        let certificates = Certificates::start(settings, store).unwrap();
        let tls = Arc::new(server_config(certificates.resolver()).unwrap());
        Arc::new(Self { certificates, tls })
    }

    /// Speaks HTTP on a connection: answers to challenges, and nothing else.
    pub(crate) async fn http(&self, mut connection: impl AsyncRead + AsyncWrite + Unpin) {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if connection.read(&mut byte).await.unwrap_or(0) == 0 {
                return;
            }
            request.push(byte[0]);
        }
        let request = String::from_utf8(request).unwrap();
        let path = request.split(' ').nth(1).unwrap_or_default();
        let host = request.lines().find_map(|line| line.strip_prefix("Host: ")).unwrap_or_default();
        let token = path.strip_prefix("/.well-known/acme-challenge/");
        let answer = token.and_then(|token| self.certificates.http01().answer(host, token));
        let text = match answer {
            Some(body) => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
            None => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
        };
        // A client that went away is its own affair.
        let _ = connection.write_all(text.as_bytes()).await;
        let _ = connection.shutdown().await;
    }

    /// Speaks TLS on a connection; one that wanted a proof is closed then.
    pub(crate) async fn tls(&self, connection: impl AsyncRead + AsyncWrite + Unpin) {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.tls));
        if let Ok(mut connection) = acceptor.accept(connection).await
            && connection.get_ref().1.alpn_protocol() != Some(ACME_TLS_ALPN)
        {
            let _ = connection.write_all(b"hello").await;
            let _ = connection.shutdown().await;
        }
    }

    /// What a client of this edge is shown for a name.
    pub(crate) async fn shows(&self, name: &str) -> Option<Vec<u8>> {
        let (client, server) = tokio::io::duplex(64 * 1024);
        let ((), shown) = tokio::join!(self.tls(server), shown(client, name));
        shown
    }

    /// Waits until a client is shown a certificate that is for a name and that it accepts; gives that.
    pub(crate) async fn serves(&self, name: &str, accepts: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        self.serves_as(name, name, accepts).await
    }

    /// The same, with the name that is to stand in the certificate.
    pub(crate) async fn serves_as(&self, name: &str, own: &str, accepts: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let mut status = self.certificates.status();
        within(&format!("a certificate for {name}"), async {
            loop {
                status.borrow_and_update();
                if let Some(shown) = self.shows(name).await
                    && is_for(&shown, own)
                    && accepts(&shown)
                {
                    return shown;
                }
                status.changed().await.unwrap();
            }
        })
        .await
    }

    /// Waits for a status.
    pub(crate) async fn status(&self, what: &str, reached: impl Fn(&Status) -> bool) -> Arc<Status> {
        let mut status = self.certificates.status();
        let found = within(what, status.wait_for(|status| reached(status))).await.unwrap();
        Arc::clone(&found)
    }
}

/// A client that asks for a name nobody has is shown some certificate, too.
fn is_for(certificate: &[u8], name: &str) -> bool {
    let (_, parsed) = X509Certificate::from_der(certificate).unwrap();
    let names = parsed.subject_alternative_name().unwrap().unwrap();
    names.value.general_names.contains(&GeneralName::DNSName(name))
}

/// The certificate that is shown to a client who asks for a name, and believes anything.
async fn shown(connection: impl AsyncRead + AsyncWrite + Unpin, name: &str) -> Option<Vec<u8>> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything))
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connection = TlsConnector::from(Arc::new(config)).connect(name, connection).await.ok()?;
    Some(connection.get_ref().1.peer_certificates()?[0].to_vec())
}

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
