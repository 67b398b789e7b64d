//! What edges share about certificates that are ordered.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{InstanceName, Record};

/// Longest token: RFC 8555 asks for 22 characters at least, authorities use 43.
const TOKEN_MAX: usize = 128;
/// Characters of a SHA-256 digest in base64url.
const THUMBPRINT: usize = 43;

/// Why a text is no token or answer of a challenge.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChallengeError {
    /// No token.
    #[error("a token has 1 to 128 letters, digits, dashes and underscores")]
    Token,
    /// No answer, or that to another token.
    #[error("an answer is the token, a dot and 43 letters, digits, dashes and underscores")]
    Answer,
}

fn is_base64url(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// A token of an authority (RFC 8555, section 8.1): what it asks for in a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChallengeToken(Box<str>);

impl ChallengeToken {
    /// Parses a token.
    pub fn parse(text: &str) -> Result<Self, ChallengeError> {
        let fits = (1..=TOKEN_MAX).contains(&text.len()) && is_base64url(text);
        if fits { Ok(Self(text.into())) } else { Err(ChallengeError::Token) }
    }

    /// The token as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChallengeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The answer to a token (RFC 8555, section 8.1): token, dot, thumbprint of the account's key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyAuthorization(Box<str>);

impl KeyAuthorization {
    /// Parses an answer.
    pub fn parse(text: &str) -> Result<Self, ChallengeError> {
        let (token, thumbprint) = text.split_once('.').ok_or(ChallengeError::Answer)?;
        ChallengeToken::parse(token).map_err(|_| ChallengeError::Answer)?;
        let fits = thumbprint.len() == THUMBPRINT && is_base64url(thumbprint);
        if fits { Ok(Self(text.into())) } else { Err(ChallengeError::Answer) }
    }

    /// The answer as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the answer to that token.
    pub fn answers(&self, token: &ChallengeToken) -> bool {
        self.0.strip_prefix(token.as_str()).is_some_and(|rest| rest.starts_with('.'))
    }
}

impl TryFrom<String> for KeyAuthorization {
    type Error = ChallengeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<KeyAuthorization> for String {
    fn from(answer: KeyAuthorization) -> Self {
        answer.0.into()
    }
}

/// How an authority wants a name to be proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ChallengeKind {
    /// It fetches a path from port 80.
    #[serde(rename = "http-01")]
    Http01,
    /// It makes a TLS handshake with port 443 (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// It looks a TXT record up.
    #[serde(rename = "dns-01")]
    Dns01,
}

impl ChallengeKind {
    /// The kind's name in ACME.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Dns01 => "dns-01",
        }
    }
}

impl fmt::Display for ChallengeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for ChallengeKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Http01, Self::TlsAlpn01, Self::Dns01]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("{text:?} is no challenge; write http-01, tls-alpn-01 or dns-01"))
    }
}

/// Value of `/convoy/acme/challenges/<host>/<token>`, there as long as the order is under way: what every edge answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChallengeRecord {
    /// How it will be asked for.
    pub kind: ChallengeKind,
    /// The answer.
    pub answer: KeyAuthorization,
}

impl Record for ChallengeRecord {
    const WHAT: &'static str = "a challenge record";
    const LONGEST: usize = 1024;
}

/// Value of `/convoy/acme/accounts/<authority>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRecord {
    /// Address and key of the account, sealed.
    pub credentials: String,
    /// Seconds since the epoch at which it was made.
    pub since: u64,
}

impl Record for AccountRecord {
    const WHAT: &'static str = "an account record";
}

/// Value of `/convoy/acme/orders/<name>`, there while an order is under way: all that another edge needs to finish it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRecord {
    /// URL of the authority's directory.
    pub authority: String,
    /// URL of the order.
    pub url: String,
    /// The key that the certificate will be for, in PEM, sealed.
    pub key: String,
    /// Seconds since the epoch at which it was ordered.
    pub since: u64,
}

