//! The way to the authority: HTTPS with ring, with a limit to everything.

use std::fs;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;

use super::failure::Failure;

/// How long a request may take, answer included.
const REQUEST: Duration = Duration::from_secs(30);
/// How long it may take to get a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// More than the longest chain has.
const ANSWER_MAX: usize = 1024 * 1024;

/// A client of the authority.
pub(super) struct Transport(Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>);

impl Transport {
    /// With the certificates in a file, or those that the system trusts.
    pub(super) fn new(trust: Option<&Path>) -> Result<Self, Failure> {
        let wrong = |detail: String| Failure::Outage(detail);
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(error.to_string()))?;
        let config = match trust {
            Some(path) => config.with_root_certificates(roots(path).map_err(wrong)?),
            None => config.with_native_roots().map_err(|error| {
                wrong(format!(
                    "the certificates that this system trusts can't be read: {error}; install ca-certificates"
                ))
            })?,
        };
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(CONNECT));
        tcp.enforce_http(false);
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(config.with_no_client_auth())
            .https_only()
            .enable_http1()
            .enable_http2()
            .wrap_connector(tcp);
        Ok(Self(Client::builder(TokioExecutor::new()).build(https)))
    }
}

fn roots(path: &Path) -> Result<RootCertStore, String> {
    let advice =
        |error: String| format!("{}: {error}; put the authority's roots there, in PEM", path.display());
    let text = fs::read(path).map_err(|error| advice(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(&text) {
        let root = root.map_err(|_| advice("it is no PEM".to_owned()))?;
        roots.add(root).map_err(|error| advice(error.to_string()))?;
    }
    if roots.is_empty() { Err(advice("there is no certificate in it".to_owned())) } else { Ok(roots) }
}

impl HttpClient for Transport {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let other = |error: Box<dyn std::error::Error + Send + Sync>| Error::Other(error);
        let to = request.uri().clone();
        let answer = self.0.request(request);
        Box::pin(async move {
            let whole = async {
                let (parts, body) = answer.await.map_err(|error| other(error.into()))?.into_parts();
                let body = Limited::new(body, ANSWER_MAX).collect().await.map_err(other)?;
                Ok(BytesResponse::from(http::Response::from_parts(parts, Full::new(body.to_bytes()))))
            };
            let late = |_| other(format!("{to} did not answer within {REQUEST:?}").into());
            timeout(REQUEST, whole).await.map_err(late)?
        })
    }
}
