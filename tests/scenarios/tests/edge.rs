//! The edge on a bad day, on three machines: a store that changes all the time, one that is large, and one that is away.
//!
//! All machines are etcd members and `m3` is the edge. What it routes to are servers outside of the machines: containers
//! and load balancers are in `road`.

use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use convoy_cluster::wait_until;
use convoy_road::traffic::{Client, Target};
use convoy_scenarios::{DOMAIN, SOON, Scenario, Stage, answer, options, run, serve};
use convoy_store::Store;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tungstenite::Message;

const EDGE: u8 = 3;
const ROUTER: &str = "edge-router.service";
const SERVICES: usize = 1000;
/// The targets of each service.
const TARGETS: [&str; 5] = ["one", "two", "three", "four", "five"];
/// Changes that are on their way to the store at the same time.
const AT_ONCE: usize = 32;

/// The machines, and the servers behind the edge.
#[derive(Debug)]
struct Edge {
    stage: Stage,
    targets: Vec<SocketAddr>,
    echo: SocketAddr,
}

fn main() -> ExitCode {
    run(
        options("edge", 3, &[]),
        |cluster| {
            let targets = TARGETS.map(|name| serve(&cluster, move |client| answer(client, name)));
            let targets = targets.into_iter().collect::<Result<_>>()?;
            let echo = serve(&cluster, |client| {
                // Who leaves without a word ends it too.
                let _ = echo(client);
            })?;
            let stage = Stage { cluster };
            stage.start(EDGE, "edge-router.socket")?;
            stage.start(EDGE, ROUTER)?;
            Ok(Edge { stage, targets, echo })
        },
        &[
            Scenario {
                name: "a_websocket_survives_two_hundred_unrelated_changes_a_second",
                prove: websocket,
            },
            Scenario {
                name: "a_thousand_services_of_five_targets_are_served_and_followed",
                prove: thousand_services,
            },
            Scenario {
                name: "restarts_of_the_edge_fail_no_request_while_the_store_is_away",
                prove: restart_without_store,
            },
            Scenario {
                name: "an_edge_that_knows_nothing_keeps_clients_waiting_until_the_store_is_back",
                prove: first_start_without_store,
            },
        ],
    )
}

impl Edge {
    fn target(&self, app: &str) -> Target {
        self.stage.target(EDGE, 80, &format!("{app}.{DOMAIN}"))
    }

    fn status(&self) -> Result<String> {
        self.stage.property(EDGE, ROUTER, "StatusText")
    }

    fn wait_for_status(&self, expected: &str) -> Result<()> {
        wait_until(&format!("the status {expected:?}"), SOON, || {
            let status = self.status().map_err(|error| format!("{error:#}"))?;
            if status.contains(expected) { Ok(()) } else { Err(status) }
        })?;
        Ok(())
    }

    /// Waits until the edge serves what the store had at a revision.
    fn wait_for_revision(&self, revision: i64) -> Result<()> {
        wait_until(&format!("a table of revision {revision}"), SOON, || {
            let found = self.revision().map_err(|error| format!("{error:#}"))?;
            if found >= revision { Ok(()) } else { Err(format!("it is of {found}")) }
        })?;
        Ok(())
    }

    fn revision(&self) -> Result<i64> {
        let words = ["curl", "-sS", "--unix-socket", "/run/edge-router/metrics.sock", "http://x/metrics"];
        let text = self.stage.cluster.machine(EDGE).exec_ok(&words)?.stdout;
        let line = text.lines().find_map(|line| line.strip_prefix("edge_router_table_revision "));
        line.context("no revision among the metrics")?.parse().context("the revision is no number")
    }

    /// Starts or stops etcd on all of its members.
    fn etcd(&self, verb: &str) -> Result<()> {
        for number in 1..=3 {
            // One member alone is never ready, so nobody waits for it.
            self.stage.cluster.machine(number).systemctl(&[verb, "--no-block", "etcd.service"])?;
        }
        let members = if verb == "stop" { "inactive" } else { "active" };
        for number in 1..=3 {
            wait_until(&format!("etcd {members} on m{number}"), SOON, || {
                let state = self.stage.property(number, "etcd.service", "ActiveState");
                let state = state.map_err(|error| format!("{error:#}"))?;
                if state == members { Ok(()) } else { Err(state) }
            })?;
        }
        Ok(())
    }

