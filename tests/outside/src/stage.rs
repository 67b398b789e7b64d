//! An edge router with its default limits, and nginx behind it.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use convoy_road::process::{Process, program, wait_until};
use convoy_road::traffic::{Client, Target};
use tempfile::TempDir;

/// The name that is served.
pub(crate) const HOST: &str = "localhost";
/// Who has signed its certificate, a file in the stage's folder.
pub(crate) const AUTHORITY: &str = "authority.pem";
/// Longest wait for both to answer.
const START: Duration = Duration::from_secs(20);

/// Both, running.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) plain: SocketAddr,
    pub(crate) secure: SocketAddr,
    edge: Process,
    _backend: Process,
    pub(crate) folder: TempDir,
}

impl Stage {
    pub(crate) fn set() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("convoy-outside-").tempdir()?;
        let place = folder.path();
        // Workers of nginx are somebody else, who has to come this far.
        fs::set_permissions(place, fs::Permissions::from_mode(0o755))?;
        let (plain, secure, backend) = (free_address()?, free_address()?, free_address()?);
        let nginx = Process::start("nginx", place, nginx(place, backend)?)?;
        let edge = Process::start("edge-router", place, edge(place, plain, secure, backend)?)?;
        let stage = Self { plain, secure, edge, _backend: nginx, folder };
        wait_until("an answer", START, || Ok(Client::default().get(&stage.target())?.status == 200))
            .with_context(|| format!("the edge router says:\n{}", stage.edge.output()))?;
        Ok(stage)
    }

    /// What ordinary clients ask for.
    pub(crate) fn target(&self) -> Target {
        Target { address: self.plain, host: HOST.to_owned(), path: "/".to_owned() }
    }

    /// The most memory that the router had since the call before, in KiB. See proc(5), VmHWM and clear_refs.
    pub(crate) fn most_memory(&self) -> Result<u64> {
        let process = format!("/proc/{}", self.edge.id());
        let status = fs::read_to_string(format!("{process}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.split_whitespace().next()).context("no VmHWM")?;
        fs::write(format!("{process}/clear_refs"), "5")?;
        number.parse().context("VmHWM is no number")
    }
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// `/` is short, `/large` is more than any buffer holds, and `/take` reads a body to its end before anything else.
fn nginx(folder: &Path, address: SocketAddr) -> Result<Command> {
    let files = folder.join("files");
    fs::create_dir(&files)?;
    fs::write(files.join("index.html"), "ordinary\n")?;
    fs::write(files.join("large"), "x".repeat(20 << 20))?;
    let folder = folder.display();
    let configuration = format!(
        "worker_processes 1;\ndaemon off;\nerror_log stderr warn;\npid {folder}/nginx.pid;\n\
         events {{ worker_connections 8192; }}\n\
         http {{\n access_log off;\n client_body_temp_path {folder}/bodies;\n\
         \x20server {{\n  listen {address} backlog=4096;\n  root {folder}/files;\n\
         \x20 location /take {{ proxy_pass http://{address}/; }}\n }}\n}}\n"
    );
    let path = Path::new(&folder.to_string()).join("nginx.conf");
    fs::write(&path, configuration)?;
    let mut command = Command::new("nginx");
    command.arg("-c").arg(&path);
    Ok(command)
}

fn edge(folder: &Path, plain: SocketAddr, secure: SocketAddr, backend: SocketAddr) -> Result<Command> {
    let authority_key = rcgen::KeyPair::generate()?;
    let mut authority = rcgen::CertificateParams::new([])?;
    authority.distinguished_name.push(rcgen::DnType::CommonName, "an authority for a test");
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    fs::write(folder.join(AUTHORITY), authority.self_signed(&authority_key)?.pem())?;
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate()?;
    let certificate = rcgen::CertificateParams::new([HOST.to_owned()])?.signed_by(&key, &issuer)?;
    let certificates = folder.join("certificates");
    fs::create_dir(&certificates)?;
    fs::write(certificates.join("all.pem"), certificate.pem() + &key.serialize_pem())?;
    let routes = folder.join("routes.json");
    fs::write(&routes, format!(r#"{{"routes":[{{"host":"*","hsts":true,"targets":["{backend}"]}}]}}"#))?;
    let mut command = Command::new(program("edge-router")?);
    command
        .args(["--listen", &format!("http={plain}"), "--listen", &format!("https={secure}")])
        .arg("--routes")
        .arg(&routes)
        .arg("--certificates")
        .arg(&certificates)
        .args(["--access-log", "off"])
        .env("CONVOY_CONFIG_PATH", "")
        .env_remove("NOTIFY_SOCKET")
        .env_remove("LISTEN_FDS");
    Ok(command)
}
