//! What a status page shows.

use std::fmt;
use std::path::PathBuf;

use convoy_certificates::Certificate;
use convoy_keys::{CertificateName, InstanceName};

use crate::rules::Step;

/// How things stand. Plain data: whoever shows it chooses the form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Every certificate that is served.
    pub certificates: Vec<CertificateStatus>,
    /// Files, keys and folders that are of no use, or of less than they should be.
    pub problems: Vec<Problem>,
    /// Every name that has a route, where certificates are ordered.
    pub names: Vec<NameStatus>,
    /// The edge that orders, where one is known.
    pub leader: Option<InstanceName>,
    /// What the store has is in; before, certificates of the store are those that an earlier run kept.
    pub is_listed: bool,
    /// Why the store can't be read; what was read last is served on.
    pub store_error: Option<String>,
    /// What kept this edge from ordering when it was its turn last.
    pub order_error: Option<String>,
}

/// Where a certificate is from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A file; that of the chain, where it is two.
    File(PathBuf),
    /// A key of the store.
    Key(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Key(key) => f.write_str(key),
        }
    }
}

/// A certificate that is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateStatus {
    /// Names it is for.
    pub names: Vec<String>,
    /// Who signed it.
    pub issuer: String,
    /// Unix time from which it is valid.
    pub not_before: i64,
    /// Unix time until which it is valid.
    pub not_after: i64,
    /// Where it is from.
    pub source: Source,
}

impl CertificateStatus {
    pub(crate) fn of(source: Source, certificate: &Certificate) -> Self {
        Self {
            names: certificate.names().to_vec(),
            issuer: certificate.issuer().to_owned(),
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
            source,
        }
    }
}

/// Something that is of no use, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Problem {
    /// Where.
    pub source: Source,
    /// What is wrong, and what to do.
    pub error: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, self.error)
    }
}

/// How a name stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameStatus {
    /// The name.
    pub name: CertificateName,
    /// What is to be done for it.
    pub step: Step,
    /// Why the last order for it failed, where it did.
    pub last_error: Option<String>,
}
