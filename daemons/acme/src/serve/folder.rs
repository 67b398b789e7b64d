//! Certificates in a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use std::os::unix::fs::MetadataExt;

use convoy_certificates::Certificate;

use crate::status::{Problem, Source};

/// More than a chain of ten has.
const LONGEST: u64 = 256 * 1024;

/// Where the parts of a certificate are.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    chain: PathBuf,
    key: PathBuf,
    ocsp: PathBuf,
}

/// What tells one state of a file from the next.
type Mark = (PathBuf, u64, u64, i64, i64);

/// A certificate with its file.
#[derive(Debug, Clone)]
pub(crate) struct FromFile {
    pub(crate) chain: PathBuf,
    pub(crate) certificate: Arc<Certificate>,
}

/// A folder as it was read last.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    mark: Option<Vec<Mark>>,
    /// By name.
    files: BTreeMap<String, FromFile>,
    problems: Vec<Problem>,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, mark: None, files: BTreeMap::new(), problems: Vec::new() }
    }

    /// The certificates by name, which is that of the file without its ending.
    pub(super) fn files(&self) -> &BTreeMap<String, FromFile> {
        &self.files
    }

    pub(super) fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Folders in which something may change: this one, and those below with a certificate each.
    pub(super) fn places(&self) -> BTreeSet<PathBuf> {
        let below = fs::read_dir(&self.path).into_iter().flatten().flatten().map(|entry| entry.path());
        below.filter(|path| path.is_dir()).chain([self.path.clone()]).collect()
    }

    /// Reads the folder again if something in it changed; true then.
    pub(super) fn refresh(&mut self) -> bool {
        let parts = match listed(&self.path) {
            Ok(parts) => parts,
            Err(error) => {
                let error = format!("{error}; what was read before is served on; make the folder readable");
                let problems = vec![Problem { source: Source::File(self.path.clone()), error }];
                let is_news = problems != self.problems;
                // Whatever it is when it can be read again is to be read.
                self.mark = None;
                self.problems = problems;
                return is_news;
            }
        };
        let mark = Some(mark(&parts));
        if mark == self.mark {
            return false;
        }
        self.mark = mark;
        self.read(&parts);
        true
    }

    fn read(&mut self, parts: &BTreeMap<String, Parts>) {
        let mut files = BTreeMap::new();
        self.problems.clear();
        for (name, parts) in parts {
            match load(parts) {
                Ok(certificate) => {
                    let certificate = Arc::new(certificate);
                    files.insert(name.clone(), FromFile { chain: parts.chain.clone(), certificate });
                }
                Err((path, error)) => {
                    self.problems.push(Problem { source: Source::File(path), error });
                    // Half of a renewal may be there; the certificate from before is good still.
                    if let Some(known) = self.files.get(name) {
                        files.insert(name.clone(), known.clone());
                    }
                }
            }
        }
        self.files = files;
    }
}

/// What is in a folder: `NAME.pem` with chain and key, `NAME.pem` or `NAME.crt` beside `NAME.key`, or a folder `NAME` as
/// certbot makes it. Beside each there may be a response of the authority, `NAME.ocsp`.
fn listed(folder: &Path) -> io::Result<BTreeMap<String, Parts>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = |text: Option<&std::ffi::OsStr>| text.and_then(|text| text.to_str()).map(str::to_owned);
        let (Some(name), Some(stem)) = (name(path.file_name()), name(path.file_stem())) else { continue };
        // Those of an editor, or of somebody who writes beside and renames.
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            if path.join("fullchain.pem").exists() {
                let parts = Parts {
                    chain: path.join("fullchain.pem"),
                    key: path.join("privkey.pem"),
                    ocsp: path.join("ocsp.der"),
                };
                found.insert(name, parts);
            }
        } else if path.extension().is_some_and(|extension| extension == "pem" || extension == "crt") {
            let beside = path.with_extension("key");
            let key = if beside.exists() { beside } else { path.clone() };
            found.insert(stem, Parts { key, ocsp: path.with_extension("ocsp"), chain: path });
        }
    }
    Ok(found)
}

fn mark(parts: &BTreeMap<String, Parts>) -> Vec<Mark> {
    let paths = parts.values().flat_map(|parts| [&parts.chain, &parts.key, &parts.ocsp]);
    let marks = paths.filter_map(|path| {
        let found = path.metadata().ok()?;
        Some((path.clone(), found.ino(), found.len(), found.mtime(), found.mtime_nsec()))
    });
    marks.collect()
}