    /// A service of its own, announced and served.
    fn announce(&self, app: &str) -> Result<()> {
        let target = self.targets.first().context("no target")?.to_string();
        self.stage.etcdctl(1, &["put", &format!("/services/{app}/upstream/1"), &target])?;
        self.stage.wait_for_instances(&self.target(app), &["one"], SOON)
    }
}

fn upstream(service: usize, target: usize) -> String {
    format!("/services/service-{service}/upstream/{}", target + 1)
}

/// Puts all keys, many at a time, and gives the revision of the last one.
async fn put_all(store: &Store, keys: impl Iterator<Item = (String, SocketAddr)>) -> Result<i64> {
    stream::iter(keys)
        .map(|(key, address)| async move { store.put(&key, address.to_string().as_bytes()).await })
        .buffer_unordered(AT_ONCE)
        .try_fold(0, |newest, revision| async move { Ok(newest.max(revision.get())) })
        .await
        .context("the keys can't be put")
}

/// Sends back whatever comes.
fn echo(client: TcpStream) -> Result<()> {
    let mut socket = tungstenite::accept(client).map_err(|error| anyhow!("no WebSocket: {error}"))?;
    loop {
        let message = socket.read()?;
        if message.is_text() {
            socket.send(message)?;
        }
    }
}

/// A client that asks for an echo again and again on one WebSocket, and how often it got one.
struct Chat {
    stop: Arc<AtomicBool>,
    worker: JoinHandle<Result<u64>>,
}

impl Chat {
    fn start(edge: &Edge) -> Result<Self> {
        let Target { address, host, .. } = edge.target("chat");
        let stop = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&stop);
        let worker = edge.stage.cluster.with_network(|| {
            thread::spawn(move || {
                let stream = TcpStream::connect(address)?;
                stream.set_read_timeout(Some(Duration::from_secs(5)))?;
                let (mut socket, _) = tungstenite::client(format!("ws://{host}/"), stream)?;
                let mut echoes = 0;
                while !over.load(Ordering::Relaxed) {
                    let said = Message::text(format!("word {echoes}"));
                    socket.send(said.clone())?;
                    let heard = socket.read().with_context(|| format!("after {echoes} echoes"))?;
                    ensure!(heard == said, "{heard} is no echo of {said}");
                    echoes += 1;
                    thread::park_timeout(Duration::from_millis(5));
                }
                Ok(echoes)
            })
        })?;
        Ok(Self { stop, worker })
    }

    fn stop(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.worker.join().map_err(|_| anyhow!("the client panicked"))?
    }
}

fn websocket(edge: &Edge) -> Result<()> {
    const CHANGES: usize = 3000;
    edge.stage.etcdctl(1, &["put", "/services/chat/upstream/1", &edge.echo.to_string()])?;
    edge.announce("quiet")?;
    wait_until("a WebSocket", SOON, || {
        Chat::start(edge).and_then(Chat::stop).map(drop).map_err(|error| format!("{error:#}"))
    })?;
    let chat = Chat::start(edge)?;
    let traffic = edge.stage.traffic(&edge.target("quiet"), 1, Duration::from_millis(5))?;
    let began = Instant::now();
    let targets = &edge.targets;
    let newest = edge.stage.with_store(|store| async move {
        // A service each: its targets move, or it gets one more.
        let key = |change| format!("/services/noise-{}/upstream/{}", change % 50, change % 7);
        let mut keys = (0..CHANGES).map(key).zip(targets.iter().copied().cycle());
        // A little faster than two hundred in a second, lest the last ones make them fewer.
        let mut step = tokio::time::interval(Duration::from_millis(235));
        let mut newest = 0;
        for _ in 0..CHANGES / 50 {
            step.tick().await;
            newest = put_all(&store, keys.by_ref().take(50)).await?;
        }
        Ok(newest)
    })?;
    let took = began.elapsed();
    edge.wait_for_revision(newest)?;
    let (report, echoes) = (traffic.stop(), chat.stop()?);
    ensure!(took <= Duration::from_secs(15), "{CHANGES} changes took {took:?}");
    ensure!(echoes > 200, "only {echoes} echoes in {took:?}");
    Stage::expect_no_failure(&report)
}