impl Record for OrderRecord {
    const WHAT: &'static str = "an order record";
}

/// Value of `/convoy/acme/certificates/<name>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedRecord {
    /// URL of the authority's directory.
    pub authority: String,
    /// The chain in PEM, the name's own certificate first.
    pub chain: String,
    /// Its key in PEM, sealed.
    pub key: String,
    /// Seconds since the epoch at which it was issued.
    pub since: u64,
}

impl Record for IssuedRecord {
    const WHAT: &'static str = "a certificate record";
    const LONGEST: usize = 128 * 1024;
}

/// Value of `/convoy/acme/ledger/<authority>/<name>`: what was tried for a name. Written before an order is placed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LedgerRecord {
    /// Seconds since the epoch at which something was ordered, as far back as the limits look.
    #[serde(default)]
    pub orders: Vec<u64>,
    /// Failures since the last success.
    #[serde(default)]
    pub failures: u32,
    /// Seconds since the epoch before which nothing is tried.
    #[serde(default)]
    pub not_before: u64,
    /// Why it failed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Record for LedgerRecord {
    const WHAT: &'static str = "a ledger record";
}

/// Value of `/convoy/acme/leader`, under the leader's lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcmeLeaderRecord {
    /// The edge that orders.
    pub edge: InstanceName,
    /// Seconds since the epoch at which it wanted to.
    pub since: u64,
}

impl Record for AcmeLeaderRecord {
    const WHAT: &'static str = "a record of the edge that orders";
    const LONGEST: usize = 1024;
}

/// Value of `/convoy/acme/edges/<edge>`, under the edge's lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeRecord {
    /// The store's revision up to which the edge answers all challenges.
    pub revision: i64,
}

impl Record for EdgeRecord {
    const WHAT: &'static str = "an edge record";
    const LONGEST: usize = 1024;
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";

    #[test]
    fn an_answer_belongs_to_its_token() {
        let token = ChallengeToken::parse("abc-_1").unwrap();
        let answer = KeyAuthorization::parse(&format!("abc-_1.{DIGEST}")).unwrap();
        assert!(answer.answers(&token));
        for other in ["abc-_", "abc-_12", "x"] {
            assert!(!answer.answers(&ChallengeToken::parse(other).unwrap()), "{other}");
        }
    }

    #[test]
    fn nothing_else_is_a_token_or_an_answer() {
        for text in ["", "a/b", "..", "a b", "a\r\n", "a.b", "\u{e4}", &"a".repeat(129)] {
            assert!(ChallengeToken::parse(text).is_err(), "{text:?}");
        }
        for text in [
            "",
            "abc",
            "abc.",
            "abc.def",
            &format!(".{DIGEST}"),
            &format!("a/b.{DIGEST}"),
            &format!("a.{DIGEST}\n"),
        ] {
            assert!(KeyAuthorization::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn records_read_back_what_they_wrote_and_understand_newer_writers() {
        let challenge = format!(r#"{{"kind":"tls-alpn-01","answer":"abc.{DIGEST}","novelty":1}}"#);
        let record = ChallengeRecord::parse(challenge.as_bytes()).unwrap();
        assert_eq!(record.kind, ChallengeKind::TlsAlpn01);
        assert_eq!(ChallengeRecord::parse(&record.to_json().unwrap()).unwrap(), record);
        assert!(ChallengeRecord::parse(br#"{"kind":"http-01","answer":"<script>"}"#).is_err());
        assert_eq!(LedgerRecord::parse(b"{}").unwrap(), LedgerRecord::default());
        assert!(LedgerRecord::parse(br#"{"orders":[-1]}"#).is_err());
        for kind in [ChallengeKind::Http01, ChallengeKind::TlsAlpn01, ChallengeKind::Dns01] {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        assert!("http-02".parse::<ChallengeKind>().is_err());
    }
}
