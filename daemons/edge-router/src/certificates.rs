//! Certificates from a folder and from the store, and what is served of them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use convoy_certificates::{Certificate, CertificateError, Certificates, Resolver};
use convoy_keys::certificates_prefix;
use thiserror::Error;

/// More than a chain of ten has.
const LONGEST: u64 = 256 * 1024;
/// The certificate for clients that ask for no name that is known.
const DEFAULT: &str = "default";

/// Why a file is of no use.
#[derive(Debug, Error)]
pub(crate) enum CertificateFileError {
    /// It can't be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Larger than any.
    #[error("it is larger than {LONGEST} bytes")]
    TooLong,
    /// What is in it.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// Where the parts of a certificate are.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    chain: PathBuf,
    key: PathBuf,
    ocsp: PathBuf,
}

/// All certificates, by the names of their files and keys.
#[derive(Debug, Default)]
pub(crate) struct CertificateStore {
    resolver: Arc<Resolver>,
    folder: Option<PathBuf>,
    /// What tells one state of the folder from the next.
    mark: Vec<(PathBuf, u64, u64, i64, i64)>,
    files: BTreeMap<String, Arc<Certificate>>,
    /// With the text.
    keys: BTreeMap<String, (Arc<Certificate>, String)>,
    changed: bool,
}

impl CertificateStore {
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, ..Self::default() }
    }

    /// What connections ask.
    pub(crate) fn resolver(&self) -> Arc<Resolver> {
        Arc::clone(&self.resolver)
    }

    /// The value of a key. One that can't be used leaves the one before in force; why is told.
    pub(crate) fn put(&mut self, key: &str, value: &[u8]) -> Result<(), String> {
        let Some(name) = key.strip_prefix(certificates_prefix()) else { return Ok(()) };
        let text = std::str::from_utf8(value).map_err(|_| "the value is no text".to_owned())?;
        if self.keys.get(name).is_some_and(|(_, known)| known == text) {
            return Ok(());
        }
        let certificate = Certificate::parse(value, value, None).map_err(|error| error.to_string())?;
        self.keys.insert(name.to_owned(), (Arc::new(certificate), text.to_owned()));
        self.changed = true;
        Ok(())
    }

    pub(crate) fn delete(&mut self, key: &str) {
        let known = key.strip_prefix(certificates_prefix()).and_then(|name| self.keys.remove(name));
        self.changed |= known.is_some();
    }

    /// All keys but these are gone.
    pub(crate) fn retain(&mut self, listed: impl Fn(&str) -> bool) {
        let before = self.keys.len();
        self.keys.retain(|name, _| listed(&format!("{}{name}", certificates_prefix())));
        self.changed |= self.keys.len() != before;
    }

    /// Keys and texts, to be kept for a start without the store.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (String, &str)> {
        self.keys.iter().map(|(name, (_, text))| (format!("{}{name}", certificates_prefix()), text.as_str()))
    }

    /// Reads the folder again when something in it changed, and serves what changed anywhere. Tells what can't be used.
    pub(crate) fn refresh(&mut self) -> Vec<(PathBuf, CertificateFileError)> {
        let mut problems = Vec::new();
        if let Some(folder) = self.folder.clone() {
            let parts = listed(&folder).unwrap_or_else(|error| {
                problems.push((folder.clone(), error.into()));
                BTreeMap::new()
            });
            let mark = mark(&parts);
            if problems.is_empty() && mark != self.mark {
                self.mark = mark;
                problems = self.read(&parts);
                self.changed = true;
            }
        }
        if std::mem::take(&mut self.changed) {
            self.publish();
        }
        problems
    }

    fn read(&mut self, parts: &BTreeMap<String, Parts>) -> Vec<(PathBuf, CertificateFileError)> {
        let mut problems = Vec::new();
        let mut files = BTreeMap::new();
        for (name, parts) in parts {
            match load(parts) {
                Ok(certificate) => {
                    files.insert(name.clone(), Arc::new(certificate));
                }
                Err(error) => {
                    problems.push((parts.chain.clone(), error));
                    // Half of a renewal may be there; the certificate from before is good still.
                    if let Some(known) = self.files.get(name) {
                        files.insert(name.clone(), Arc::clone(known));
                    }
                }
            }
        }
        self.files = files;
        problems
    }

    fn publish(&self) {
        let keys = self.keys.iter().map(|(name, (certificate, _))| (name, certificate));
        let mut all: Vec<_> = self.files.iter().chain(keys).collect();
        all.sort_by_key(|(name, _)| name.as_str() != DEFAULT);
        let certificates = Certificates::new(all.into_iter().map(|(_, certificate)| Arc::clone(certificate)));
        tracing::info!(CERTIFICATES = certificates.count(), "certificates are served from now on");
        self.resolver.publish(certificates);
    }
}

