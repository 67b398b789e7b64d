//! Secrets in the store: sealed for whoever has the operator's secret, and for one key only.
//!
//! The AEAD is ChaCha20-Poly1305 of ring, which TLS uses already, so no other implementation has to be trusted. Each
//! sealing has a key of its own, derived by HKDF-SHA256 from the operator's secret and 256 random bits; so no nonce is
//! ever used twice, however much is sealed. The name of the store's key is bound in as associated data: a value that is
//! moved to another key does not open.

use std::fmt;
use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use thiserror::Error;

/// What sealed values begin with, so that another form can follow one day.
const FORM: &str = "convoy1";
/// Bytes of a secret, at least.
const SECRET_MIN: usize = 32;
/// Longest file of secrets that is read.
const FILE_MAX: usize = 16 * 1024;
/// More secrets than an exchange of one for another needs.
const SECRETS_MAX: usize = 16;
const SALT: usize = 32;
const TAG: usize = 16;

/// Why there is no secret.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The file can't be read.
    #[error(
        "{path}: {source}; set LoadCredential= in the unit, and make the secret with: openssl rand -base64 32"
    )]
    Io {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A line of the file is no secret.
    #[error(
        "{path}, line {line}: not 32 bytes or more in base64; make a secret with: openssl rand -base64 32"
    )]
    Line {
        /// The file.
        path: String,
        /// Its line, counted from 1.
        line: usize,
    },
    /// Nothing but remarks.
    #[error("{path}: there is no secret in it; make one with: openssl rand -base64 32")]
    Nothing {
        /// The file.
        path: String,
    },
    /// Too much.
    #[error("{path}: it has more than 16 secrets, or is no file of secrets at all; remove those of old")]
    Count {
        /// The file.
        path: String,
    },
}

/// Why a value can't be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SealError {
    /// Not a sealed value.
    #[error("it is no sealed value; delete the key, and what belongs there is made anew")]
    Form,
    /// Sealed with a secret that isn't ours.
    #[error("it was sealed with another secret ({id}); give all edges the same credential")]
    OtherSecret {
        /// What the secret is recognised by.
        id: String,
    },
    /// Not what was sealed, or not for this key.
    #[error("it was changed, or sealed for another key; delete the key, and what belongs there is made anew")]
    Broken,
    /// The system gave no random numbers, or what is to be sealed has gigabytes.
    #[error("it can't be sealed: the system's random numbers can't be had")]
    Random,
}

/// Seals and opens. Of several secrets the first one seals and each one opens, so that one can be exchanged for another.
pub struct Sealing {
    secrets: Vec<Secret>,
    random: SystemRandom,
}

struct Secret {
    id: String,
    bytes: Vec<u8>,
}

impl fmt::Debug for Sealing {
    /// Says which secrets there are, and none of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.secrets.iter().map(|secret| &secret.id)).finish()
    }
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl Secret {
    fn new(bytes: Vec<u8>) -> Option<Self> {
        let mut id = [0; 8];
        let derived = Salt::new(HKDF_SHA256, b"convoy secret id").extract(&bytes);
        derived.expand(&[FORM.as_bytes()], Length(id.len())).and_then(|okm| okm.fill(&mut id)).ok()?;
        Some(Self { id: format!("{:016x}", u64::from_be_bytes(id)), bytes })
    }

    fn key(&self, salt: &[u8]) -> Option<LessSafeKey> {
        let derived = Salt::new(HKDF_SHA256, salt).extract(&self.bytes);
        let info = [FORM.as_bytes()];
        let okm = derived.expand(&info, &CHACHA20_POLY1305).ok()?;
        Some(LessSafeKey::new(UnboundKey::from(okm)))
    }
}

impl Sealing {
    /// Reads a file with a secret per line, in base64; what begins with `#` is passed over. With
    /// `LoadCredential=acme-secret:/etc/convoy/acme-secret` it is `$CREDENTIALS_DIRECTORY/acme-secret`.
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let name = path.display().to_string();
        match std::fs::read(path) {
            Ok(text) if text.len() <= FILE_MAX => Self::parse(&name, &String::from_utf8_lossy(&text)),
            Ok(_) => Err(SecretError::Count { path: name }),
            Err(source) => Err(SecretError::Io { path: name, source }),
        }
    }

    fn parse(path: &str, text: &str) -> Result<Self, SecretError> {
        let mut secrets = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bytes = BASE64_STANDARD.decode(line).ok().filter(|bytes| bytes.len() >= SECRET_MIN);
            let secret = bytes.and_then(Secret::new);
            secrets.push(secret.ok_or(SecretError::Line { path: path.to_owned(), line: number + 1 })?);
        }
        match secrets.len() {
            0 => Err(SecretError::Nothing { path: path.to_owned() }),
            1..=SECRETS_MAX => Ok(Self { secrets, random: SystemRandom::new() }),
            _ => Err(SecretError::Count { path: path.to_owned() }),
        }
    }

    /// Seals a text for a key of the store.
    pub fn seal(&self, key: &str, text: &str) -> Result<String, SealError> {
        let secret = self.secrets.first().ok_or(SealError::Random)?;
        let mut salt = [0; SALT];
        self.random.fill(&mut salt).map_err(|_| SealError::Random)?;
        let sealer = secret.key(&salt).ok_or(SealError::Random)?;
        let mut bytes = text.as_bytes().to_vec();
        sealer
            .seal_in_place_append_tag(nonce(), Aad::from(key), &mut bytes)
            .map_err(|_| SealError::Random)?;
        Ok(format!("{FORM}:{}:{}", secret.id, BASE64_STANDARD.encode([&salt[..], &bytes].concat())))
    }

    /// Opens what was sealed for this key of the store.
    pub fn open(&self, key: &str, sealed: &str) -> Result<String, SealError> {
        let mut parts = sealed.splitn(3, ':');
        let (Some(FORM), Some(id), Some(bytes)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(SealError::Form);
        };
        if id.len() != 16 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(SealError::Form);
        }
        let bytes = BASE64_STANDARD.decode(bytes).map_err(|_| SealError::Form)?;
        let (salt, sealed) = bytes.split_at_checked(SALT).ok_or(SealError::Form)?;
        if sealed.len() < TAG {
            return Err(SealError::Form);
        }
        let secret = self.secrets.iter().find(|secret| secret.id == id);
        let secret = secret.ok_or_else(|| SealError::OtherSecret { id: id.to_owned() })?;
        let opener = secret.key(salt).ok_or(SealError::Broken)?;
        let mut text = sealed.to_vec();
        let text = opener.open_in_place(nonce(), Aad::from(key), &mut text).map_err(|_| SealError::Broken)?;
        String::from_utf8(text.to_vec()).map_err(|_| SealError::Broken)
    }
}

