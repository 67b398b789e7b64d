//! Who is compared, each with the best setup that is fair.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use convoy_road::loopback::free_address;
use convoy_road::process::{Process, program};

use super::{Over, Started};

/// The host of all requests, so that each has to look it up among others.
pub(crate) const HOST: &str = "app500.example";
/// What they have in common.
pub(crate) struct Setup<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) backend: SocketAddr,
    pub(crate) logs: bool,
    pub(crate) over: Over,
    /// How many hosts are routed; [`HOST`] is one of them.
    pub(crate) hosts: usize,
}

pub(crate) struct Rival {
    pub(crate) name: &'static str,
    /// The order of the report.
    pub(crate) place: usize,
    pub(crate) address: SocketAddr,
    pub(crate) over: Over,
    pub(crate) process: Process,
    pub(crate) samples: Vec<f64>,
}

impl Rival {
    /// User and system time of the process and its children so far.
    pub(crate) fn processor_time(&self) -> Result<Duration> {
        let ticks: u64 = family(self.process.id())?.into_iter().filter_map(|id| ticks(id).ok()).sum();
        Ok(Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second()))
    }

    pub(crate) fn resident_kb(&self) -> Result<u64> {
        let of = |id: u32| -> Option<u64> {
            let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            line.split_whitespace().next()?.parse().ok()
        };
        Ok(family(self.process.id())?.into_iter().filter_map(of).sum())
    }

    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    /// Median, least and most.
    pub(crate) fn print(&self) -> String {
        let least = self.samples.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.samples.iter().copied().fold(0.0, f64::max);
        format!("{:.1} ({least:.1} to {most:.1})", self.median())
    }
}

/// The process and all that descend from it.
fn family(root: u32) -> Result<Vec<u32>> {
    let mut parents: HashMap<u32, u32> = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Ok(fields) = stat(id)
            && let Some(parent) = fields.get(1).and_then(|field| field.parse().ok())
        {
            parents.insert(id, parent);
        }
    }
    let mut family = vec![root];
    let mut at = 0;
    while let Some(&parent) = family.get(at) {
        family.extend(parents.iter().filter(|(_, found)| **found == parent).map(|(id, _)| *id));
        at += 1;
    }
    Ok(family)
}

/// The fields of /proc/PID/stat from the state on (proc(5)); before it stands the name, which may have spaces.
fn stat(id: u32) -> Result<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{id}/stat"))?;
    let (_, fields) = text.rsplit_once(") ").context("/proc/PID/stat has no name in it")?;
    Ok(fields.split(' ').map(str::to_owned).collect())
}

fn ticks(id: u32) -> Result<u64> {
    let fields = stat(id)?;
    let field = |at: usize| -> Result<u64> { Ok(fields.get(at).context("too few fields")?.parse()?) };
    // utime and stime.
    Ok(field(11)? + field(12)?)
}

/// nginx, which answers with small files.
pub(crate) fn backend(folder: &Path) -> Result<Started> {
    let address = free_address()?;
    let files = folder.join("files");
    fs::create_dir_all(&files)?;
    fs::write(files.join("64"), "x".repeat(64))?;
    fs::write(files.join("10k"), "x".repeat(10 * 1024))?;
    let configuration = format!(
        "worker_processes 1;\ndaemon off;\nerror_log stderr warn;\npid {0}/backend.pid;\n\
         events {{ worker_connections 8192; }}\n\
         http {{\n access_log off;\n keepalive_requests 1000000000;\n open_file_cache max=10;\n\
         \x20server {{\n  listen {address} backlog=4096;\n  root {1};\n }}\n}}\n",
        folder.display(),
        files.display(),
    );
    let path = folder.join("backend.conf");
    fs::write(&path, configuration)?;
    // Its workers are somebody else, who has to come this far.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    let mut command = Command::new("nginx");
    command.arg("-c").arg(&path);
    Ok(Started { address, _process: Process::start("backend", folder, &command)? })
}

/// A certificate for [`HOST`], the same for all.
pub(crate) fn certificate(folder: &Path) -> Result<()> {
    let key = rcgen::KeyPair::generate()?;
    let certificate = rcgen::CertificateParams::new([HOST.to_owned()])?.self_signed(&key)?;
    let certificates = folder.join("certificates");
    fs::create_dir_all(&certificates)?;
    fs::write(certificates.join("all.pem"), certificate.pem() + &key.serialize_pem())?;
    Ok(())
}

/// The edge router first. `CONVOY_BENCH_BEFORE` names another edge-router to be compared with, such as the one before a
/// change.
pub(crate) fn all(setup: &Setup<'_>) -> Result<Vec<Rival>> {
    let mut rivals = vec![
        ("edge-router", edge(setup, &program("edge-router")?)?),
        ("nginx", nginx(setup)?),
        ("HAProxy", haproxy(setup)?),
    ];
    if let Some(before) = std::env::var_os("CONVOY_BENCH_BEFORE") {
        rivals.push(("edge-router before", edge(setup, Path::new(&before))?));
    }
    let rivals = rivals.into_iter().enumerate();
    Ok(rivals
        .map(|(place, (name, (address, process)))| Rival {
            name,
            place,
            address,
            over: setup.over,
            process,
            samples: Vec::new(),
        })
        .collect())
}