/// Reads one; an error is with the file that it is about.
fn load(parts: &Parts) -> Result<Certificate, (PathBuf, String)> {
    let about = |path: &Path, error: String| (path.to_owned(), error);
    let text = |path: &Path| read(path).map_err(|error| about(path, error));
    let ocsp = if parts.ocsp.exists() { Some(text(&parts.ocsp)?) } else { None };
    let (chain, key) = (text(&parts.chain)?, text(&parts.key)?);
    Certificate::parse(&chain, &key, ocsp).map_err(|error| {
        let is_the_key_s = matches!(
            error,
            convoy_certificates::CertificateError::NoKey | convoy_certificates::CertificateError::Key(_)
        );
        about(if is_the_key_s { &parts.key } else { &parts.chain }, error.to_string())
    })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let advice = |error: io::Error| format!("{error}; let the user of this daemon read it");
    if path.metadata().map_err(advice)?.len() > LONGEST {
        return Err(format!("it is larger than {LONGEST} bytes; put one chain and one key there"));
    }
    fs::read(path).map_err(advice)
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

    fn served(folder: &Folder) -> Vec<String> {
        folder.files().values().flat_map(|file| file.certificate.names().to_vec()).collect()
    }

    #[test]
    fn a_folder_is_read_in_every_form_and_again_when_it_changes() {
        let place = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(place.path().join(name), text).unwrap();
        let ((a, a_key), (b, b_key), (c, c_key)) = (pem("a.example"), pem("b.example"), pem("c.example"));
        write("a.pem", &(a + &a_key));
        write("b.crt", &b);
        write("b.key", &b_key);
        fs::create_dir(place.path().join("c.example")).unwrap();
        write("c.example/fullchain.pem", &c);
        write("c.example/privkey.pem", &c_key);
        write("notes.txt", "nothing");
        write(".a.pem.swp", "nothing");
        let mut folder = Folder::new(place.path().to_owned());
        assert!(folder.refresh() && !folder.refresh());
        assert_eq!(served(&folder), ["a.example", "b.example", "c.example"]);
        assert!(folder.problems().is_empty());
        assert_eq!(folder.places().len(), 2);

        let (renewed, renewed_key) = pem("b.example");
        write("b.crt", &renewed);
        assert!(folder.refresh());
        assert_eq!(served(&folder), ["a.example", "b.example", "c.example"], "the key is yet to come");
        let problem = folder.problems()[0].to_string();
        assert!(
            problem.contains("b.crt: the private key is not the certificate's; put the pair"),
            "{problem}"
        );
        write("b.key", &renewed_key);
        fs::remove_file(place.path().join("a.pem")).unwrap();
        assert!(folder.refresh());
        assert_eq!(served(&folder), ["b.example", "c.example"]);
        assert!(folder.problems().is_empty());
    }

    #[test]
    fn a_bad_file_is_told_and_harms_no_other() {
        let place = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(place.path().join(name), text).unwrap();
        let (a, a_key) = pem("a.example");
        write("a.pem", &(a.clone() + &a_key));
        write("b.pem", "nonsense");
        write("c.crt", &a);
        write("c.key", "nonsense");
        write("d.pem", &"x".repeat(300_000));
        let mut folder = Folder::new(place.path().to_owned());
        assert!(folder.refresh());
        assert_eq!(served(&folder), ["a.example"]);
        let problems: Vec<_> = folder.problems().iter().map(ToString::to_string).collect();
        for (problem, expected) in problems.iter().zip([
            "b.pem: there is no certificate in it; it has to be PEM",
            "c.key: there is no private key in it; it has to be PEM",
            "d.pem: it is larger than 262144 bytes",
        ]) {
            assert!(problem.contains(expected), "{problem}");
        }
        assert_eq!(problems.len(), 3);
    }

    #[test]
    fn a_response_beside_a_certificate_goes_with_it() {
        let place = tempfile::tempdir().unwrap();
        let (a, a_key) = pem("a.example");
        fs::write(place.path().join("a.pem"), a + &a_key).unwrap();
        let mut folder = Folder::new(place.path().to_owned());
        folder.refresh();
        let before = Arc::clone(&folder.files()["a"].certificate);
        assert_eq!(before.ocsp(), None);
        fs::write(place.path().join("a.ocsp"), b"response").unwrap();
        assert!(folder.refresh());
        assert_eq!(folder.files()["a"].certificate.ocsp(), Some(&b"response"[..]));
    }

    #[test]
    fn a_folder_that_goes_away_takes_nothing_with_it() {
        let place = tempfile::tempdir().unwrap();
        let (a, a_key) = pem("a.example");
        let path = place.path().join("certificates");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("a.pem"), a + &a_key).unwrap();
        let mut folder = Folder::new(path.clone());
        folder.refresh();
        fs::rename(&path, place.path().join("elsewhere")).unwrap();
        assert!(folder.refresh() && !folder.refresh(), "it is told once");
        assert_eq!((served(&folder).len(), folder.problems().len()), (1, 1));
        fs::rename(place.path().join("elsewhere"), &path).unwrap();
        assert!(folder.refresh());
        assert_eq!((served(&folder).len(), folder.problems().len()), (1, 0));
    }
}