/// Each sealing has a key of its own, so the same nonce serves all.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn sealing(seeds: &[u8]) -> Sealing {
        let lines: Vec<_> = seeds.iter().map(|seed| BASE64_STANDARD.encode([*seed; 32])).collect();
        Sealing::parse("secrets", &lines.join("\n")).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_for_its_key_and_with_its_secret_only() {
        let (mine, other) = (sealing(&[1]), sealing(&[2]));
        let sealed = mine.seal("/a", "the key").unwrap();
        assert_eq!(mine.open("/a", &sealed).unwrap(), "the key");
        assert!(!sealed.contains("the key"));
        assert_eq!(mine.open("/b", &sealed), Err(SealError::Broken), "moved to another key");
        let error = other.open("/a", &sealed).unwrap_err();
        assert!(matches!(error, SealError::OtherSecret { .. }), "{error}");
        assert!(error.to_string().contains("give all edges the same credential"));
    }

    #[test]
    fn the_same_text_is_never_sealed_alike() {
        let sealing = sealing(&[1]);
        assert_ne!(sealing.seal("/a", "x").unwrap(), sealing.seal("/a", "x").unwrap());
    }

    #[test]
    fn a_secret_is_exchanged_for_another_step_by_step() {
        let (old, both, new) = (sealing(&[1]), sealing(&[2, 1]), sealing(&[2]));
        let before = old.seal("/a", "x").unwrap();
        let after = both.seal("/a", "y").unwrap();
        assert_eq!(
            (both.open("/a", &before).unwrap(), both.open("/a", &after).unwrap()),
            ("x".into(), "y".into())
        );
        assert_eq!(new.open("/a", &after).unwrap(), "y");
        assert!(new.open("/a", &before).is_err());
    }

    #[test]
    fn a_file_of_secrets_is_checked_line_by_line() {
        let good = BASE64_STANDARD.encode([7; 32]);
        for (text, expected) in [
            (String::new(), Some("no secret in it")),
            ("# nothing\n\n".to_owned(), Some("no secret in it")),
            (format!("# mine\n{good}\n"), None),
            (format!("{good}\npassword\n"), Some("secrets, line 2: not 32 bytes")),
            (BASE64_STANDARD.encode([7; 31]), Some("line 1")),
            (format!("{good}\n").repeat(17), Some("more than 16")),
        ] {
            let error = Sealing::parse("secrets", &text).err().map(|error| error.to_string());
            match expected {
                None => assert_eq!(error, None),
                Some(expected) => assert!(error.unwrap().contains(expected), "{text}"),
            }
        }
        let error = Sealing::read(Path::new("/nowhere/acme-secret")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/acme-secret") && error.contains("LoadCredential="), "{error}");
    }

    #[test]
    fn no_secret_is_ever_printed() {
        let sealing = sealing(&[1]);
        let printed = format!("{sealing:?}");
        assert!(!printed.contains(&BASE64_STANDARD.encode([1; 32])) && printed.len() < 40, "{printed}");
    }

    proptest! {
        #[test]
        fn a_value_that_was_touched_does_not_open(at in 0usize..200, to in any::<char>()) {
            let sealing = sealing(&[1]);
            let sealed = sealing.seal("/a", "the key").unwrap();
            let mut letters: Vec<_> = sealed.chars().collect();
            let at = at % letters.len();
            prop_assume!(letters[at] != to);
            letters[at] = to;
            let touched: String = letters.into_iter().collect();
            prop_assert!(sealing.open("/a", &touched).is_err());
        }

        #[test]
        fn nonsense_does_not_open(text in "(convoy1:)?\\PC{0,80}") {
            prop_assert!(sealing(&[1]).open("/a", &text).is_err());
        }
    }
}
