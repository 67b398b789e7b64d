//! Units over machines: how long a crash is felt, and what quiet costs.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use convoy_cluster::{Cluster, wait_until};
use convoy_road::traffic::{Client, Target};
use convoy_scenarios::{PLACED, SOON, Stage, options};

use crate::table::{Samples, Table, print, ratio};

const MACHINES: u8 = 4;
const CRASHES: usize = 12;
const QUIET: Duration = Duration::from_secs(30);
const CHANGES: usize = 20;
const KEY: &str = "/services/someapp/upstream/1";
/// Active without a process, so that a thousand of them say something of Convoy and not of the computer.
const REST: &str = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n";

pub(crate) fn measure() -> Result<()> {
    print(&format!("\nbooting {MACHINES} machines …"));
    let stage = Stage { cluster: Cluster::up(options("bench-units", MACHINES, &[])?)? };
    stage.wait_for_machines(1, usize::from(MACHINES))?;
    failover(&stage)?;
    quiet(&stage)?;
    others(&stage)
}

/// A machine crashes; time until the container that replaces the lost one answers.
fn failover(stage: &Stage) -> Result<()> {
    let table = Table::new(&format!(
        "A machine crashes; time until the new container elsewhere answers ({CRASHES} crashes; peer: fleet, 16 to 37 s until the start)"
    ));
    stage.convoyctl(
        1,
        &["start", &format!("{PLACED}/someapp@1.service"), &format!("{PLACED}/someapp-sidekick@1.service")],
    )?;
    stage.wait_for_keys(1, "/services/someapp/upstream/", &["1"], SOON)?;
    let mut samples = Samples::default();
    let mut all = Vec::new();
    for _ in 0..CRASHES {
        let from = stage.machine_of(1, "someapp@1.service")?;
        let on = if from == 1 { 2 } else { 1 };
        let former = stage.keys(on, KEY)?.remove(KEY).context("the instance is not announced")?;
        let crashed = Instant::now();
        stage.cluster.machine(from).crash()?;
        let endpoint = wait_until("the instance to be announced elsewhere", SOON, || {
            let mut keys = stage.keys(on, KEY).map_err(|error| format!("{error:#}"))?;
            keys.remove(KEY).filter(|now| *now != former).ok_or_else(|| "not yet".to_owned())
        })?;
        let target = Target { address: endpoint.parse()?, host: "someapp".to_owned(), path: "/".to_owned() };
        wait_until("its first answer", SOON, || {
            match stage.cluster.with_network(|| Client::default().get(&target)) {
                Ok(Ok(answer)) if answer.status == 200 => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })?;
        samples.push(crashed.elapsed());
        all.push(format!("{:.1}", crashed.elapsed().as_secs_f64()));
        stage.cluster.machine(from).boot()?;
        stage.wait_for_machines(on, usize::from(MACHINES))?;
    }
    let compared = ratio(samples.median().as_secs_f64(), 16.0);
    table.row(["default settings (bar: median under 10 s)", &samples.print(), "16 s to 37 s", &compared]);
    print(&format!("  each, in seconds: {}", all.join(" ")));
    Ok(())
}

/// Requests that the etcd members answer while nothing happens, with few units and with many.
fn quiet(stage: &Stage) -> Result<()> {
    let table = Table::new("etcd requests per second at rest, all members (peer: ten units)");
    stage.cluster.machine(1).write_file("/root/rest@.service", REST.as_bytes(), "0644")?;
    stage.convoyctl(1, &["submit", "/root/rest@.service"])?;
    let mut few = 0.0;
    for units in [10, 1000] {
        stage.convoyctl(1, &["start", &format!("rest@{{1..{units}}}")])?;
        stage.wait_units_active(1, "rest@", units, SOON * 5)?;
        let before = (requests(stage)?, revision(stage)?);
        let began = Instant::now();
        wait_until(
            "quiet",
            QUIET * 2,
            || if began.elapsed() >= QUIET { Ok(()) } else { Err(String::new()) },
        )?;
        let after = (requests(stage)?, revision(stage)?);
        let rate = (after.0 - before.0) / began.elapsed().as_secs_f64();
        ensure!(after.1 == before.1, "{} revisions were written at rest", after.1 - before.1);
        if units == 10 {
            few = rate;
        }
        table.row([
            &format!("{units} units on {MACHINES} machines, no revision written"),
            &format!("{rate:.2}/s"),
            &format!("{few:.2}/s"),
            &ratio(rate, few),
        ]);
    }
    Ok(())
}

/// Messages that all members have received from clients so far, but for the question itself, which is no gRPC.
fn requests(stage: &Stage) -> Result<f64> {
    let mut sum = 0.0;
    for member in 1..=3 {
        let script = "curl -sf http://$(sed -n 's/^CONVOY_PRIVATE_IPV4=//p' /run/convoy/machine.env):2379/metrics \
             | awk '/^grpc_server_msg_received_total/ {s += $NF} END {print s}'";
        sum += stage.cluster.machine(member).shell_ok(script)?.stdout.trim().parse::<f64>()?;
    }
    Ok(sum)
}

fn revision(stage: &Stage) -> Result<i64> {
    let fields = stage.etcdctl(1, &["get", "--write-out=fields", "/convoy/leader"])?;
    let line = fields.lines().find_map(|line| line.strip_prefix("\"Revision\" : "));
    line.context("no revision")?.trim().parse().context("the revision is no number")
}

/// What an agent reads when a unit of another machine changes.
fn others(stage: &Stage) -> Result<()> {
    let table = Table::new("Bytes per second that an agent receives from the store, in 20 s or more");
    let unit = "rest@1.service";
    let busy = stage.machine_of(1, unit)?;
    let idle = if busy == 4 { 3 } else { 4 };
    let measured = |work: &dyn Fn() -> Result<()>| -> Result<f64> {
        let before = received(stage, idle)?;
        let began = Instant::now();
        work()?;
        wait_until("20 s", SOON, || {
            if began.elapsed() >= Duration::from_secs(20) { Ok(()) } else { Err(String::new()) }
        })?;
        // The work may take longer than that.
        #[allow(clippy::cast_precision_loss)]
        Ok((received(stage, idle)? - before) as f64 / began.elapsed().as_secs_f64())
    };
    let calm = measured(&|| Ok(()))?;
    let busy = measured(&|| {
        for _ in 0..CHANGES {
            stage.convoyctl(1, &["stop", unit])?;
            stage.convoyctl(1, &["start", unit])?;
        }
        Ok(())
    })?;
    table.row([
        &format!("{CHANGES} stops and starts on another machine (peer: nothing happens)"),
        &format!("{busy:.0}"),
        &format!("{calm:.0}"),
        &ratio(busy, calm),
    ]);
    Ok(())
}

/// Bytes that the agent's open connections have received so far.
fn received(stage: &Stage, on: u8) -> Result<u64> {
    let script = "ss -Htinp state established | awk '/\"agent\"/ {ours = 1} /bytes_received/ && ours {\
         match($0, /bytes_received:[0-9]+/); s += substr($0, RSTART + 15, RLENGTH - 15); ours = 0} END {print s + 0}'";
    stage.cluster.machine(on).shell_ok(script)?.stdout.trim().parse().context("no count of bytes")
}
