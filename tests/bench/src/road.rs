//! What can be measured on loopback: how fast a change of a key is served, and what is written at rest.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use convoy_road::loopback::{Loopback, free_address};
use convoy_road::process::{Process, program, wait_until};
use convoy_road::traffic::{Client, Target};
use convoy_store::{Store, StoreSettings};
use tokio::runtime::Runtime;

use crate::table::{Samples, Table, ratio};

const CHANGES: u32 = 20;
const SOON: Duration = Duration::from_secs(20);
/// Longer than any settle time, so that each change is the first after calm.
const CALM: Duration = Duration::from_millis(2500);
const AT_REST: Duration = Duration::from_secs(60);

pub(crate) fn measure() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let road = Loopback::new()?;
    let store = runtime.block_on(async {
        Store::new(StoreSettings { endpoints: road.etcd().endpoints(), ..StoreSettings::default() })
    })?;
    changes(&runtime, &store, road)?;
    rest()
}

/// Two instances take turns as the only target of a key; measured is the time until the new one answers.
fn changes(runtime: &Runtime, store: &Store, mut road: Loopback) -> Result<()> {
    let table =
        Table::new("A key changes; time until the first request is answered by the new target (median)");
    let pair = Pair::start(&road)?;

    let put = |key: &str, value: &str| runtime.block_on(store.put(key, value.as_bytes())).map(drop);
    put("/services/someapp/upstream/1", &pair.addresses[0])?;
    road.start_balancer(1)?;
    put("/services/direct/upstream/1", &pair.addresses[0])?;
    road.start_edge()?;
    let nginx =
        pair.measure(CALM, &road.balancer_target(1)?, |to| Ok(put("/services/someapp/upstream/1", to)?))?;
    road.start_haproxy(2)?;
    let haproxy =
        pair.measure(CALM, &road.balancer_target(2)?, |to| Ok(put("/services/someapp/upstream/1", to)?))?;
    let direct = Target { host: "direct.mywebsite.com".to_owned(), ..road.target() };
    let edge =
        pair.measure(Duration::from_millis(50), &direct, |to| Ok(put("/services/direct/upstream/1", to)?))?;

    let address = free_address()?;
    let folder = road.folder().join("peer");
    std::fs::create_dir_all(&folder)?;
    let mut command = Command::new("bash");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/peers/watch-reload.sh"));
    command.args([&road.endpoints(), "/peer/upstream/", &address.to_string()]).arg(&folder);
    put("/peer/upstream/1", &pair.addresses[0])?;
    let script = Process::start("peer", road.folder(), &command)?;
    let target = Target { address, host: "peer".to_owned(), path: "/".to_owned() };
    let peer = pair.measure(CALM, &target, |to| Ok(put("/peer/upstream/1", to)?));
    drop(script);
    let peer = peer?;

    let of = |ours: &Samples| ratio(ours.median().as_secs_f64(), peer.median().as_secs_f64());
    table.row([
        "nginx by lb-watcher (peer: etcdctl watch, nginx -s reload)",
        &nginx.print(),
        &peer.print(),
        &of(&nginx),
    ]);
    table.row([
        "HAProxy by lb-watcher, without a reload (same peer)",
        &haproxy.print(),
        &peer.print(),
        &of(&haproxy),
    ]);
    table.row(["edge-router, no load balancer (same peer)", &edge.print(), &peer.print(), &of(&edge)]);
    Ok(())
}

struct Pair {
    addresses: [String; 2],
    _apps: [Process; 2],
}

impl Pair {
    fn start(road: &Loopback) -> Result<Self> {
        let ((first, first_app), (second, second_app)) = (app(road, "first")?, app(road, "second")?);
        Ok(Self { addresses: [first, second], _apps: [first_app, second_app] })
    }

    fn measure(
        &self,
        calm: Duration,
        target: &Target,
        mut change: impl FnMut(&str) -> Result<()>,
    ) -> Result<Samples> {
        let mut client = Client::default();
        let mut samples = Samples::default();
        for turn in 0..CHANGES {
            let (name, address) =
                if turn % 2 == 0 { ("second", &self.addresses[1]) } else { ("first", &self.addresses[0]) };
            let quiet = Instant::now();
            wait_until("calm", SOON, || Ok(quiet.elapsed() >= calm))?;
            let changed = Instant::now();
            change(address)?;
            loop {
                // An answer may fail at the very moment of a reload; what counts is the first good one.
                if client.get(target).is_ok_and(|answer| answer.instance() == name) {
                    break;
                }
                anyhow::ensure!(changed.elapsed() < SOON, "{name} never answered at {}", target.address);
            }
            samples.push(changed.elapsed());
        }
        Ok(samples)
    }
}

/// An app that answers with this name, and where.
pub(crate) fn app(road: &Loopback, name: &str) -> Result<(String, Process)> {
    let address = free_address()?;
    let mut command = Command::new(program("sample-app")?);
    command.args(["--listen", &address.to_string(), "--name", name]);
    let app = Process::start(name, road.folder(), &command)?;
    let target = Target { address, host: name.to_owned(), path: "/".to_owned() };
    wait_until("the sample app", SOON, || Ok(Client::default().get(&target)?.status == 200))?;
    Ok((address.to_string(), app))
}

fn rest() -> Result<()> {
    let table = Table::new("At rest: 20 instances, 2 load balancers, an edge router");
    let mut road = Loopback::new()?;
    for number in 1..=20 {
        road.start_instance(number)?;
    }
    road.start_balancer(1)?;
    road.start_balancer(2)?;
    road.start_edge()?;
    // What the start still has to write: the load balancers' applied revisions.
    let mut last = (revision(&road)?, Instant::now());
    wait_until("the last write of the start", SOON, || {
        let now = revision(&road)?;
        if now != last.0 {
            last = (now, Instant::now());
        }
        Ok(last.1.elapsed() > Duration::from_secs(3))
    })?;
    let (before, began) = (revision(&road)?, Instant::now());
    wait_until("a minute at rest", AT_REST * 2, || Ok(began.elapsed() >= AT_REST))?;
    let written = revision(&road)? - before;
    // Arithmetic, not a measurement: a put every 45 s for each of the 20.
    table.row([
        "etcd revisions per minute (peer: a put every 45 s each)",
        &written.to_string(),
        "26.7",
        &ratio_of(written),
    ]);
    anyhow::ensure!(written == 0, "{written} revisions were written in a minute at rest");
    Ok(())
}

#[allow(clippy::cast_precision_loss)] // a handful
fn ratio_of(written: i64) -> String {
    ratio(written as f64, 26.7)
}

fn revision(road: &Loopback) -> Result<i64> {
    let status = road.etcdctl(&["get", "--write-out=fields", "/nothing"])?;
    let line = status.lines().find_map(|line| line.strip_prefix("\"Revision\" : "));
    line.context("etcdctl printed no revision")?.trim().parse().context("the revision is no number")
}
