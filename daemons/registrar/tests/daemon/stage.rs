//! A registrar as a process, with a real etcd and a socket that stands for systemd's.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use convoy_store::{Store, StoreSettings};
use convoy_test_etcd::Etcd;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixDatagram};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// Longest wait for something that takes a moment.
pub(crate) const SOON: Duration = Duration::from_secs(20);
pub(crate) const UPSTREAM: &str = "/services/someapp/upstream/1";
pub(crate) const RECORD: &str = "/convoy/instances/someapp/1";

pub(crate) struct Stage {
    pub(crate) etcd: Etcd,
    pub(crate) store: Store,
    pub(crate) folder: TempDir,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let etcd = Etcd::start(1).await.unwrap();
        let settings = StoreSettings { endpoints: etcd.endpoints(), ..StoreSettings::default() };
        Self { etcd, store: Store::new(settings).unwrap(), folder: tempfile::tempdir().unwrap() }
    }

    /// Starts a registrar for someapp-1; `name` tells several of them apart.
    pub(crate) fn registrar(&self, name: &str, arguments: &[&str]) -> Registrar {
        Registrar::start(self.folder.path(), name, &self.etcd.endpoints().join(","), arguments)
    }

    pub(crate) async fn value(&self, key: &str) -> Option<String> {
        let entry = self.store.get(key).await.unwrap()?;
        Some(String::from_utf8(entry.value).unwrap())
    }

    pub(crate) async fn wait_value(&self, key: &str, wanted: Option<&str>) {
        wait(&format!("{key} to be {wanted:?}"), async || {
            let value = self.value(key).await;
            if value.as_deref() == wanted { Ok(()) } else { Err(format!("{value:?}")) }
        })
        .await;
    }

    /// Waits until the record has this state.
    pub(crate) async fn wait_state(&self, state: &str) {
        let state = format!(r#""state":"{state}""#);
        wait(&format!("a record with {state}"), async || {
            let value = self.value(RECORD).await;
            if value.as_deref().is_some_and(|value| value.contains(&state)) {
                Ok(())
            } else {
                Err(format!("{value:?}"))
            }
        })
        .await;
    }
}

/// Asks until the answer is good; fails the test with the last bad one.
pub(crate) async fn wait<F>(what: &str, mut ask: F)
where
    F: AsyncFnMut() -> Result<(), String>,
{
    let deadline = Instant::now() + SOON;
    loop {
        let Err(last) = ask().await else { return };
        assert!(Instant::now() < deadline, "waited for {what}; last seen: {last}");
        sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) struct Registrar {
    child: Child,
    told: watch::Receiver<Vec<String>>,
    reader: JoinHandle<()>,
    log: PathBuf,
}

impl Registrar {
    fn start(folder: &Path, name: &str, endpoints: &str, arguments: &[&str]) -> Self {
        let socket = folder.join(format!("{name}.notify"));
        let notify = UnixDatagram::bind(&socket).unwrap();
        let (sender, told) = watch::channel(Vec::new());
        let reader = tokio::spawn(async move {
            let mut buffer = vec![0; 4096];
            while let Ok(length) = notify.recv(&mut buffer).await {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                sender.send_modify(|told: &mut Vec<String>| told.extend(text.lines().map(str::to_owned)));
            }
        });
        let log = folder.join(format!("{name}.log"));
        let child = command()
            .arg("--instance=someapp-1")
            .args(arguments)
            // Weaker than the arguments, so that a test can say otherwise.
            .envs([("REGISTRAR_TTL", "5s"), ("REGISTRAR_INTERVAL", "200ms")])
            .envs([("REGISTRAR_RISE", "1"), ("REGISTRAR_FALL", "2"), ("REGISTRAR_GRACE", "0")])
            .env("NOTIFY_SOCKET", &socket)
            .env("CONVOY_ETCD_ENDPOINTS", endpoints)
            .stderr(Stdio::from(std::fs::File::create(&log).unwrap()))
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child, told, reader, log }
    }

    pub(crate) fn told(&self) -> Vec<String> {
        self.told.borrow().clone()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until systemd was told a line that begins so and contains that.
    pub(crate) async fn wait_told(&mut self, begin: &str, part: &str) {
        let found =
            self.told.wait_for(|told| told.iter().any(|line| line.starts_with(begin) && line.contains(part)));
        let found = timeout(SOON, found).await.is_ok();
        assert!(found, "waited for {begin}…{part}; told {:#?}\n{}", self.told(), self.log());
    }

    /// Waits until the last status contains that.
    pub(crate) async fn wait_status(&mut self, part: &str) {
        let found = self.told.wait_for(|told| {
            told.iter().rfind(|line| line.starts_with("STATUS=")).is_some_and(|line| line.contains(part))
        });
        let found = timeout(SOON, found).await.is_ok();
        assert!(found, "waited for the status {part:?}; told {:#?}\n{}", self.told(), self.log());
    }

    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().unwrap().to_string();
        let done = std::process::Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(done.success());
    }

    /// Waits until the process has ended.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let ended = timeout(SOON, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("it does not end\n{}", self.log())).unwrap()
    }

    /// Stops it in order.
    pub(crate) async fn stop(&mut self) {
        self.signal("-TERM");
        let status = self.ended().await;
        assert!(status.success(), "{status}\n{}", self.log());
    }
}

impl Drop for Registrar {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// The binary in an environment without any configuration of this computer's.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_registrar"));
    command.env_clear().env("CONVOY_CONFIG_PATH", "/nonexistent/config.d");
    command
}

/// An app that answers every request with the status it is told to.
pub(crate) struct App {
    pub(crate) address: SocketAddr,
    status: watch::Sender<u16>,
    server: JoinHandle<()>,
}

impl App {
    pub(crate) async fn start(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (status, current) = watch::channel(status);
        let server = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let status = *current.borrow();
                let answer =
                    format!("HTTP/1.1 {status} Told\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                let mut head = [0; 1024];
                // A check that goes away is no failure of the app's.
                if stream.read(&mut head).await.is_ok() {
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            }
        });
        Self { address, status, server }
    }

    pub(crate) fn answer(&self, status: u16) {
        self.status.send_replace(status);
    }

    pub(crate) fn at(&self) -> String {
        format!("--address={}", self.address)
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Everything below both prefixes.
pub(crate) async fn keys(stage: &Stage) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for prefix in ["/services/", "/convoy/instances/"] {
        let listed = stage.store.list(prefix).await.unwrap();
        found.extend(
            listed.entries.into_iter().map(|(key, entry)| (key, String::from_utf8(entry.value).unwrap())),
        );
    }
    found
}
