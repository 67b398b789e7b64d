//! A rendered configuration and the digest by which it is recognised.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::membership::{Membership, Server, write_servers};

/// Stands in the text for the digest while the digest is computed. No valid value contains an at sign followed
/// by upper case letters and a space, so nothing else in the text can be taken for it.
pub(crate) const DIGEST_PLACEHOLDER: &str = "@DIGEST OF THIS CONFIGURATION@";
/// The same for the digest of the text with its servers.
pub(crate) const TEXT_PLACEHOLDER: &str = "@DIGEST OF THIS TEXT@";
/// Stands in the text before the latter.
pub(crate) const TEXT_DIGEST: &str = "Convoy-Text";

/// The SHA-256 of a configuration, in hexadecimal. The running program answers with it when asked what it serves. It is
/// that of the whole text for nginx, and of the text without its servers for HAProxy, see [`Membership`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(Box<str>);

impl Digest {
    /// Parses the answer: 64 hexadecimal digits in lower case.
    pub fn parse(text: &str) -> Option<Self> {
        let hexadecimal = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        hexadecimal.then(|| Self(text.into()))
    }

    /// The digest that stands in the text of a configuration, as the program answers it.
    pub fn find(text: &str) -> Option<Self> {
        text.lines().find_map(|line| {
            let line = line.trim();
            let nginx = line.strip_prefix("return 200 \"").and_then(|rest| rest.strip_suffix("\";"));
            let haproxy = || {
                let rest = line.strip_prefix("http-request return status 200 ")?;
                rest.split_once(" string \"")?.1.split('"').next()
            };
            Self::parse(nginx.or_else(haproxy)?)
        })
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
    loaded: Option<Digest>,
    membership: Membership,
}

impl Configuration {
    /// Computes the digest of a shape that holds the placeholder, and puts the digest and the servers where they
    /// belong. The error tells what is wrong with the shape.
    pub(crate) fn seal(shape: &str, servers: Vec<Server>) -> Result<Self, String> {
        let digest = hexadecimal(&Sha256::digest(shape.as_bytes()));
        let (text, membership) = write_servers(shape, servers)?;
        let text = text.replace(DIGEST_PLACEHOLDER, &digest);
        let digest = Digest(digest.into());
        if !text.contains(TEXT_PLACEHOLDER) {
            return Ok(Self { text, digest, loaded: None, membership });
        }
        let loaded = hexadecimal(&Sha256::digest(text.as_bytes()));
        let text = text.replace(TEXT_PLACEHOLDER, &loaded);
        Ok(Self { text, digest, loaded: Some(Digest(loaded.into())), membership })
    }

    /// What a file that [`crate::Template::render`] once made says about itself; none when somebody else made it.
    pub fn find(text: String) -> Option<Self> {
        let (digest, membership) = (Digest::find(&text)?, Membership::find(&text)?);
        let loaded = text.lines().find_map(|line| {
            let mut words = line.split_ascii_whitespace().skip_while(|word| *word != TEXT_DIGEST);
            Digest::parse(words.nth(1)?)
        });
        Some(Self { text, digest, loaded, membership })
    }

    /// What goes into the file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the running program answers once it serves this text, apart from the servers in [`Self::membership`].
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What the running program answers beside its digest, if it has read exactly this text. It says nothing about servers
    /// that came and went since.
    pub fn loaded(&self) -> Option<&Digest> {
        self.loaded.as_ref()
    }

    /// The servers that can come and go without a reload.
    pub fn membership(&self) -> &Membership {
        &self.membership
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
