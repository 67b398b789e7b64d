//! The client of HAProxy's runtime socket against one that fails on demand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a helper that fails is a test that fails

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use convoy_lb_config::{Backend, Membership, Server, ServerName};
use convoy_lb_watcher::haproxy::{RuntimeError, RuntimeSocket};
use proptest::prelude::*;

const LONGEST: Duration = Duration::from_secs(240);

/// What goes wrong with one line, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// An error is answered, nothing is done.
    Refuse,
    /// All is said to be well, nothing is done.
    Lie,
    /// The connection ends before anything is done.
    CutBefore,
    /// It is done, and the connection ends without an answer.
    CutAfter,
    /// There is no answer, ever.
    Hang,
}

#[derive(Debug, Clone)]
struct Running {
    address: SocketAddr,
    admin: u32,
    weight: u32,
    check: u32,
    used: u32,
    since: u32,
}

impl Running {
    fn at(address: SocketAddr) -> Self {
        Self { address, admin: 0, weight: 1, check: 6, used: 0, since: 0 }
    }

    fn is_in(&self) -> bool {
        self.admin == 0 && self.weight == 1 && self.check == 6
    }
}

#[derive(Debug, Default)]
struct World {
    servers: BTreeMap<String, Running>,
    faults: Vec<Fault>,
    /// Lines that change something.
    told: Vec<String>,
}

/// A HAProxy in memory with a backend `b`.
struct Fake {
    _directory: tempfile::TempDir,
    world: Arc<Mutex<World>>,
    socket: RuntimeSocket,
}

impl Fake {
    fn start(servers: &[(&str, Running)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let servers = servers.iter().map(|(name, running)| ((*name).to_owned(), running.clone())).collect();
        let world = Arc::new(Mutex::new(World { servers, ..World::default() }));
        let shared = Arc::clone(&world);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, world) = (stream.unwrap(), Arc::clone(&shared));
                std::thread::spawn(move || serve(stream, &world));
            }
        });
        Self { _directory: directory, world, socket: RuntimeSocket::new(path) }
    }

    fn faults(&self, faults: &[Fault]) {
        self.world.lock().unwrap().faults = faults.to_vec();
    }

    fn told(&self) -> Vec<String> {
        self.world.lock().unwrap().told.clone()
    }

    /// Who gets requests.
    fn serving(&self) -> BTreeMap<String, SocketAddr> {
        let world = self.world.lock().unwrap();
        let serving = world.servers.iter().filter(|(_, running)| running.is_in());
        serving.map(|(name, running)| (name.clone(), running.address)).collect()
    }

    fn names(&self) -> Vec<String> {
        self.world.lock().unwrap().servers.keys().cloned().collect()
    }
}

fn serve(mut stream: UnixStream, world: &Mutex<World>) {
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).unwrap();
    let is_change = !line.starts_with("show");
    let fault = {
        let mut world = world.lock().unwrap();
        if is_change {
            world.told.push(line.trim().to_owned());
        }
        if is_change && !world.faults.is_empty() { world.faults.remove(0) } else { Fault::None }
    };
    let answer = match fault {
        Fault::Refuse => "No such server.\n".to_owned(),
        Fault::Lie => "\n".to_owned(),
        Fault::CutBefore => return,
        Fault::Hang => {
            // Until the client has given up.
            let _ = stream.read(&mut [0]);
            return;
        }
        Fault::None | Fault::CutAfter => {
            let mut world = world.lock().unwrap();
            line.trim().split("; ").map(|command| carry_out(&mut world, command) + "\n").collect()
        }
    };
    if fault != Fault::CutAfter {
        // The client may have given up.
        let _ = stream.write_all(answer.as_bytes());
    }
}