fn thousand_services(edge: &Edge) -> Result<()> {
    let traffic = edge.stage.traffic(&edge.target("quiet"), 2, Duration::from_millis(5))?;
    let targets = &edge.targets;
    let every = move || {
        (0..SERVICES).flat_map(move |service| {
            targets.iter().enumerate().map(move |(target, address)| (upstream(service, target), *address))
        })
    };
    let newest = edge.stage.with_store(|store| async move { put_all(&store, every()).await })?;
    edge.wait_for_revision(newest)?;
    let mut client = Client::default();
    edge.stage.cluster.with_network(|| -> Result<()> {
        for service in 0..SERVICES {
            let answer = client.get(&edge.target(&format!("service-{service}")))?;
            ensure!(answer.status == 200, "service-{service}: {answer:?}");
        }
        Ok(())
    })??;
    for service in ["service-0", "service-999"] {
        edge.stage.wait_for_instances(&edge.target(service), &TARGETS, SOON)?;
    }

    // One more is found as fast as in a store that is nearly empty.
    let address = targets.first().copied().context("no target")?;
    let mut delays = Vec::new();
    for number in 0..21 {
        let (app, endpoint) = (format!("late-{number}"), edge.target(&format!("late-{number}")));
        let key = format!("/services/{app}/upstream/1");
        delays.push(edge.stage.with_store(|store| async move {
            store.put(&key, address.to_string().as_bytes()).await?;
            let (began, mut client) = (Instant::now(), Client::default());
            while client.get(&endpoint)?.status != 200 {
                ensure!(began.elapsed() < SOON, "{app} is not served");
            }
            Ok(began.elapsed())
        })?);
    }
    delays.sort_unstable();
    let median = delays.get(delays.len() / 2).copied().context("no delay")?;
    ensure!(median < Duration::from_millis(50), "a change takes {delays:?}");

    // A target of each goes, and gets no request any more.
    let newest = edge.stage.with_store(|store| async move {
        let store = &store;
        stream::iter(0..SERVICES)
            .map(|service| async move { store.delete(&upstream(service, 4)).await })
            .buffer_unordered(AT_ONCE)
            .try_fold(0, |newest, revision| async move { Ok(newest.max(revision.get())) })
            .await
            .context("the keys can't be deleted")
    })?;
    edge.wait_for_revision(newest)?;
    for service in ["service-0", "service-999"] {
        let report = edge.stage.send(&edge.target(service), 40)?;
        ensure!(report.failed == 0 && !report.instances.contains_key("five"), "{service}: {report:?}");
    }
    Stage::expect_no_failure(&traffic.stop())
}

fn restart_without_store(edge: &Edge) -> Result<()> {
    let traffic = edge.stage.traffic(&edge.target("service-7"), 4, Duration::from_millis(2))?;
    edge.etcd("stop")?;
    edge.wait_for_status("store away")?;
    for _ in 0..2 {
        let before = traffic.sent();
        edge.stage.cluster.machine(EDGE).systemctl(&["restart", ROUTER])?;
        edge.wait_for_status("table from disk")?;
        wait_until("requests after the restart", SOON, || {
            if traffic.sent() > before + 50 { Ok(()) } else { Err(format!("{}", traffic.sent())) }
        })?;
    }
    edge.stage.wait_for_instances(&edge.target("service-500"), &TARGETS[..4], Duration::ZERO)?;
    edge.etcd("start")?;
    edge.announce("afterwards")?;
    let status = edge.status()?;
    ensure!(!status.contains("store away") && !status.contains("from disk"), "{status}");
    Stage::expect_no_failure(&traffic.stop())
}

fn first_start_without_store(edge: &Edge) -> Result<()> {
    let machine = edge.stage.cluster.machine(EDGE);
    edge.etcd("stop")?;
    machine.systemctl(&["stop", ROUTER])?;
    machine.shell_ok("rm /var/lib/private/edge-router/table.json")?;
    machine.systemctl(&["start", "--no-block", ROUTER])?;
    edge.wait_for_status("waiting for the store")?;
    // Its request is in the socket that systemd holds, and is answered in the end.
    let target = edge.target("service-7");
    let waiting =
        edge.stage.cluster.with_network(|| thread::spawn(move || Client::default().get(&target)))?;
    edge.etcd("start")?;
    let answer = waiting.join().map_err(|_| anyhow!("the client panicked"))??;
    ensure!(answer.status == 200, "{answer:?}");
    edge.stage.wait_active(EDGE, ROUTER)
}
