//! Which certificate a TLS connection gets. No I/O: texts come in, a configuration for rustls comes out.
//!
//! [`Certificate`] is a chain and its key, parsed and matched; [`Certificates`] finds one by the name that a client asks
//! for; [`Resolver`] does so while they are replaced by others, without a word to the connections that are open. A
//! handshake takes no lock.
//!
//! [`Resolver`] also proves names to an authority (TLS-ALPN-01, RFC 8737): a connection that speaks [`ACME_TLS_ALPN`] and
//! nothing else gets the [`Proof`] of its name, and no certificate.

mod certificate;
mod proof;
mod resolver;
mod table;

pub use certificate::{Certificate, CertificateError, Validity};
pub use proof::{ACME_TLS_ALPN, Proof, ProofError};
pub use resolver::{Resolver, server_config};
pub use table::Certificates;
