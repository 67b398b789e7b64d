//! What needs machines: a killed container, nginx under systemd, and the cost of a registrar.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use convoy_cluster::{Cluster, wait_until};
use convoy_road::traffic::{Client, Target};
use convoy_scenarios::{SOON, Stage, options};
use convoy_store::{Change, FeedEvent, Store, StoreSettings};

use crate::table::{Samples, Table, print, ratio};

const KILLS: u32 = 20;
const CHANGES: u32 = 15;
const CALM: Duration = Duration::from_millis(2500);
/// Two beats of the bash sidekick.
const WATCHED: Duration = Duration::from_secs(95);
const OURS: &str = "/services/someapp/upstream/1";
const PEERS: &str = "/peer/someapp/upstream/1";

pub(crate) fn measure() -> Result<()> {
    print("\nbooting two machines …");
    let stage = Stage { cluster: Cluster::up(options("bench", 2, &[2])?)? };
    stage.start(1, "someapp@1.service")?;
    stage.wait_for_keys(1, "/services/someapp/upstream/", &["1"], SOON)?;
    let unit = include_str!("../peers/bash-sidekick@.service");
    stage.cluster.machine(1).write_file(
        "/etc/systemd/system/bash-sidekick@.service",
        unit.as_bytes(),
        "0644",
    )?;
    stage.cluster.machine(1).systemctl(&["daemon-reload"])?;
    kills(&stage)?;
    balancers(&stage)?;
    cost(&stage)
}

fn kills(stage: &Stage) -> Result<()> {
    let table = Table::new("A container is killed; time until its key is gone (median)");
    let (mut ours, mut peer) = (Samples::default(), Samples::default());
    for _ in 0..KILLS {
        // Both sidekicks side by side at the same container, so that both see the same kill.
        let machine = stage.cluster.machine(1);
        stage.wait_for_keys(1, "/services/someapp/upstream/", &["1"], SOON)?;
        stage.start(1, "bash-sidekick@1.service")?;
        stage.wait_for_keys(1, "/peer/someapp/upstream/", &["1"], SOON)?;
        let id = machine.exec_ok(&["docker", "inspect", "-f", "{{.State.Pid}}", "someapp-1"])?.stdout;
        let gone = watch_deletes(stage)?;
        let killed = Instant::now();
        machine.exec_ok(&["kill", "-KILL", id.trim()])?;
        for _ in 0..2 {
            let (key, at) = gone.recv_timeout(SOON).context("a key outlived its container")?;
            let samples = if key == OURS { &mut ours } else { &mut peer };
            samples.push(at.duration_since(killed));
        }
    }
    let compared = ratio(ours.median().as_secs_f64(), peer.median().as_secs_f64());
    table.row(["registrar (peer: ExecStop= of the bash sidekick)", &ours.print(), &peer.print(), &compared]);
    Ok(())
}

/// Tells when each of the two keys is deleted. Returns when the watch is established.
fn watch_deletes(stage: &Stage) -> Result<mpsc::Receiver<(String, Instant)>> {
    let endpoint = format!("http://{}:2379", stage.cluster.machine(1).address());
    let (listed, ready) = mpsc::channel();
    let (sender, receiver) = mpsc::channel();
    stage.cluster.with_network(move || {
        std::thread::spawn(move || -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let store =
                    Store::new(StoreSettings { endpoints: vec![endpoint], ..StoreSettings::default() })?;
                let mut feed = store.follow(&["/services/someapp/upstream/", "/peer/"]);
                let mut left = 2;
                while left > 0 {
                    match feed.next().await {
                        FeedEvent::Listed(_) => listed.send(())?,
                        FeedEvent::Changed { changes, .. } => {
                            for change in changes {
                                if let Change::Delete { key, .. } = change {
                                    left -= 1;
                                    sender.send((key, Instant::now()))?;
                                }
                            }
                        }
                        FeedEvent::Stale { .. } | FeedEvent::Current { .. } => {}
                    }
                }
                Ok(())
            })
        });
    })?;
    ready.recv_timeout(SOON).context("the watch was not established")?;
    Ok(receiver)
}

fn balancers(stage: &Stage) -> Result<()> {
    let table = Table::new(
        "A key changes; time until a load balancer under systemd serves it, nginx by a reload (median)",
    );
    for (number, (on, kind, unit)) in [
        (1, "nginx of the host", "nginx-lb"),
        (2, "nginx in a container", "nginx-lb"),
        (1, "HAProxy of the host, without a reload", "haproxy-lb"),
    ]
    .into_iter()
    .enumerate()
    {
        let app = format!("bench{number}");
        let prefix = format!("/services/{app}/upstream/");
        stage.wait_for_keys(1, "/services/someapp/upstream/", &["1"], SOON)?;
        // Two targets that tell themselves apart: the same app, and nobody (which nginx answers with a 502, HAProxy with a 503).
        let live = stage.keys(1, OURS)?.remove(OURS).context("the instance is not announced")?;
        let dead = format!("{}:9", stage.cluster.machine(on).address());
        stage.etcdctl(on, &["put", &format!("{prefix}1"), &live])?;
        stage.start(on, &format!("{unit}@{app}-1.service"))?;
        let lb = format!("/services/{app}/lb/1");
        wait_until("the load balancer's key", SOON, || {
            let keys = stage.keys(on, &lb).map_err(|error| format!("{error:#}"))?;
            if keys.contains_key(&lb) { Ok(()) } else { Err(format!("{keys:?}")) }
        })?;
        let address = stage.keys(on, &lb)?.remove(&lb).context("no key")?.parse()?;
        let target = Target { address, host: app.clone(), path: "/".to_owned() };
        let endpoint = format!("http://{}:2379", stage.cluster.machine(1).address());
        let samples = stage
            .cluster
            .with_network(move || change_and_ask(&endpoint, &prefix, [&dead, &live], &target))??;
        table.row([kind, &samples.print(), "", ""]);
    }
    Ok(())
}

