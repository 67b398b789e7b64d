//! The keys of certificates and of what it takes to get them.

use std::fmt;

use thiserror::Error;

use crate::{CertificateName, ChallengeToken, InstanceName};

/// `/convoy/certificates/`: chains and keys in PEM that an operator put there, by any name.
pub const CERTIFICATES: &str = "/convoy/certificates/";
/// `/convoy/acme/`: everything about certificates that are ordered.
pub const ACME: &str = "/convoy/acme/";
/// The edge that orders, value [`crate::AcmeLeaderRecord`].
pub const ACME_LEADER: &str = "/convoy/acme/leader";
/// `/convoy/acme/accounts/`, values [`crate::AccountRecord`].
pub const ACME_ACCOUNTS: &str = "/convoy/acme/accounts/";
/// `/convoy/acme/certificates/`, values [`crate::IssuedRecord`].
pub const ACME_CERTIFICATES: &str = "/convoy/acme/certificates/";
/// `/convoy/acme/challenges/`, values [`crate::ChallengeRecord`].
pub const ACME_CHALLENGES: &str = "/convoy/acme/challenges/";
/// `/convoy/acme/edges/`, values [`crate::EdgeRecord`], each under its edge's lease.
pub const ACME_EDGES: &str = "/convoy/acme/edges/";
/// `/convoy/acme/ledger/`, values [`crate::LedgerRecord`].
pub const ACME_LEDGER: &str = "/convoy/acme/ledger/";
/// `/convoy/acme/orders/`, values [`crate::OrderRecord`].
pub const ACME_ORDERS: &str = "/convoy/acme/orders/";

/// Longest part of an authority's URL that its keys show.
const AUTHORITY_MAX: usize = 100;

/// Why a text is no address of an authority.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no directory of an ACME authority; it looks like https://acme-v02.api.letsencrypt.org/directory"
)]
pub struct AuthorityError(String);

/// An ACME authority as a segment of a key: its directory's URL without scheme, with dashes for all that is no letter,
/// digit or dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Authority(Box<str>);