/// One command as HAProxy 2.6 carries it out.
fn carry_out(world: &mut World, command: &str) -> String {
    let words: Vec<&str> = command.split(' ').collect();
    let name = |id: &str| id.strip_prefix("b/").unwrap().to_owned();
    match *words.as_slice() {
        ["show", "info"] => "Name: HAProxy\nPid: 42\n".to_owned(),
        ["show", "servers", "state", "b"] => {
            let mut text =
                "1\n# be_id srv_name srv_addr srv_port srv_op_state srv_admin_state srv_uweight srv_iweight \
                            srv_time_since_last_change srv_check_state\n"
                    .to_owned();
            for (name, s) in &world.servers {
                let (ip, port) = (s.address.ip(), s.address.port());
                writeln!(text, "3 {name} {ip} {port} 2 {} {} 1 {} {}", s.admin, s.weight, s.since, s.check)
                    .unwrap();
            }
            text
        }
        ["show", "servers", "conn", "b"] => {
            let lines = world.servers.iter().map(|(name, running)| format!("b/{name} {}\n", running.used));
            "# bkname/svname used_cur\n".to_owned() + &lines.collect::<String>()
        }
        ["show", "servers", ..] => "Can't find backend.\n".to_owned(),
        ["add", "server", id, address, ..] => {
            if world.servers.contains_key(&name(id)) {
                return "Already exists a server with the same name in backend.\n".to_owned();
            }
            let added = Running { admin: 1, check: 2, ..Running::at(address.parse().unwrap()) };
            world.servers.insert(name(id), added);
            "New server registered.\n".to_owned()
        }
        ["del", "server", id] => match world.servers.get(&name(id)) {
            Some(running) if running.used > 0 => {
                "Server still has connections attached to it, cannot remove it.\n".to_owned()
            }
            Some(running) if running.admin & 1 == 1 => {
                world.servers.remove(&name(id));
                "Server deleted.\n".to_owned()
            }
            Some(_) => "Only servers in maintenance mode can be deleted.\n".to_owned(),
            None => "No such server.\n".to_owned(),
        },
        ["shutdown", "sessions", "server", id] | ["set" | "enable", _, id, ..] => {
            let Some(running) = world.servers.get_mut(&name(id)) else {
                return "No such server.\n".to_owned();
            };
            match words.get(3..).unwrap_or_default() {
                ["state", "ready"] => running.admin = 0,
                ["state", "drain"] => running.admin = 8,
                ["state", "maint"] => running.admin = 1,
                ["weight", "100%"] => running.weight = 1,
                ["addr", ip, "port", port] => {
                    running.address = SocketAddr::new(ip.parse::<IpAddr>().unwrap(), port.parse().unwrap());
                    return "IP changed by 'stats socket command'\n".to_owned();
                }
                [] => running.check = 6,
                [shut] if shut.starts_with("b/") => running.used = 0,
                _ => panic!("{command}"),
            }
            String::new()
        }
        _ => panic!("{command}"),
    }
}

fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], 80))
}

fn wanted(servers: &[(&str, u8)]) -> Membership {
    let server =
        |&(name, number): &(&str, u8)| Server { name: ServerName::verbatim(name), address: address(number) };
    let backend = Backend { name: "b".to_owned(), options: "check".to_owned() };
    Membership { backends: vec![backend], servers: servers.iter().map(server).collect() }
}

fn serves(membership: &Membership) -> BTreeMap<String, SocketAddr> {
    membership.servers.iter().map(|server| (server.name.to_string(), server.address)).collect()
}

#[tokio::test]
async fn what_is_told_is_what_is_missing_and_once() {
    let fake = Fake::start(&[("1", Running::at(address(1))), ("2", Running::at(address(2)))]);
    let two = wanted(&[("2", 2), ("3", 3)]);
    assert!(!fake.socket.follows(&two).await.unwrap());
    assert_eq!(fake.socket.adjust(&two).await.unwrap(), 2);
    assert_eq!(
        fake.told(),
        [
            "add server b/3 10.0.0.3:80 check; set server b/3 state ready; enable health b/3",
            "set server b/1 state drain"
        ]
    );
    assert_eq!(fake.serving(), serves(&two));
    assert!(fake.socket.follows(&two).await.unwrap());
    assert_eq!(fake.socket.adjust(&two).await.unwrap(), 0);
    assert_eq!(fake.socket.pid().await.unwrap(), 42);
}

#[tokio::test]
async fn an_answer_is_not_believed_and_its_absence_neither() {
    for fault in [Fault::Refuse, Fault::Lie, Fault::CutBefore, Fault::CutAfter] {
        let fake = Fake::start(&[]);
        let one = wanted(&[("1", 1)]);
        fake.faults(&[fault]);
        fake.socket.adjust(&one).await.unwrap();
        assert_eq!(fake.serving(), serves(&one), "{fault:?}");
        // Done without an answer is seen, not done again.
        assert_eq!(fake.told().len(), if fault == Fault::CutAfter { 1 } else { 2 }, "{fault:?}");
    }
}