fn change_and_ask(endpoint: &str, prefix: &str, values: [&str; 2], target: &Target) -> Result<Samples> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let settings = StoreSettings { endpoints: vec![endpoint.to_owned()], ..StoreSettings::default() };
    let store = runtime.block_on(async { Store::new(settings) })?;
    let mut samples = Samples::default();
    let mut client = Client::default();
    for turn in 0..CHANGES {
        let [dead, live] = values;
        let (value, good) = if turn % 2 == 0 { (dead, false) } else { (live, true) };
        let quiet = Instant::now();
        convoy_road::process::wait_until("calm", SOON, || Ok(quiet.elapsed() >= CALM))?;
        let changed = Instant::now();
        runtime.block_on(store.put(&format!("{prefix}1"), value.as_bytes()))?;
        while client.get(target).is_ok_and(|answer| answer.status == 200) != good {
            anyhow::ensure!(changed.elapsed() < SOON, "{value} was never served");
        }
        samples.push(changed.elapsed());
    }
    Ok(samples)
}

fn cost(stage: &Stage) -> Result<()> {
    let table = Table::new("The cost of one sidekick, watched for 95 s");
    stage.start(1, "bash-sidekick@1.service")?;
    stage.wait_for_keys(1, "/peer/someapp/upstream/", &["1"], SOON)?;
    let units = ["registrar@someapp-1.service", "bash-sidekick@1.service"];
    let used = units.map(|unit| cpu(stage, unit));
    let written = [OURS, PEERS].map(|key| version(stage, key));
    let began = Instant::now();
    wait_until("two beats of the bash sidekick", WATCHED * 2, || {
        if began.elapsed() >= WATCHED { Ok(()) } else { Err(String::new()) }
    })?;
    let watched = began.elapsed().as_secs_f64();
    let [ours, peer] = units.map(|unit| cpu(stage, unit));
    let share = |after: Result<f64>, before: Result<f64>| {
        Ok::<_, anyhow::Error>((after? - before?) / watched * 100.0)
    };
    let [ours_before, peer_before] = used;
    let (ours, peer) = (share(ours, ours_before)?, share(peer, peer_before)?);
    table.row(["CPU at rest", &format!("{ours:.3} %"), &format!("{peer:.3} %"), &ratio(ours, peer)]);

    let [resident, peer_resident] = units.map(|unit| resident(stage, unit));
    let (resident, peer_resident) = (resident?, peer_resident?);
    let megabytes = |kilobytes: f64| format!("{:.1} MiB", kilobytes / 1024.0);
    table.row([
        "resident memory of its processes",
        &megabytes(resident),
        &megabytes(peer_resident),
        &ratio(resident, peer_resident),
    ]);

    let [ours_before, peer_before] = written;
    let (ours, peer) = (version(stage, OURS)? - ours_before?, version(stage, PEERS)? - peer_before?);
    table.row(["etcd writes of its key", &ours.to_string(), &peer.to_string(), &ratio(ours, peer)]);
    Ok(())
}

/// Seconds of CPU that the unit has used since its start.
fn cpu(stage: &Stage, unit: &str) -> Result<f64> {
    let nanoseconds: f64 = stage.property(1, unit, "CPUUsageNSec")?.parse().context("no CPU accounting")?;
    Ok(nanoseconds / 1e9)
}

/// Kilobytes that the unit's processes hold in memory, shared pages counted in each.
fn resident(stage: &Stage, unit: &str) -> Result<f64> {
    let group = stage.property(1, unit, "ControlGroup")?;
    let script = format!(
        "for id in $(cat '/sys/fs/cgroup{group}/cgroup.procs'); do grep VmRSS /proc/$id/status; done | awk '{{s+=$2}} END {{print s}}'"
    );
    let output = stage.cluster.machine(1).shell_ok(&script)?;
    output.stdout.trim().parse().context("no resident size")
}

fn version(stage: &Stage, key: &str) -> Result<f64> {
    let fields = stage.etcdctl(1, &["get", "--write-out=fields", key])?;
    let line = fields.lines().find_map(|line| line.strip_prefix("\"Version\" : "));
    line.context("the key is gone")?.trim().parse().context("the version is no number")
}
