//! A real authority for tests: pebble, and the name server that it asks, on an address of their own.
//!
//! All names lead to that address unless the name server is told otherwise, and there the authority looks for proofs, at the
//! ports [`HTTP`] and [`TLS`] or, as in the world, at 80 and 443. Whoever is to be asked listens there, or a [`Front`] does.

mod front;

use std::fs::{self, File};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use convoy_test_etcd::Certificates;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

pub use front::{Doors, Front};

/// Where the authority fetches proofs without TLS.
pub const HTTP: u16 = 5002;
/// Where it makes handshakes for proofs.
pub const TLS: u16 = 5001;
const DIRECTORY: u16 = 14000;
const MANAGEMENT: u16 = 15000;
const NAMES: u16 = 8053;
const NAMES_MANAGEMENT: u16 = 8055;
/// How long its programs may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whom the authority knows, with the key.
pub const CUSTOMER: (&str, &str) =
    ("kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W");

/// True where pebble is installed. Where it isn't, a test says so and ends.
///
/// # Panics
///
/// Where it isn't, with `CI=true`.
#[allow(clippy::panic, reason = "it is called in tests, and fails them")]
pub fn is_there() -> bool {
    let is_there = ["pebble", "pebble-challtestsrv"]
        .iter()
        .all(|program| Command::new(program).arg("-h").output().is_ok());
    assert!(is_there || std::env::var_os("CI").is_none_or(|ci| ci != "true"), "pebble is not installed");
    if !is_there {
        // A closed standard error is nobody's concern.
        let _ =
            writeln!(std::io::stderr(), "skipped: pebble is not installed (packaging/setup-debian.sh test)");
    }
    is_there
}

/// A loopback address that nobody else uses: it makes fixed ports free.
pub fn free_address() -> IpAddr {
    loop {
        let address = Ipv4Addr::new(127, fastrand::u8(1..), fastrand::u8(..), fastrand::u8(1..255));
        let ports = [HTTP, TLS, DIRECTORY, MANAGEMENT, NAMES, NAMES_MANAGEMENT];
        if ports.iter().all(|port| TcpListener::bind((address, *port)).is_ok()) {
            return address.into();
        }
    }
}

/// Where the authority looks for proofs, on whatever address a name leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// Where it fetches them without TLS.
    pub http: u16,
    /// Where it makes handshakes for them.
    pub tls: u16,
}

impl Ports {
    /// Where every other authority looks.
    pub const PUBLIC: Self = Self { http: 80, tls: 443 };
}

impl Default for Ports {
    /// Ports that are free on a computer that serves something itself.
    fn default() -> Self {
        Self { http: HTTP, tls: TLS }
    }
}

/// What kind of authority.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How long its certificates are valid.
    pub validity: Duration,
    /// It wants accounts of customers only.
    pub customers_only: bool,
    /// Where it looks for proofs.
    pub ports: Ports,
}

impl Default for Options {
    fn default() -> Self {
        Self { validity: Duration::from_secs(30 * 86400), customers_only: false, ports: Ports::default() }
    }
}

/// The authority. Killed when dropped.
#[derive(Debug)]
pub struct Pebble {
    address: IpAddr,
    directory: TempDir,
    processes: Vec<Child>,
}

impl Pebble {
    /// Starts one at an address of this computer, such as one of [`free_address`], and waits until it listens. It is in the
    /// network of the thread that polls this.
    pub async fn start(address: IpAddr, options: Options) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("convoy-pebble-").tempdir()?;
        let files = Certificates::make(directory.path(), address)?;
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("{address}:{DIRECTORY}"),
            "managementListenAddress": format!("{address}:{MANAGEMENT}"),
            "certificate": files.server_cert,
            "privateKey": files.server_key,
            "httpPort": options.ports.http,
            "tlsPort": options.ports.tls,
            "certificateValidityPeriod": options.validity.as_secs(),
            "externalAccountBindingRequired": options.customers_only,
            "externalAccountMACKeys": { CUSTOMER.0: CUSTOMER.1 },
        }});
        let path = directory.path().join("pebble.json");
        fs::write(&path, config.to_string())?;
        let mut pebble = Self { address, directory, processes: Vec::new() };
        let (address_text, names) = (address.to_string(), format!("{address}:{NAMES}"));
        let management = format!("{address}:{NAMES_MANAGEMENT}");
        pebble.spawn(
            "pebble-challtestsrv",
            &[
                &["-defaultIPv4", &address_text, "-defaultIPv6", "", "-dns01", &names][..],
                &["-management", &management, "-http01", "", "-https01", "", "-tlsalpn01", ""],
            ]
            .concat(),
        )?;
        pebble.spawn("pebble", &["-config", &path.display().to_string(), "-dnsserver", &names])?;
        for port in [DIRECTORY, MANAGEMENT, NAMES, NAMES_MANAGEMENT] {
            let listens = async {
                while TcpStream::connect((address, port)).await.is_err() {
                    sleep(Duration::from_millis(20)).await;
                }
            };
            timeout(PATIENCE, listens).await.with_context(|| format!("pebble does not listen at {port}"))?;
        }
        Ok(pebble)
    }

    fn spawn(&mut self, program: &str, arguments: &[&str]) -> Result<()> {
        let log = File::create(self.log(program))?;
        let process = Command::new(program)
            .args(arguments)
            // Its pauses would only make the tests slow. Refused nonces and proofs that are not asked for again are kept: both
            // are what an authority does.
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_AUTHZREUSE", "0")
            .stdin(Stdio::null())
            .stderr(log.try_clone()?)
            .stdout(log)
            .spawn()
            .with_context(|| format!("{program} can't be started"))?;
        self.processes.push(process);
        Ok(())
    }

    fn log(&self, program: &str) -> PathBuf {
        self.directory.path().join(format!("{program}.log"))
    }

    /// URL of the directory.
    pub fn url(&self) -> String {
        format!("https://{}:{DIRECTORY}/dir", self.address)
    }

    /// The certificate that the authority's own is checked with.
    pub fn trust(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// URL of the certificate that clients of those whom the authority certified have to trust. It is another one at each start.
    pub fn root(&self) -> String {
        format!("https://{}:{MANAGEMENT}/roots/0", self.address)
    }

    /// URL at which the records of names are set.
    pub fn names(&self) -> String {
        format!("http://{}:{NAMES_MANAGEMENT}", self.address)
    }

    fn count(&self, what: &str) -> usize {
        fs::read_to_string(self.log("pebble")).unwrap_or_default().matches(what).count()
    }

    /// Orders that were placed.
    pub fn orders(&self) -> usize {
        self.count("Added order ")
    }

    /// Certificates that were issued.
    pub fn certificates(&self) -> usize {
        self.count("Issued certificate serial ")
    }

    /// Accounts that were made.
    pub fn accounts(&self) -> usize {
        self.count(" accounts in memory")
    }

    /// A folder that is there as long as the authority is.
    pub fn directory(&self) -> &Path {
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
            let _ = writeln!(std::io::stderr(), "what pebble says:\n{log}");
        }
    }
}
