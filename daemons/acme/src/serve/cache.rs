//! Certificates of the store, kept on disk for a start without it. Keys of certificates that were ordered stay sealed.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Thousands of certificates have less.
const LONGEST: u64 = 64 * 1024 * 1024;

/// Reads what an earlier run wrote; nothing if there is nothing.
pub(super) fn read(path: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let found = match path.metadata() {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    if found.len() > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too large"));
    }
    let texts: BTreeMap<String, String> = serde_json::from_slice(&fs::read(path)?)?;
    Ok(texts.into_iter().map(|(key, text)| (key, text.into_bytes())).collect())
}

/// The text to write: a certificate is text, whatever else it may be.
pub(super) fn text(texts: &BTreeMap<&str, &[u8]>) -> io::Result<Vec<u8>> {
    let texts: BTreeMap<_, _> =
        texts.iter().map(|(key, text)| (*key, String::from_utf8_lossy(text))).collect();
    Ok(serde_json::to_vec(&texts)?)
}

/// Writes beside and renames, so that a crash leaves one or the other. Nobody else may read it.
pub(super) fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let staged = path.with_extension("convoy-staged");
    // Another run may have died while it wrote.
    let _ = fs::remove_file(&staged);
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&staged)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&staged, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_was_written_is_read_and_nobody_else_may() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("certificates.json");
        assert!(read(&path).unwrap().is_empty());
        let texts = BTreeMap::from([("/a", &b"one"[..]), ("/b", b"two")]);
        for _ in 0..2 {
            write(&path, &text(&texts).unwrap()).unwrap();
        }
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&path).unwrap()["/b"], b"two");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
        fs::write(&path, "nonsense").unwrap();
        assert!(read(&path).is_err());
    }
}
