//! The state directory: which files there are, and how they are replaced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use convoy_lb_config::Engine;
use thiserror::Error;

/// A file of the state directory could not be read or replaced.
#[derive(Debug, Error)]
#[error("{path}: can't {what} it; is there space, and does the directory belong to this user?", path = path.display())]
pub struct FilesError {
    /// What was to be done.
    what: &'static str,
    /// With which file.
    path: PathBuf,
    /// What the system said.
    source: io::Error,
}

impl FilesError {
    pub(crate) fn new(what: &'static str, path: PathBuf, source: io::Error) -> Self {
        Self { what, path, source }
    }
}

/// Replaces a file as a whole, after its content is on disk.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), FilesError> {
    let draft = path.with_extension("draft");
    write_through(&draft, bytes)?;
    rename(&draft, path)
}

/// The files of one load balancer.
///
/// | file | what |
/// |---|---|
/// | `nginx.conf` | what nginx reads at its next start or reload |
/// | `nginx.conf.staged` | a candidate that is being checked; nginx never runs it |
/// | `nginx.conf.good` | the last one that nginx proved to serve |
/// | `nginx.conf.rejected`, `rejected.txt` | the last one that was refused, and why |
/// | `template.good` | the template of `nginx.conf.good` |
/// | `record.json` | see [`crate::record::Record`] |
/// | `nginx/` | nginx's own pid and temporary files, when it runs on the host |
///
/// HAProxy has `haproxy.cfg` and so on, `haproxy.template.good`, and `haproxy/` for its pid and its socket. The record is
/// the same, so that a load balancer keeps its port and its instances when the other program takes over.
///
/// Every file is replaced by a rename after its content is on disk, so that a reader (nginx, or we after a crash)
/// sees the old one or the new one, never a part.
#[derive(Debug, Clone)]
pub struct StateDir {
    path: PathBuf,
    engine: Engine,
}

impl StateDir {
    /// Files in this directory.
    pub fn new(path: impl Into<PathBuf>, engine: Engine) -> Self {
        Self { path: path.into(), engine }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whose files they are.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// What nginx or HAProxy reads.
    pub fn live(&self) -> PathBuf {
        self.path.join(self.engine.file_name())
    }

    /// The candidate.
    pub fn staged(&self) -> PathBuf {
        self.path.join(format!("{}.staged", self.engine.file_name()))
    }

    /// The last one proved.
    pub fn good(&self) -> PathBuf {
        self.path.join(format!("{}.good", self.engine.file_name()))
    }

    /// The last one refused.
    fn rejected(&self) -> PathBuf {
        self.path.join(format!("{}.rejected", self.engine.file_name()))
    }

    /// Why.
    pub fn reason(&self) -> PathBuf {
        self.path.join("rejected.txt")
    }

    /// The template of the last one proved.
    pub fn good_template(&self) -> PathBuf {
        self.path.join(match self.engine {
            Engine::Nginx => "template.good",
            Engine::Haproxy => "haproxy.template.good",
        })
    }

    /// What bootstrap and the watcher tell each other.
    pub fn record(&self) -> PathBuf {
        self.path.join("record.json")
    }

    /// The program's own files on the host.
    pub fn runtime(&self) -> PathBuf {
        self.path.join(self.engine.program())
    }

    /// Keeps a refused configuration and the reason, for a human to look at.
    pub fn quarantine(&self, text: &str, reason: &str) -> Result<(), FilesError> {
        self.replace(&self.rejected(), text)?;
        self.replace(&self.reason(), reason)
    }

    /// Nothing is refused any more.
    pub fn lift_quarantine(&self) -> Result<(), FilesError> {
        for path in [self.rejected(), self.reason()] {
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(FilesError { what: "remove", path, source });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes the candidate and waits until it is on disk.
    pub fn stage(&self, text: &str) -> Result<(), FilesError> {
        write_through(&self.staged(), text.as_bytes())
    }

    /// Makes the candidate the live file.
    pub fn install_staged(&self) -> Result<(), FilesError> {
        rename(&self.staged(), &self.live())
    }

    /// Replaces a file as a whole.
    pub fn replace(&self, path: &Path, text: &str) -> Result<(), FilesError> {
        replace(path, text.as_bytes())
    }

    /// The content of a file; none when it isn't there, or is no text: then it isn't ours.
    pub fn read(&self, path: &Path) -> Result<Option<String>, FilesError> {
        match fs::read_to_string(path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
                Ok(None)
            }
            Err(source) => Err(FilesError { what: "read", path: path.to_owned(), source }),
        }
    }

    /// Where the program on the host leaves the number of its master, with the shipped template.
    pub fn pid_file(&self) -> PathBuf {
        self.runtime().join(format!("{}.pid", self.engine.program()))
    }

    /// Where HAProxy takes commands, with the shipped template.
    pub fn socket(&self) -> PathBuf {
        self.runtime().join("admin.sock")
    }

    /// Makes the directory for the program's own files.
    pub fn create_runtime(&self) -> Result<(), FilesError> {
        let path = self.runtime();
        fs::create_dir_all(&path).map_err(|source| FilesError { what: "create", path, source })
    }
}

fn write_through(path: &Path, bytes: &[u8]) -> Result<(), FilesError> {
    let fail = |source| FilesError { what: "write", path: path.to_owned(), source };
    // Readable by all: nginx in a container runs as another user. There is no secret in it.
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(path).map_err(fail)?;
    file.write_all(bytes).map_err(fail)?;
    file.sync_all().map_err(fail)
}

fn rename(from: &Path, to: &Path) -> Result<(), FilesError> {
    let fail = |source| FilesError { what: "replace", path: to.to_owned(), source };
    fs::rename(from, to).map_err(fail)?;
    // Without this the old name could come back after a power cut.
    match to.parent() {
        Some(directory) => File::open(directory).and_then(|directory| directory.sync_all()).map_err(fail),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_sees_the_old_or_the_new_file_and_no_draft_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let files = StateDir::new(directory.path(), Engine::Nginx);
        assert_eq!(files.read(&files.live()).unwrap(), None);
        files.stage("one").unwrap();
        assert_eq!(files.read(&files.live()).unwrap(), None);
        files.install_staged().unwrap();
        assert_eq!(files.read(&files.live()).unwrap().as_deref(), Some("one"));
        files.replace(&files.live(), "two").unwrap();
        assert_eq!(files.read(&files.live()).unwrap().as_deref(), Some("two"));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_error_names_the_file() {
        let files = StateDir::new("/nonexistent/somewhere", Engine::Nginx);
        let error = files.stage("x").unwrap_err().to_string();
        assert!(error.contains("/nonexistent/somewhere/nginx.conf.staged"), "{error}");
    }
}
