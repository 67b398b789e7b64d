//! Which certificate a TLS connection gets. No I/O: texts come in, a configuration for rustls comes out.
//!
//! [`Certificate`] is a chain and its key, parsed and matched; [`Certificates`] finds one by the name that a client asks
//! for; [`Resolver`] does so while they are replaced by others, without a word to the connections that are open.

mod certificate;
mod resolver;
mod table;

pub use certificate::{Certificate, CertificateError};
pub use resolver::{Resolver, server_config};
pub use table::Certificates;
