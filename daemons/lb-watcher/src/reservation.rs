//! Ports that were chosen but that nginx doesn't listen on yet.
//!
//! When a machine boots, several load balancers look for a port at the same moment and would all find the same one
//! free. What one of them has chosen is kept in a directory that they share, until its nginx has had time to listen.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};

/// Longer than nginx takes to listen; after that the port itself tells whether it is taken.
const VALID: Duration = Duration::from_secs(60);

/// The reservations of this machine, locked for one choice.
#[derive(Debug)]
pub(crate) struct Reservations {
    directory: PathBuf,
    /// The lock ends with it.
    _lock: File,
}

impl Reservations {
    /// Locks the directory; waits for others that are choosing.
    pub(crate) fn lock(directory: &Path) -> io::Result<Self> {
        let lock = File::create(directory.join("lock"))?;
        flock(&lock, FlockOperation::LockExclusive)?;
        Ok(Self { directory: directory.to_owned(), _lock: lock })
    }

    /// Whether somebody else has chosen the port a moment ago.
    pub(crate) fn is_reserved(&self, port: u16, own: &str) -> bool {
        let path = self.directory.join(port.to_string());
        let fresh = fs::metadata(&path)
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|modified| SystemTime::now().duration_since(modified).is_ok_and(|age| age < VALID));
        fresh && fs::read_to_string(&path).is_ok_and(|name| name != own)
    }

    /// Reserves the port.
    pub(crate) fn reserve(&self, port: u16, own: &str) -> io::Result<()> {
        fs::write(self.directory.join(port.to_string()), own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_reserved_for_its_own_and_for_a_while() {
        let directory = tempfile::tempdir().unwrap();
        let reservations = Reservations::lock(directory.path()).unwrap();
        assert!(!reservations.is_reserved(8080, "b-1"));
        reservations.reserve(8080, "a-1").unwrap();
        assert!(reservations.is_reserved(8080, "b-1"));
        assert!(!reservations.is_reserved(8080, "a-1"));
        assert!(!reservations.is_reserved(8081, "b-1"));
        let long_ago = SystemTime::now() - 2 * VALID;
        File::options()
            .write(true)
            .open(directory.path().join("8080"))
            .unwrap()
            .set_modified(long_ago)
            .unwrap();
        assert!(!reservations.is_reserved(8080, "b-1"));
    }

    #[test]
    fn two_do_not_choose_at_the_same_time() {
        let directory = tempfile::tempdir().unwrap();
        let first = Reservations::lock(directory.path()).unwrap();
        let lock = File::open(directory.path().join("lock")).unwrap();
        assert!(flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err());
        drop(first);
        assert!(flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok());
    }
}