/// What is in a folder: `NAME.pem` with chain and key, `NAME.crt` (or `.pem`) beside `NAME.key`, or a folder `NAME` as
/// certbot makes it. Beside each there may be a response of the authority, `NAME.ocsp`.
fn listed(folder: &Path) -> io::Result<BTreeMap<String, Parts>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned) else { continue };
        let is_chain = path.extension().is_some_and(|extension| extension == "pem" || extension == "crt");
        if path.is_dir() && path.join("fullchain.pem").is_file() {
            let parts = Parts {
                chain: path.join("fullchain.pem"),
                key: path.join("privkey.pem"),
                ocsp: path.join("ocsp.der"),
            };
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or(&stem).to_owned();
            found.insert(name, parts);
        } else if is_chain {
            let beside = path.with_extension("key");
            let key = if beside.is_file() { beside } else { path.clone() };
            found.insert(stem, Parts { key, ocsp: path.with_extension("ocsp"), chain: path });
        }
    }
    Ok(found)
}

fn mark(parts: &BTreeMap<String, Parts>) -> Vec<(PathBuf, u64, u64, i64, i64)> {
    parts
        .values()
        .flat_map(|parts| [&parts.chain, &parts.key, &parts.ocsp])
        .filter_map(|path| {
            let found = path.metadata().ok()?;
            Some((path.clone(), found.ino(), found.len(), found.mtime(), found.mtime_nsec()))
        })
        .collect()
}

fn load(parts: &Parts) -> Result<Certificate, CertificateFileError> {
    let ocsp = match read(&parts.ocsp) {
        Ok(response) => Some(response),
        Err(CertificateFileError::Io(error)) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    Ok(Certificate::parse(&read(&parts.chain)?, &read(&parts.key)?, ocsp)?)
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateFileError> {
    if path.metadata()?.len() > LONGEST {
        return Err(CertificateFileError::TooLong);
    }
    Ok(fs::read(path)?)
}

/// Looks at a folder once, for `check`: the hosts that have certificates, and what can't be used.
pub(crate) fn look(folder: &Path) -> (Vec<String>, Vec<(PathBuf, CertificateFileError)>) {
    let mut store = CertificateStore::new(Some(folder.to_owned()));
    let problems = store.refresh();
    let names = store.resolver.certificates().ends().map(|(name, _)| name).collect();
    (names, problems)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn pem(name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn served(store: &CertificateStore) -> Vec<String> {
        let mut names: Vec<_> = store.resolver.certificates().ends().map(|(name, _)| name).collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_is_read_in_every_form_and_again_when_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let ((a, a_key), (b, b_key), (c, c_key)) = (pem("a.example"), pem("b.example"), pem("c.example"));
        write("a.pem", &(a + &a_key));
        write("b.crt", &b);
        write("b.key", &b_key);
        fs::create_dir(folder.path().join("c.example")).unwrap();
        write("c.example/fullchain.pem", &c);
        write("c.example/privkey.pem", &c_key);
        write("notes.txt", "nothing");
        let mut store = CertificateStore::new(Some(folder.path().to_owned()));
        assert!(store.refresh().is_empty());
        assert_eq!(served(&store), ["a.example", "b.example", "c.example"]);

        let shown = store.resolver.certificates();
        write("b.crt", "half of it");
        let problems = store.refresh();
        assert_eq!(problems.len(), 1);
        assert!(problems[0].1.to_string().contains("no certificate in it"), "{problems:?}");
        let still = store.resolver.certificates();
        assert!(Arc::ptr_eq(still.find("b.example").unwrap(), shown.find("b.example").unwrap()));
        assert!(store.refresh().is_empty(), "it is told once");
        fs::remove_file(folder.path().join("a.pem")).unwrap();
        store.refresh();
        assert_eq!(served(&store), ["b.example", "c.example"]);
    }

    #[test]
    fn keys_of_the_store_are_certificates_too() {
        let mut store = CertificateStore::new(None);
        let (chain, key) = pem("a.example");
        let text = chain + &key;
        store.put("/convoy/certificates/a", text.as_bytes()).unwrap();
        store.put("/services/a/lb/1", b"10.0.0.1:80").unwrap();
        store.refresh();
        assert_eq!(served(&store), ["a.example"]);
        assert!(store.put("/convoy/certificates/a", b"nonsense").unwrap_err().contains("no certificate"));
        store.refresh();
        assert_eq!(served(&store), ["a.example"], "the one before is served still");
        assert_eq!(store.entries().next().unwrap(), ("/convoy/certificates/a".to_owned(), text.as_str()));
        store.delete("/convoy/certificates/a");
        store.refresh();
        assert!(served(&store).is_empty());
    }
}
