//! The router as a process, targets that say who they are, and clients.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use convoy_store::{Store, StoreSettings};
use convoy_test_etcd::Etcd;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Where requests go: a socket that the test holds, as systemd would.
pub(crate) struct Door {
    pub(crate) listener: TcpListener,
    pub(crate) address: SocketAddr,
    pub(crate) folder: TempDir,
    notifications: Mutex<mpsc::Receiver<String>>,
}

impl Door {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let notifications = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        let (sender, received) = mpsc::channel();
        // systemd reads them all the time, and a queue that is full would block the sender.
        thread::spawn(move || {
            let mut space = [0; 4096];
            while let Ok(count) = notifications.recv(&mut space) {
                if sender.send(String::from_utf8_lossy(&space[..count]).into_owned()).is_err() {
                    return;
                }
            }
        });
        // The child has to find it open under the same number.
        fcntl_setfd(&listener, FdFlags::empty()).unwrap();
        Self { listener, address, folder, notifications: Mutex::new(received) }
    }

    /// Starts a router with the socket, by the rules of sd_listen_fds(3).
    pub(crate) fn open(&self, endpoints: &str) -> Router {
        Router::start(self.command(endpoints))
    }

    fn command(&self, endpoints: &str) -> Command {
        let program = env!("CARGO_BIN_EXE_edge-router");
        // bash, since dash knows no descriptors above 9. Its process becomes the router, so that LISTEN_PID is right; and 3 is where the sockets begin.
        let script = format!(
            "exec 3<&{}; export LISTEN_PID=$$; exec {program} --domain d.example --access-log stderr ${{ROUTES:+--routes \"$ROUTES\"}} \
             ${{TLS:+--listen \"$TLS\" --certificates \"$CERTIFICATES\"}}",
            self.listener.as_raw_fd()
        );
        let mut command = Command::new("bash");
        command
            .args(["-c", &script])
            .env("LISTEN_FDS", "1")
            .env("LISTEN_FDNAMES", "http")
            .env("NOTIFY_SOCKET", self.folder.path().join("notify"))
            .env("WATCHDOG_USEC", "1500000")
            .env("STATE_DIRECTORY", self.folder.path())
            .env("RUNTIME_DIRECTORY", self.folder.path())
            .env("CONVOY_CONFIG_PATH", "")
            .env("CONVOY_ETCD_ENDPOINTS", endpoints);
        command
    }

    /// Starts a router with configuration files.
    pub(crate) fn open_configured(&self, endpoints: &str, config: &Path) -> Router {
        let mut command = self.command(endpoints);
        command.env("CONVOY_CONFIG_PATH", config);
        Router::start(command)
    }

    /// Starts a router with the socket and a routes file instead of a store.
    pub(crate) fn open_with_file(&self, path: &Path) -> Router {
        let mut command = self.command("");
        command.env("ROUTES", path);
        Router::start(command)
    }

    /// The same with a door for TLS beside it.
    pub(crate) fn open_with_tls(&self, routes: &Path, port: u16, certificates: &Path) -> Router {
        let mut command = self.command("");
        command
            .env("ROUTES", routes)
            .env("TLS", format!("https=127.0.0.1:{port}"))
            .env("CERTIFICATES", certificates);
        Router::start(command)
    }

    /// Starts a router with a store, and a door for TLS beside it.
    pub(crate) fn open_whole(&self, endpoints: &str, port: u16, certificates: &Path) -> Router {
        let mut command = self.command(endpoints);
        command.env("TLS", format!("https=127.0.0.1:{port}")).env("CERTIFICATES", certificates);
        Router::start(command)
    }

    /// Waits for a notification that contains the text.
    pub(crate) fn wait_for(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let notifications = self.notifications.lock().unwrap();
        while let Ok(message) = notifications.recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            if message.contains(text) {
                return message;
            }
        }
        panic!("no notification with {text:?}");
    }

    pub(crate) fn metric(&self, name: &str) -> String {
        metric(self.folder.path(), name)
    }
}

/// A number of the router that has this folder for its sockets.
pub(crate) fn metric(folder: &Path, name: &str) -> String {
    let mut stream = std::os::unix::net::UnixStream::connect(folder.join("metrics.sock")).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let found = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")).map(str::to_owned));
    found.unwrap_or_else(|| panic!("{name} in\n{text}"))
}