fn hosts(setup: &Setup<'_>) -> impl Iterator<Item = String> + use<> {
    (500..500 + setup.hosts).map(|number| format!("app{number}.example"))
}

fn edge(setup: &Setup<'_>, program: &Path) -> Result<(SocketAddr, Process)> {
    let address = free_address()?;
    let backend = setup.backend;
    let entries: Vec<_> =
        hosts(setup).map(|host| format!(r#"{{"host":"{host}","targets":["{backend}"]}}"#)).collect();
    let routes = setup.folder.join("routes.json");
    let written = format!(r#"{{"routes":[{}]}}"#, entries.join(","));
    // Another one may be reading it.
    if fs::read_to_string(&routes).ok().as_ref() != Some(&written) {
        fs::write(&routes, written)?;
    }
    let mut command = Command::new(program);
    let name = if setup.over == Over::Http1 { "http" } else { "https" };
    command.arg("--listen").arg(format!("{name}={address}")).arg("--routes").arg(&routes);
    command.arg("--certificates").arg(setup.folder.join("certificates"));
    command.args(["--threads", "1", "--access-log", if setup.logs { "stderr" } else { "off" }]);
    command.env("CONVOY_CONFIG_PATH", "").env_remove("NOTIFY_SOCKET").env_remove("LISTEN_FDS");
    Ok((address, Process::start("edge-router", setup.folder, &command)?))
}

fn nginx(setup: &Setup<'_>) -> Result<(SocketAddr, Process)> {
    let address = free_address()?;
    let folder = setup.folder.display();
    let log =
        if setup.logs { format!("{folder}/nginx-access.log combined buffer=48k") } else { "off".to_owned() };
    let mut configuration = format!(
        "worker_processes 1;\ndaemon off;\nerror_log stderr warn;\npid {folder}/nginx.pid;\n\
         events {{ worker_connections 8192; }}\n\
         http {{\n access_log {log};\n keepalive_requests 1000000000;\n server_names_hash_max_size 65536;\n\
         upstream backend {{ server {}; keepalive 1024; keepalive_requests 1000000000; }}\n\
         proxy_http_version 1.1;\n proxy_set_header Connection \"\";\n proxy_set_header Host $host;\n\
         proxy_set_header X-Forwarded-For $remote_addr;\n proxy_set_header X-Forwarded-Proto $scheme;\n\
         proxy_set_header X-Forwarded-Host $host;\n proxy_set_header X-Request-Id $request_id;\n",
        setup.backend
    );
    let kind = match setup.over {
        Over::Http1 => "",
        Over::Tls => " ssl",
        Over::Tls2 => " ssl http2",
    };
    let pem = format!("{folder}/certificates/all.pem");
    // nginx 1.22 leaves TLS 1.3 out unless it is told.
    write!(
        configuration,
        " ssl_protocols TLSv1.2 TLSv1.3;\n ssl_certificate {pem};\n ssl_certificate_key {pem};\n"
    )?;
    for (number, host) in hosts(setup).enumerate() {
        let backlog = if number == 0 { " backlog=4096" } else { "" };
        writeln!(
            configuration,
            " server {{ listen {address}{kind}{backlog}; server_name {host}; location / {{ proxy_pass http://backend; }} }}"
        )?;
    }
    configuration.push_str("}\n");
    let path = setup.folder.join("nginx.conf");
    fs::write(&path, configuration)?;
    let mut command = Command::new("nginx");
    command.arg("-c").arg(&path);
    Ok((address, Process::start("nginx", setup.folder, &command)?))
}

fn haproxy(setup: &Setup<'_>) -> Result<(SocketAddr, Process)> {
    let address = free_address()?;
    let map = setup.folder.join("hosts.map");
    let lines: Vec<_> = hosts(setup).map(|host| format!("{host} backend\n")).collect();
    fs::write(&map, lines.concat())?;
    let tls = match setup.over {
        Over::Http1 => String::new(),
        Over::Tls | Over::Tls2 => {
            format!(" ssl crt {}/certificates/all.pem alpn h2,http/1.1", setup.folder.display())
        }
    };
    let log = if setup.logs { " log stdout format raw local0\n option httplog\n" } else { "" };
    let configuration = format!(
        "global\n nbthread 1\n maxconn 8192\ndefaults\n mode http\n timeout client 60s\n timeout server 60s\n\
         \x20timeout connect 2s\n http-reuse always\n option forwardfor\n{log}\
         frontend front\n bind {address} backlog 4096{tls}\n http-request set-header X-Forwarded-Proto http\n\
         \x20http-request set-header X-Forwarded-Host %[req.hdr(host)]\n unique-id-format %{{+X}}o%pid%rt%Ts\n\
         \x20unique-id-header X-Request-Id\n\
         \x20use_backend %[req.hdr(host),field(1,:),lower,map({})]\nbackend backend\n server one {}\n",
        map.display(),
        setup.backend
    );
    let path = setup.folder.join("haproxy.cfg");
    fs::write(&path, configuration)?;
    let mut command = Command::new("haproxy");
    command.args(["-db", "-f"]).arg(&path);
    Ok((address, Process::start("haproxy", setup.folder, &command)?))
}