impl Authority {
    /// The authority with this directory.
    pub fn of(directory: &str) -> Result<Self, AuthorityError> {
        let wrong = || AuthorityError(directory.chars().take(200).collect());
        let rest = directory.strip_prefix("https://").ok_or_else(wrong)?;
        let is_url = rest.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '[')
            && rest.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_url {
            return Err(wrong());
        }
        let dashed = |letter: char| {
            if letter.is_ascii_alphanumeric() || letter == '.' { letter.to_ascii_lowercase() } else { '-' }
        };
        Self::parse(&rest.chars().take(AUTHORITY_MAX).map(dashed).collect::<String>()).ok_or_else(wrong)
    }

    fn parse(text: &str) -> Option<Self> {
        let fits = (1..=AUTHORITY_MAX).contains(&text.len())
            && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'));
        fits.then(|| Self(text.into()))
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key about certificates, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AcmeKey {
    /// `/convoy/certificates/<name>`
    Given(InstanceName),
    /// [`ACME_LEADER`]
    Leader,
    /// `/convoy/acme/accounts/<authority>`
    Account(Authority),
    /// `/convoy/acme/certificates/<name>`
    Issued(CertificateName),
    /// `/convoy/acme/challenges/<host>/<token>`
    Challenge(CertificateName, ChallengeToken),
    /// `/convoy/acme/edges/<edge>`
    Edge(InstanceName),
    /// `/convoy/acme/ledger/<authority>/<name>`
    Ledger(Authority, CertificateName),
    /// `/convoy/acme/orders/<name>`
    Order(CertificateName),
}

impl AcmeKey {
    /// Takes a key apart; names are parsed. `None` is a key that belongs to something else, or whose names are no names.
    pub fn parse(key: &str) -> Option<Self> {
        let name = |text: &str| CertificateName::parse(text).ok();
        let instance = |text: &str| InstanceName::parse(text).ok();
        if key == ACME_LEADER {
            Some(Self::Leader)
        } else if let Some(rest) = key.strip_prefix(CERTIFICATES) {
            instance(rest).map(Self::Given)
        } else if let Some(rest) = key.strip_prefix(ACME_ACCOUNTS) {
            Authority::parse(rest).map(Self::Account)
        } else if let Some(rest) = key.strip_prefix(ACME_CERTIFICATES) {
            name(rest).map(Self::Issued)
        } else if let Some(rest) = key.strip_prefix(ACME_CHALLENGES) {
            let (host, token) = rest.split_once('/')?;
            let host = name(host).filter(|host| !host.is_wildcard())?;
            Some(Self::Challenge(host, ChallengeToken::parse(token).ok()?))
        } else if let Some(rest) = key.strip_prefix(ACME_EDGES) {
            instance(rest).map(Self::Edge)
        } else if let Some(rest) = key.strip_prefix(ACME_LEDGER) {
            let (authority, rest) = rest.split_once('/')?;
            Some(Self::Ledger(Authority::parse(authority)?, name(rest)?))
        } else if let Some(rest) = key.strip_prefix(ACME_ORDERS) {
            name(rest).map(Self::Order)
        } else {
            None
        }
    }
}

impl fmt::Display for AcmeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(name) => write!(f, "{CERTIFICATES}{name}"),
            Self::Leader => f.write_str(ACME_LEADER),
            Self::Account(authority) => write!(f, "{ACME_ACCOUNTS}{authority}"),
            Self::Issued(name) => write!(f, "{ACME_CERTIFICATES}{name}"),
            Self::Challenge(host, token) => write!(f, "{ACME_CHALLENGES}{host}/{token}"),
            Self::Edge(edge) => write!(f, "{ACME_EDGES}{edge}"),
            Self::Ledger(authority, name) => write!(f, "{ACME_LEDGER}{authority}/{name}"),
            Self::Order(name) => write!(f, "{ACME_ORDERS}{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> CertificateName {
        CertificateName::parse(text).unwrap()
    }

    #[test]
    fn keys_are_built_and_taken_apart_alike() {
        let authority = Authority::of("https://acme-v02.api.letsencrypt.org/directory").unwrap();
        let token = ChallengeToken::parse("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA").unwrap();
        let instance = InstanceName::parse("edge-1").unwrap();
        for (key, text) in [
            (AcmeKey::Given(InstanceName::parse("shop").unwrap()), "/convoy/certificates/shop"),
            (AcmeKey::Leader, "/convoy/acme/leader"),
            (
                AcmeKey::Account(authority.clone()),
                "/convoy/acme/accounts/acme-v02.api.letsencrypt.org-directory",
            ),
            (AcmeKey::Issued(name("*.a.example")), "/convoy/acme/certificates/*.a.example"),
            (
                AcmeKey::Challenge(name("a.example"), token),
                "/convoy/acme/challenges/a.example/evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA",
            ),
            (AcmeKey::Edge(instance), "/convoy/acme/edges/edge-1"),
            (
                AcmeKey::Ledger(authority, name("a.example")),
                "/convoy/acme/ledger/acme-v02.api.letsencrypt.org-directory/a.example",
            ),
            (AcmeKey::Order(name("a.example")), "/convoy/acme/orders/a.example"),
        ] {
            assert_eq!(key.to_string(), text);
            assert_eq!(AcmeKey::parse(text), Some(key), "{text}");
        }
    }

    #[test]
    fn other_keys_are_not_ours() {
        for key in [
            "",
            "/convoy/",
            "/convoy/acme/",
            "/convoy/acme/leader/x",
            "/convoy/certificates/",
            "/convoy/certificates/a/b",
            "/convoy/acme/certificates/A.example",
            "/convoy/acme/certificates/../x",
            "/convoy/acme/challenges/a.example",
            "/convoy/acme/challenges/*.a.example/abc",
            "/convoy/acme/challenges/a.example/a/b",
            "/convoy/acme/ledger/a.example",
            "/convoy/acme/orders/a.example/x",
        ] {
            assert_eq!(AcmeKey::parse(key), None, "{key:?}");
        }
    }

    #[test]
    fn an_authority_is_its_directory() {
        for (url, expected) in [
            ("https://localhost:14000/dir", Some("localhost-14000-dir")),
            ("https://CA.example/a?b=c", Some("ca.example-a-b-c")),
            ("https://[::1]:1/dir", Some("---1--1-dir")),
            ("http://ca.example/dir", None),
            ("https://", None),
            ("https:///dir", None),
            ("https://ca.example/a b", None),
            ("ca.example", None),
        ] {
            let authority = Authority::of(url).ok().map(|authority| authority.to_string());
            assert_eq!(authority.as_deref(), expected, "{url}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_a_key_prints_back(key in "/convoy/(acme/(challenges|ledger|orders|edges)|certificates)/[a-z.*/-]{0,30}") {
            if let Some(parsed) = AcmeKey::parse(&key) {
                prop_assert_eq!(parsed.to_string(), key);
            }
        }
    }
}