#[tokio::test]
async fn a_haproxy_that_never_does_it_is_given_up_in_its_own_words() {
    let fake = Fake::start(&[]);
    fake.faults(&[Fault::Refuse; 9]);
    let error = fake.socket.adjust(&wanted(&[("1", 1)])).await.unwrap_err();
    assert!(matches!(error, RuntimeError::NotFollowed(_)), "{error}");
    assert!(error.to_string().contains("No such server."), "{error}");
    assert!(fake.told().len() < 9, "{:?}", fake.told());
}

#[tokio::test]
async fn a_command_without_an_answer_leads_to_a_look_and_a_silent_socket_to_an_error() {
    let fake = Fake::start(&[]);
    let one = wanted(&[("1", 1)]);
    fake.faults(&[Fault::Hang]);
    fake.socket.adjust(&one).await.unwrap();
    assert_eq!(fake.serving(), serves(&one));

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("silent");
    let _listener = UnixListener::bind(&path).unwrap();
    let error = RuntimeSocket::new(&path).adjust(&one).await.unwrap_err();
    assert!(matches!(error, RuntimeError::Late { .. }) && error.to_string().contains("silent"), "{error}");
    let error = RuntimeSocket::new(directory.path().join("none")).adjust(&one).await.unwrap_err();
    assert!(matches!(error, RuntimeError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_backend_that_is_not_there_is_told() {
    let fake = Fake::start(&[]);
    let mut elsewhere = wanted(&[("1", 1)]);
    elsewhere.backends.iter_mut().for_each(|backend| backend.name = "c".to_owned());
    let error = fake.socket.adjust(&elsewhere).await.unwrap_err().to_string();
    assert!(error.contains("show servers state c") && error.contains("Can't find backend."), "{error}");
}

#[tokio::test]
async fn what_left_is_taken_out_when_it_has_nothing_more_to_do() {
    let leaving = |used, since| Running { admin: 8, used, since, ..Running::at(address(9)) };
    let fake = Fake::start(&[
        ("1", Running::at(address(1))),
        ("idle", leaving(0, 1)),
        ("busy", leaving(1, 240)),
        ("late", leaving(1, 241)),
        ("wanted", leaving(0, 999)),
    ]);
    let one = wanted(&[("1", 1), ("wanted", 9)]);
    assert_eq!(fake.socket.tidy(&one, LONGEST).await, 1);
    assert_eq!(fake.names(), ["1", "busy", "wanted"]);
    fake.world.lock().unwrap().servers.get_mut("busy").unwrap().used = 0;
    assert_eq!(fake.socket.tidy(&one, LONGEST).await, 0);
    assert_eq!(fake.names(), ["1", "wanted"]);
}

fn any_fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        3 => Just(Fault::None),
        1 => Just(Fault::Refuse),
        1 => Just(Fault::Lie),
        1 => Just(Fault::CutBefore),
        1 => Just(Fault::CutAfter),
    ]
}

fn any_servers() -> impl Strategy<Value = BTreeMap<String, u8>> {
    proptest::collection::btree_map("[abcd]", 1u8..4, 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn success_is_true_and_an_undisturbed_try_succeeds(
        steps in proptest::collection::vec((any_servers(), proptest::collection::vec(any_fault(), 0..6)), 1..5),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let fake = Fake::start(&[]);
            let as_membership = |servers: &BTreeMap<String, u8>| {
                wanted(&servers.iter().map(|(name, number)| (name.as_str(), *number)).collect::<Vec<_>>())
            };
            for (servers, faults) in &steps {
                let membership = as_membership(servers);
                fake.faults(faults);
                if fake.socket.adjust(&membership).await.is_ok() {
                    assert_eq!(fake.serving(), serves(&membership));
                }
                fake.socket.tidy(&membership, LONGEST).await;
            }
            fake.faults(&[]);
            let membership = as_membership(&steps.last().unwrap().0);
            fake.socket.adjust(&membership).await.unwrap();
            assert_eq!(fake.socket.tidy(&membership, LONGEST).await, 0);
            assert_eq!(fake.serving(), serves(&membership));
            assert_eq!(fake.names().len(), membership.servers.len());
        });
    }
}
