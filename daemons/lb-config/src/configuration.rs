//! A rendered configuration and the digest by which it is recognised.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// Stands in the text for the digest while the digest is computed. No valid value contains an at sign followed
/// by upper case letters and a space, so nothing else in the text can be taken for it.
pub(crate) const DIGEST_PLACEHOLDER: &str = "@DIGEST OF THIS CONFIGURATION@";

/// The SHA-256 of a configuration, in hexadecimal. The running nginx answers with it when asked what it serves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(Box<str>);

impl Digest {
    /// Parses the answer of an nginx: 64 hexadecimal digits in lower case.
    pub fn parse(text: &str) -> Option<Self> {
        let hexadecimal = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        hexadecimal.then(|| Self(text.into()))
    }

    /// The digest that stands in the text of a configuration, as the revision server answers it.
    pub fn find(text: &str) -> Option<Self> {
        text.lines()
            .find_map(|line| Self::parse(line.trim().strip_prefix("return 200 \"")?.strip_suffix("\";")?))
    }

    /// All 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first eight digits, for a human to compare.
    pub fn short(&self) -> &str {
        self.0.get(..8).unwrap_or(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The text of a configuration file, with its own digest in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    text: String,
    digest: Digest,
}

impl Configuration {
    /// Computes the digest of a text that holds the placeholder, and puts it there.
    pub(crate) fn seal(text: &str) -> Self {
        let digest = hexadecimal(&Sha256::digest(text.as_bytes()));
        Self { text: text.replace(DIGEST_PLACEHOLDER, &digest), digest: Digest(digest.into()) }
    }

    /// What goes into the file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the running nginx answers once it serves this text.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }
}

/// Bytes as hexadecimal digits in lower case.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
        text
    })
}
