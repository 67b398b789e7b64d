//! Certificates of the edge: from files, from keys of the store, and from an ACME authority.
//!
//! [`Certificates`] is all that an edge needs. It starts with files and what an earlier run kept, so that it serves without
//! the store; it takes up what changes without a word to open connections; and where [`OrderSettings`] are given, it orders
//! certificates for the names that have a route, one order for all edges together:
//!
//! ```no_run
//! # use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};
//! # use convoy_acme::{Certificates, OrderSettings, Sealing, Settings};
//! # use convoy_keys::{CertificateName, InstanceName};
//! # async fn example(store: convoy_store::Store, names: BTreeSet<CertificateName>) -> Result<(), Box<dyn std::error::Error>> {
//! let mut settings = Settings::new(InstanceName::parse("edge-1")?);
//! settings.folder = Some("/etc/convoy/certificates".into());
//! settings.cache = Some("/var/lib/convoy/edge-router/certificates.json".into());
//! settings.sealing = Some(Arc::new(Sealing::read(Path::new("/run/credentials/edge-router.service/acme-secret"))?));
//! let directory = "https://acme-v02.api.letsencrypt.org/directory";
//! settings.orders = Some(OrderSettings { agree_to_terms: true, ..OrderSettings::new(directory) });
//!
//! let certificates = Certificates::start(settings, Some(store))?;
//! let tls = convoy_certificates::server_config(certificates.resolver())?; // for rustls
//! certificates.want(names); // again whenever the routes change
//! // A request for /.well-known/acme-challenge/TOKEN, on any edge:
//! let answer = certificates.http01().answer("a.example", "TOKEN"); // 200 and this as the body, or 404
//! // A connection that agreed on `convoy_certificates::ACME_TLS_ALPN` is closed after its handshake.
//! for certificate in &certificates.status().borrow().certificates {
//!     println!("{:?} until {} from {}", certificate.names, certificate.not_after, certificate.source);
//! }
//! certificates.stop(Duration::from_secs(1)).await; // another edge goes on at once
//! # Ok(()) }
//! ```
//!
//! What the store says is never used as text: keys and values are types of `convoy-keys`, private keys are sealed
//! ([`Sealing`]). A certificate that can't be used is told with its file or key, and harms no other.

mod certificates;
mod clock;
mod external;
mod metrics;
mod order;
mod rules;
mod seal;
mod serve;
mod settings;
mod status;

pub use certificates::{Certificates, Http01};
pub use clock::Clock;
pub use external::{ExternalAccount, ExternalAccountError};
pub use metrics::Metrics;
pub use order::DnsHook;
pub use rules::{Limits, Step, Why};
pub use seal::{SealError, Sealing, SecretError};
pub use serve::look;
pub use settings::{OrderSettings, Settings, SettingsError};
pub use status::{CertificateStatus, NameStatus, Problem, Source, Status};
