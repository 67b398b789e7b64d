//! An account with the authority's shop, that the ACME account belongs to (RFC 8555, section 7.3.4).

use std::fmt;
use std::path::Path;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use thiserror::Error;

/// Longest file that is read.
const FILE_MAX: u64 = 16 * 1024;

/// Why there is no external account.
#[derive(Debug, Error)]
pub enum ExternalAccountError {
    /// The file can't be read.
    #[error("{path}: {source}; set LoadCredential= in the unit")]
    Io {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// No key.
    #[error("{path}: it has to have one line, the HMAC key in base64url as the authority shows it")]
    Key {
        /// The file.
        path: String,
    },
}

/// What an authority that knows its customers gives them beforehand: an identifier and a key.
#[derive(Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    pub(crate) id: String,
    pub(crate) key: Vec<u8>,
}

impl fmt::Debug for ExternalAccount {
    /// Leaves the key out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ExternalAccount").field(&self.id).finish()
    }
}

impl ExternalAccount {
    /// Reads the key, in base64url, from a file: a credential of the unit.
    pub fn read(id: impl Into<String>, path: &Path) -> Result<Self, ExternalAccountError> {
        let name = || path.display().to_string();
        let read = path.metadata().and_then(|found| {
            if found.len() > FILE_MAX { Ok(String::new()) } else { std::fs::read_to_string(path) }
        });
        let text = read.map_err(|source| ExternalAccountError::Io { path: name(), source })?;
        let key = BASE64_URL_SAFE_NO_PAD.decode(text.trim().trim_end_matches('='));
        let key = key.ok().filter(|key| !key.is_empty());
        Ok(Self { id: id.into(), key: key.ok_or_else(|| ExternalAccountError::Key { path: name() })? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_and_never_printed() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("key");
        for (text, key) in
            [("AQID-_8\n", Some(&[1, 2, 3, 251, 255][..])), ("AQ==", Some(&[1])), ("", None), ("a b", None)]
        {
            std::fs::write(&path, text).unwrap();
            let account = ExternalAccount::read("kid-1", &path);
            assert_eq!(account.as_ref().ok().map(|account| &*account.key), key, "{text:?}");
            if let Ok(account) = account {
                assert_eq!(format!("{account:?}"), r#"ExternalAccount("kid-1")"#);
            }
        }
        let error = ExternalAccount::read("kid-1", Path::new("/nowhere/key")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/key"), "{error}");
    }
}
