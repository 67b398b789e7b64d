//! The three of them, each in front of the same kind of target.

use std::fmt::Write;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use convoy_proxy::{Listener, NoLog, Proxy, Settings};
use convoy_routing::{Routes, RoutesFile, Table};
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

/// Nothing on loopback takes longer, unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// A proxy that says nothing for so long has nothing to say, or waits for more.
pub(crate) const SILENCE: Duration = Duration::from_millis(400);

/// Convoy, nginx or HAProxy.
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    /// It ends with this.
    _kept: Box<dyn Sync>,
}

struct Peer {
    child: Child,
    _folder: TempDir,
}

impl Drop for Peer {
    fn drop(&mut self) {
        // nginx has children, which stay when it is killed.
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// One proxy that has a host of its own for each target: `c0`, `c1` and so on.
pub(crate) fn ours(targets: &[SocketAddr]) -> Front {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let entries: Vec<_> = targets
        .iter()
        .enumerate()
        .map(|(number, target)| format!(r#"{{"host":"c{number}","hold":0,"targets":["{target}"]}}"#))
        .collect();
    let file = RoutesFile::parse(format!(r#"{{"routes":[{}]}}"#, entries.join(",")).as_bytes()).unwrap();
    let mut routes = Routes::new();
    routes.replace_documents(file.documents, 0);
    let table = Table::empty([].into()).next(&routes, 1);
    let settings = Settings { threads: 2, ..Settings::default() };
    let proxy = Proxy::start(vec![Listener::http(listener)], table, settings, || Box::new(NoLog)).unwrap();
    Front { address, _kept: Box::new(proxy) }
}

pub(crate) fn nginx(targets: &[SocketAddr]) -> Option<Front> {
    let address = free_address();
    let folder = tempfile::tempdir().unwrap();
    let servers: Vec<_> = targets
        .iter()
        .enumerate()
        .map(|(number, target)| {
            format!("server {{ listen {address}; server_name c{number}; location / {{ proxy_pass http://{target}; }} }}\n")
        })
        .collect();
    let path = folder.path().join("nginx.conf");
    let configuration = format!(
        "daemon off;\nworker_processes 1;\nerror_log stderr crit;\npid {0}/pid;\nevents {{ worker_connections 4096; }}\n\
         http {{\naccess_log off;\nserver_names_hash_max_size 4096;\nproxy_http_version 1.1;\n\
         proxy_set_header Connection \"\";\nproxy_set_header Host $host;\nclient_body_temp_path {0}/body;\n\
         proxy_temp_path {0}/proxy;\nfastcgi_temp_path {0}/f;\nuwsgi_temp_path {0}/u;\nscgi_temp_path {0}/s;\n\
         server {{ listen {address} default_server; return 404; }}\n{1}}}\n",
        folder.path().display(),
        servers.concat(),
    );
    fs::write(&path, configuration).unwrap();
    let mut command = Command::new("nginx");
    command.arg("-c").arg(&path);
    peer("nginx", address, command, folder)
}

pub(crate) fn haproxy(targets: &[SocketAddr]) -> Option<Front> {
    let address = free_address();
    let folder = tempfile::tempdir().unwrap();
    let mut configuration = format!(
        "defaults\n mode http\n timeout client 20s\n timeout server 20s\n timeout connect 5s\n http-reuse always\n\
         frontend front\n bind {address}\n use_backend %[req.hdr(host),field(1,:),lower]\n"
    );
    for (number, target) in targets.iter().enumerate() {
        writeln!(configuration, "backend c{number}\n server one {target}").unwrap();
    }
    let path = folder.path().join("haproxy.cfg");
    fs::write(&path, configuration).unwrap();
    let mut command = Command::new("haproxy");
    command.args(["-db", "-f"]).arg(&path);
    peer("HAProxy", address, command, folder)
}

/// None where it is not installed; with `CI=true` that is a failure.
fn peer(name: &'static str, address: SocketAddr, mut command: Command, folder: TempDir) -> Option<Front> {
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null());
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{name} can't be started: {error}");
            println!("{name} can't be started ({error}): nothing is compared with it");
            return None;
        }
    };
    let front = Front { address, _kept: Box::new(Peer { child, _folder: folder }) };
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < deadline, "{name} never listened");
        std::thread::park_timeout(Duration::from_millis(2));
    }
    Some(front)
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Does something for each number, several at a time, and gives the results in order.
pub(crate) fn in_parallel<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let mut results: Vec<(usize, T)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..24)
            .map(|_| {
                scope.spawn(|| {
                    let mut done = Vec::new();
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= count {
                            return done;
                        }
                        done.push((number, work(number)));
                    }
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}
