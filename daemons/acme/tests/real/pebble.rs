//! A real authority on loopback: pebble, and the name server that it asks. Both are killed when dropped.

use std::fs::{self, File};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use convoy_test_etcd::Certificates;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

pub(crate) const HTTP: u16 = 5002;
pub(crate) const TLS: u16 = 5001;
const DIRECTORY: u16 = 14000;
const NAMES: u16 = 8053;
const NAMES_MANAGEMENT: u16 = 8055;

/// True where pebble is installed. Where it isn't, a test says so and ends; on CI it fails.
pub(crate) fn is_there() -> bool {
    let is_there = ["pebble", "pebble-challtestsrv"]
        .iter()
        .all(|program| Command::new(program).arg("-h").output().is_ok());
    assert!(is_there || std::env::var_os("CI").is_none_or(|ci| ci != "true"), "pebble is not installed");
    if !is_there {
        eprintln!("skipped: pebble is not installed (packaging/setup-debian.sh test)");
    }
    is_there
}

/// Whom the authority knows, with the key.
pub(crate) const CUSTOMER: (&str, &str) =
    ("kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W");

/// What kind of authority.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// How long its certificates are valid.
    pub(crate) validity: Duration,
    /// It wants accounts of customers only.
    pub(crate) customers_only: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { validity: Duration::from_secs(30 * 86400), customers_only: false }
    }
}

pub(crate) struct Pebble {
    address: IpAddr,
    directory: TempDir,
    processes: Vec<Child>,
}

impl Pebble {
    /// Starts one at a loopback address of its own. All names lead to that address.
    pub(crate) async fn start(address: IpAddr, options: Options) -> Self {
        let directory = tempfile::Builder::new().prefix("convoy-pebble-").tempdir().unwrap();
        let files = Certificates::make(directory.path(), address).unwrap();
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("{address}:{DIRECTORY}"),
            "managementListenAddress": "",
            "certificate": files.server_cert,
            "privateKey": files.server_key,
            "httpPort": HTTP,
            "tlsPort": TLS,
            "certificateValidityPeriod": options.validity.as_secs(),
            "externalAccountBindingRequired": options.customers_only,
            "externalAccountMACKeys": { CUSTOMER.0: CUSTOMER.1 },
        }});
        let path = directory.path().join("pebble.json");
        fs::write(&path, config.to_string()).unwrap();
        let mut pebble = Self { address, directory, processes: Vec::new() };
        pebble.spawn(
            "pebble-challtestsrv",
            &[
                "-defaultIPv4",
                &address.to_string(),
                "-defaultIPv6",
                "",
                "-dns01",
                &format!("{address}:{NAMES}"),
                "-management",
                &format!("{address}:{NAMES_MANAGEMENT}"),
                "-http01",
                "",
                "-https01",
                "",
                "-tlsalpn01",
                "",
            ],
        );
        let path = path.display().to_string();
        pebble.spawn("pebble", &["-config", &path, "-dnsserver", &format!("{address}:{NAMES}")]);
        for port in [DIRECTORY, NAMES, NAMES_MANAGEMENT] {
            let listens = async {
                while TcpStream::connect((address, port)).await.is_err() {
                    sleep(Duration::from_millis(20)).await;
                }
            };
            timeout(Duration::from_secs(20), listens).await.expect("pebble does not listen");
        }
        pebble
    }

    fn spawn(&mut self, program: &str, arguments: &[&str]) {
        let log = File::create(self.log(program)).unwrap();
        let process = Command::new(program)
            .args(arguments)
            // Its pauses would only make the tests slow. Refused nonces and proofs that are not asked for again are kept: both
            // are what an authority does.
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_AUTHZREUSE", "0")
            .stdin(Stdio::null())
            .stderr(log.try_clone().unwrap())
            .stdout(log)
            .spawn()
            .unwrap();
        self.processes.push(process);
    }

    fn log(&self, program: &str) -> PathBuf {
        self.directory.path().join(format!("{program}.log"))
    }

    /// URL of the directory.
    pub(crate) fn url(&self) -> String {
        format!("https://{}:{DIRECTORY}/dir", self.address)
    }

    /// The certificate that the authority's own is checked with.
    pub(crate) fn trust(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// URL at which TXT records are set.
    pub(crate) fn names(&self) -> String {
        format!("http://{}:{NAMES_MANAGEMENT}", self.address)
    }

    fn count(&self, what: &str) -> usize {
        fs::read_to_string(self.log("pebble")).unwrap().matches(what).count()
    }

    /// Orders that were placed.
    pub(crate) fn orders(&self) -> usize {
        self.count("Added order ")
    }

    /// Certificates that were issued.
    pub(crate) fn certificates(&self) -> usize {
        self.count("Issued certificate serial ")
    }

    /// Accounts that were made.
    pub(crate) fn accounts(&self) -> usize {
        self.count(" accounts in memory")
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // One that is gone needs no end.
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            let log = fs::read_to_string(self.log("pebble")).unwrap_or_default();
            eprintln!("what pebble says:\n{log}");
        }
    }
}
