//! A router with a door for HTTP and one for HTTPS, and a target behind it.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

/// Killed when dropped.
pub(crate) struct Edge {
    pub(crate) http: SocketAddr,
    pub(crate) https: SocketAddr,
    child: Child,
    log: Option<thread::JoinHandle<String>>,
    _folder: TempDir,
}

impl Edge {
    /// Comes back when it serves.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (routes, certificates) = (folder.path().join("routes.json"), folder.path().join("certificates"));
        let target = target();
        fs::write(&routes, format!(r#"{{"routes":[{{"host":"*","targets":["{target}"]}}]}}"#)).unwrap();
        fs::create_dir(&certificates).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["a.example".to_owned()]).unwrap().self_signed(&key).unwrap();
        fs::write(certificates.join("a.pem"), certificate.pem() + &key.serialize_pem()).unwrap();
        let notifications = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        notifications.set_read_timeout(Some(PATIENCE)).unwrap();

        let (http, https) = (free_address(), free_address());
        let mut child = Command::new(env!("CARGO_BIN_EXE_edge-router"))
            .args(["--listen", &format!("http={http}"), "--listen", &format!("https={https}")])
            .args(["--access-log", "stderr", "--routes"])
            .arg(&routes)
            .arg("--certificates")
            .arg(&certificates)
            .env("NOTIFY_SOCKET", folder.path().join("notify"))
            .env("STATE_DIRECTORY", folder.path())
            .env("RUNTIME_DIRECTORY", folder.path())
            .env("CONVOY_CONFIG_PATH", "")
            .env_remove("CONVOY_LOG")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = child.stderr.take().unwrap();
        let log = thread::spawn(move || {
            let mut text = String::new();
            lines.read_to_string(&mut text).unwrap();
            text
        });
        let edge = Self { http, https, child, log: Some(log), _folder: folder };
        let mut space = [0; 4096];
        loop {
            let count = notifications.recv(&mut space).expect("the router is ready in time");
            if String::from_utf8_lossy(&space[..count]).contains("READY=1") {
                return edge;
            }
        }
    }

    /// Ends it as systemd does, and gives its log.
    pub(crate) fn stop(mut self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
        self.log.take().unwrap().join().unwrap()
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // Fails when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Answers every request with a body, after it has read all of it. One that answers earlier ends the stream, and what
/// comes on it after that is rightly ignored: whether a mistake in it is seen would be a matter of luck.
fn target() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            // The router leaves in the middle of a request when its client does.
            thread::spawn(move || while answer(&mut reader).is_ok() {});
        }
    });
    address
}

fn answer(reader: &mut BufReader<TcpStream>) -> io::Result<()> {
    let (mut length, mut chunked, mut is_head) = (0, false, None);
    loop {
        let line = line(reader)?.to_ascii_lowercase();
        is_head.get_or_insert_with(|| line.starts_with("head "));
        match line.split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(("transfer-encoding", value)) => chunked = value == "chunked",
            _ if line.is_empty() => break,
            _ => {}
        }
    }
    if chunked {
        loop {
            let size = u64::from_str_radix(&line(reader)?, 16).unwrap();
            skip(reader, size)?;
            // What follows the last one are trailers.
            while !line(reader)?.is_empty() {}
            if size == 0 {
                break;
            }
        }
    }
    skip(reader, length)?;
    let body = if is_head == Some(true) { "" } else { "some bytes of an answer" };
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\n";
    reader.get_mut().write_all(format!("{head}{body}").as_bytes())
}

/// A line without its end.
fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

fn skip(reader: &mut impl Read, count: u64) -> io::Result<()> {
    let read = io::copy(&mut reader.take(count), &mut io::sink())?;
    if read == count { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
