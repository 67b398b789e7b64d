//! The thread that writes.

use std::io::{self, IoSlice, Write};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::mpsc::Receiver;

use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg};

use super::queue::{Batch, Format};

/// journald's socket for entries (systemd's «Native Journal Protocol»).
const JOURNAL: &str = "/run/systemd/journal/socket";

/// Writes until nobody sends any more.
pub(crate) fn run(format: Format, batches: &Receiver<Batch>) {
    let mut journal = Journal::at(JOURNAL);
    let mut failing = false;
    for batch in batches {
        let written = match format {
            Format::Journal => journal.write(&batch),
            Format::Line | Format::Combined | Format::Json => io::stderr().lock().write_all(&batch.bytes),
        };
        match written {
            Ok(()) => failing = false,
            Err(error) => {
                if !failing {
                    tracing::warn!(%error, "the access log can't be written; entries are lost");
                }
                failing = true;
            }
        }
    }
}

/// A connection to journald, made anew when journald was.
#[derive(Debug)]
struct Journal {
    path: PathBuf,
    socket: Option<UnixDatagram>,
}

impl Journal {
    fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), socket: None }
    }

    fn write(&mut self, batch: &Batch) -> io::Result<()> {
        let mut sent = 0;
        let mut reconnected = false;
        let entries: Vec<_> = batch.entries().map(|entry| [IoSlice::new(entry)]).collect();
        while let Some(rest) = entries.get(sent..).filter(|rest| !rest.is_empty()) {
            match self.send(rest) {
                Ok(count) => sent += count.max(1),
                // Its other end may just be gone, and another one be there.
                Err(_) if !reconnected => reconnected = true,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits when journald is behind; the queue bounds what that costs. After an error the connection is gone.
    fn send(&mut self, entries: &[[IoSlice<'_>; 1]]) -> io::Result<usize> {
        let socket = if let Some(socket) = self.socket.take() {
            socket
        } else {
            let socket = UnixDatagram::unbound()?;
            socket.connect(&self.path)?;
            socket
        };
        let mut control: Vec<_> = entries.iter().map(|_| SendAncillaryBuffer::default()).collect();
        let mut messages: Vec<_> =
            entries.iter().zip(&mut control).map(|(entry, control)| MMsgHdr::new(entry, control)).collect();
        let sent = sendmmsg(&socket, &mut messages, SendFlags::NOSIGNAL)?;
        self.socket = Some(socket);
        Ok(sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(entries: &[&str]) -> Batch {
        let mut batch = Batch::default();
        for entry in entries {
            batch.bytes.extend_from_slice(entry.as_bytes());
            batch.ends.push(batch.bytes.len());
        }
        batch
    }

    fn received(socket: &UnixDatagram) -> String {
        let mut space = [0; 64];
        let count = socket.recv(&mut space).unwrap();
        String::from_utf8(space[..count].to_vec()).unwrap()
    }

    #[test]
    fn every_entry_is_a_datagram_also_after_a_restart_of_the_journal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let mut journal = Journal::at(&path);
        assert!(journal.write(&batch(&["lost"])).is_err(), "nobody is there yet");
        for _ in 0..2 {
            let receiver = UnixDatagram::bind(&path).unwrap();
            journal.write(&batch(&["A=1\n", "A=2\n", "A=3\n"])).unwrap();
            let entries: Vec<_> = (0..3).map(|_| received(&receiver)).collect();
            assert_eq!(entries, ["A=1\n", "A=2\n", "A=3\n"]);
            drop(receiver);
            std::fs::remove_file(&path).unwrap();
        }
    }
}
