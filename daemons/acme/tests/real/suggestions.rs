//! An authority that says when it would like to renew (RFC 9773). pebble doesn't, so something between does it for pebble.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use bytes::Bytes;
use convoy_acme::{OrderSettings, Step};
use convoy_test_etcd::Certificates;
use http::header::{CONTENT_LENGTH, HOST, RETRY_AFTER};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::stage::Stage;

struct Between {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    /// Certificates that were asked about, in order.
    asked: Vec<String>,
    /// What the orders replace.
    replaced: Vec<Option<String>>,
}

struct Proxy {
    pebble: Uri,
    address: SocketAddr,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    seen: Arc<Mutex<Seen>>,
}

impl Between {
    /// Certificates and key are in that folder; `trust` is what pebble's own certificate is checked with.
    async fn start(folder: &Path, pebble: &str, trust: PathBuf) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let files = Certificates::make(folder, address.ip()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_file(files.server_cert).unwrap()],
                PrivateKeyDer::from_pem_file(files.server_key).unwrap(),
            )
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(trust).unwrap()).unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = HttpsConnectorBuilder::new().with_tls_config(client).https_only().enable_http1().build();
        let seen = Arc::<Mutex<Seen>>::default();
        let proxy = Arc::new(Proxy {
            pebble: pebble.parse().unwrap(),
            address,
            client: Client::builder(TokioExecutor::new()).set_host(false).build(client),
            seen: Arc::clone(&seen),
        });
        let acceptor = TlsAcceptor::from(Arc::new(server));
        let task = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (acceptor, proxy) = (acceptor.clone(), Arc::clone(&proxy));
                tokio::spawn(async move {
                    let Ok(connection) = acceptor.accept(connection).await else { return };
                    let service = service_fn(move |request| {
                        let proxy = Arc::clone(&proxy);
                        async move { Ok::<_, Infallible>(proxy.answer(request).await) }
                    });
                    let http = hyper::server::conn::http1::Builder::new();
                    // A client that goes away is its own affair.
                    let _ = http.serve_connection(TokioIo::new(connection), service).await;
                });
            }
        });
        Self { address, seen, task }
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        if let Some(certificate) = path.strip_prefix("/ari/") {
            return self.suggest(certificate);
        }
        let (mut parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let replaces = if path == "/order-plz" { self.note_order(&body) } else { None };
        let authority = self.pebble.authority().unwrap();
        parts.uri = format!("https://{authority}{path}").parse().unwrap();
        // pebble makes its URLs of this.
        parts.headers.insert(HOST, self.address.to_string().parse().unwrap());
        let request = Request::from_parts(parts, Full::new(body));
        let (mut parts, body) = self.client.request(request).await.unwrap().into_parts();
        let mut body = body.collect().await.unwrap().to_bytes();
        if let Ok(mut answer) = serde_json::from_slice::<Value>(&body) {
            if path == "/dir" {
                answer["renewalInfo"] = json!(format!("https://{}/ari", self.address));
            } else if let (Some(replaces), true) = (replaces, answer.get("finalize").is_some()) {
                answer["replaces"] = json!(replaces);
            }
            body = answer.to_string().into();
        }
        parts.headers.remove(CONTENT_LENGTH);
        Response::from_parts(parts, Full::new(body))
    }

    /// The first certificate is to be renewed at once, all others in a long while.
    fn suggest(&self, certificate: &str) -> Response<Full<Bytes>> {
        let mut seen = self.seen.lock().unwrap();
        seen.asked.push(certificate.to_owned());
        let year = if seen.asked[0] == certificate { 2020 } else { 2090 };
        let window =
            json!({ "start": format!("{year}-01-01T00:00:00Z"), "end": format!("{year}-01-02T00:00:00Z") });
        let body = json!({ "suggestedWindow": window }).to_string();
        Response::builder().header(RETRY_AFTER, "3600").body(Full::new(body.into())).unwrap()
    }

    fn note_order(&self, body: &[u8]) -> Option<String> {
        let signed: Value = serde_json::from_slice(body).unwrap();
        let payload = BASE64_URL_SAFE_NO_PAD.decode(signed["payload"].as_str().unwrap()).unwrap();
        let payload: Value = serde_json::from_slice(&payload).unwrap();
        let replaces = payload.get("replaces").map(|id| id.as_str().unwrap().to_owned());
        self.seen.lock().unwrap().replaced.push(replaces.clone());
        replaces
    }
}

#[tokio::test]
async fn a_certificate_is_renewed_when_the_authority_would_like_it_and_the_order_says_which() {
    let Some(stage) = Stage::set().await else { return };
    let folder = stage.place.path().join("between");
    std::fs::create_dir(&folder).unwrap();
    let between = Between::start(&folder, &stage.pebble.url(), stage.pebble.trust()).await;
    let trust = Some(folder.join("ca.pem"));
    let directory = format!("https://{}/dir", between.address);
    let edges = stage.edges(&OrderSettings { directory, trust, ..stage.orders() }, &["a.example"]);
    let first = edges[0].serves("a.example", |_| true).await;
    let second = edges[1].serves("a.example", |shown| shown != first).await;
    let leader = stage.leader(&edges).await;
    // The window of the second one is after its end; the last tenth is left for tries that fail.
    let is_late = |status: &convoy_acme::Status| {
        let latest = status
            .certificates
            .first()
            .map(|certificate| certificate.not_after - (certificate.not_after - certificate.not_before) / 10);
        status
            .names
            .first()
            .is_some_and(|name| Some(name.step) == latest.map(|renew_at| Step::Fresh { renew_at }))
    };
    tokio::time::timeout(Duration::from_secs(20), edges[leader].status("the suggestion", is_late))
        .await
        .unwrap();
    assert_eq!(edges[leader].shows("a.example").await, Some(second));
    let seen = between.seen.lock().unwrap();
    assert!(seen.asked.len() >= 2 && seen.asked[0] != seen.asked[1], "{:?}", seen.asked);
    // A refused nonce makes an order be sent twice.
    let mut replaced = seen.replaced.clone();
    replaced.dedup();
    assert_eq!(replaced, [None, Some(seen.asked[0].clone())]);
    assert_eq!((stage.pebble.orders(), stage.pebble.certificates()), (2, 2));
}