/// A running router. Killed when dropped.
pub(crate) struct Router {
    child: Child,
    log: Arc<Mutex<String>>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Router {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (mut lines, kept) = (BufReader::new(child.stderr.take().unwrap()), Arc::clone(&log));
        let reader = thread::spawn(move || {
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|count| count > 0) {
                kept.lock().unwrap().push_str(&std::mem::take(&mut line));
            }
        });
        Self { child, log, reader: Some(reader) }
    }

    fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits for a line with this text; the thread that reads them may be a moment behind.
    pub(crate) fn wait_for_log(&self, text: &str) {
        eventually(text, || self.log().contains(text));
    }

    /// Ends it as a crash does: nobody is told.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn terminate(&self) {
        let id = Pid::from_child(&self.child);
        kill_process(id, Signal::TERM).unwrap();
    }

    /// Ends it as systemd does.
    pub(crate) fn stop(mut self) -> (ExitStatus, String) {
        self.terminate();
        let status = self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        (status, self.log())
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        if thread::panicking() {
            // Captured by the harness, and shown only with the failure.
            print!("the router's log:\n{}", self.log());
        }
        // Fails when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port at which nobody listens.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Answers every request with its name. Never ends.
pub(crate) fn target(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            thread::spawn(move || {
                while let Ok(Some(head)) = read_head(&mut reader) {
                    let mut body = vec![0; length(&head)];
                    if reader.read_exact(&mut body).is_err() {
                        return;
                    }
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
                    if reader.get_mut().write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// A kept-alive client.
pub(crate) struct Client {
    address: SocketAddr,
    reader: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, reader: connect(address) }
    }

    /// Status and body. Comes back on a new connection when it was told that the old one ends.
    pub(crate) fn ask(&mut self, method: &str, host: &str) -> io::Result<(u16, String)> {
        let body = if method == "POST" { "abc" } else { "" };
        let request = format!(
            "{method} / HTTP/1.1\r\nHost: {host}.d.example\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.reader.get_mut().write_all(request.as_bytes())?;
        let head = read_head(&mut self.reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut body = vec![0; length(&head)];
        self.reader.read_exact(&mut body)?;
        if head.to_lowercase().contains("connection: close") {
            self.reader = connect(self.address);
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    pub(crate) fn get(&mut self, host: &str) -> (u16, String) {
        self.ask("GET", host).unwrap()
    }
}

fn connect(address: SocketAddr) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    BufReader::new(stream)
}

fn read_head(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(head))
}

fn length(head: &str) -> usize {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, value)| value.trim().parse().unwrap())
}

/// A store with one member, and the means to write to it.
pub(crate) struct Keys {
    pub(crate) etcd: Etcd,
    store: Store,
    runtime: tokio::runtime::Runtime,
}

impl Keys {
    pub(crate) fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (etcd, store) = runtime.block_on(async {
            let etcd = Etcd::start(1).await.unwrap();
            let settings = StoreSettings { endpoints: etcd.endpoints(), ..StoreSettings::default() };
            (etcd, Store::new(settings).unwrap())
        });
        Self { etcd, store, runtime }
    }

    pub(crate) fn endpoints(&self) -> String {
        self.etcd.endpoints().join(",")
    }

    pub(crate) fn put(&self, key: &str, value: &impl ToString) {
        let value = value.to_string();
        self.runtime.block_on(self.store.put(&format!("/services/{key}"), value.as_bytes())).unwrap();
    }

    /// A key outside of `/services/`.
    pub(crate) fn put_at(&self, key: &str, value: &str) {
        self.runtime.block_on(self.store.put(key, value.as_bytes())).unwrap();
    }

    /// The revision at which the key was gone.
    pub(crate) fn delete(&self, key: &str) -> i64 {
        self.runtime.block_on(self.store.delete(&format!("/services/{key}"))).unwrap().get()
    }

    /// The value of a key.
    pub(crate) fn get_at(&self, key: &str) -> Option<Vec<u8>> {
        self.runtime.block_on(self.store.get(key)).unwrap().map(|entry| entry.value)
    }

    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub(crate) fn revision(&self) -> i64 {
        self.runtime.block_on(self.store.revision()).unwrap().get()
    }

    /// The revision of an app that the one router here says it serves.
    pub(crate) fn applied(&self, app: &str) -> Option<String> {
        let listed = self.runtime.block_on(self.store.list(&format!("/convoy/applied/{app}/"))).unwrap();
        let entry = listed.entries.values().next()?;
        assert!(entry.key.contains("/edge-"), "{}", entry.key);
        Some(String::from_utf8(entry.value.clone()).unwrap())
    }
}

/// Asks until the answer is this one; bounded.
pub(crate) fn until_answer(client: &mut Client, host: &str, expected: (u16, &str)) -> Duration {
    let started = Instant::now();
    loop {
        let (status, body) = client.get(host);
        if status == expected.0 && body.contains(expected.1) {
            return started.elapsed();
        }
        assert!(started.elapsed() < PATIENCE, "still {status} {body:?} instead of {expected:?}");
    }
}

pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::park_timeout(Duration::from_millis(5));
    }
}

/// Runs the binary to its end.
pub(crate) fn outcome(arguments: &[&str], folder: &Path) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_edge-router"))
        .args(arguments)
        .env("CONVOY_CONFIG_PATH", folder)
        // What this machine has is not to be found.
        .env("CREDENTIALS_DIRECTORY", folder)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}
