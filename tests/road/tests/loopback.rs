//! The whole road on loopback: what can be proved without machines is proved wherever the tests run.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use convoy_road::loopback::Loopback;
use convoy_road::process::wait_until;
use convoy_road::traffic::{Client, Report, Traffic};

const SOON: Duration = Duration::from_secs(30);
const LIMIT: Duration = Duration::from_secs(120);
/// A little longer than the leases of the road's registrars.
const LEASE: Duration = Duration::from_secs(11);

fn road(instances: u8) -> Result<Loopback> {
    let mut road = Loopback::new()?;
    for number in 1..=instances {
        road.start_instance(number)?;
    }
    road.start_balancer(1)?;
    road.start_balancer(2)?;
    road.start_edge()?;
    Ok(road)
}

fn traffic(road: &Loopback) -> Result<Traffic> {
    let traffic = Traffic::start(&road.target(), 4, Duration::from_millis(2), LIMIT);
    wait_until("the first requests", SOON, || Ok(traffic.sent() > 100))?;
    Ok(traffic)
}

fn nothing_failed(report: &Report) -> Result<()> {
    ensure!(
        report.failed == 0,
        "{} of {} requests failed: {:?}",
        report.failed,
        report.requests,
        report.failures
    );
    Ok(())
}

#[test]
fn a_killed_instance_fails_no_request_and_its_successor_takes_part() -> Result<()> {
    let mut road = road(3)?;
    let traffic = traffic(&road)?;
    road.kill_instance(3)?;
    wait_until("the key to go", SOON, || Ok(road.get("/services/someapp/upstream/3")?.is_none()))?;
    road.stop_instance(3)?;
    road.start_instance(3)?;
    let before = traffic.so_far().instances;
    wait_until("answers of the successor", SOON, || {
        Ok(traffic.so_far().instances.get("someapp-3") > before.get("someapp-3"))
    })
    .with_context(|| road.logs())?;
    nothing_failed(&traffic.stop())
}

#[test]
fn a_rolling_restart_fails_no_request() -> Result<()> {
    let mut road = road(3)?;
    let traffic = traffic(&road)?;
    for number in 1..=3 {
        road.stop_instance(number)?;
        road.start_instance(number)?;
    }
    nothing_failed(&traffic.stop())
}

#[test]
fn with_the_store_frozen_everything_is_served_and_changes_follow_later() -> Result<()> {
    let mut road = road(2)?;
    let traffic = traffic(&road)?;
    road.etcd().member(0).freeze()?;
    let (before, frozen) = (traffic.sent(), Instant::now());
    // Longer than a lease: a registrar that has lost its lease meanwhile has to announce its instance again.
    wait_until("traffic over a store that is away", LIMIT, || {
        let is_long = traffic.sent() > before + 2000 && frozen.elapsed() > LEASE;
        Ok(is_long && Client::default().get(&road.target())?.status == 200)
    })?;
    road.etcd().member(0).thaw()?;
    road.start_instance(3)?;
    wait_until("answers of the new instance", SOON, || {
        Ok(traffic.so_far().instances.contains_key("someapp-3"))
    })
    .with_context(|| road.logs())?;
    nothing_failed(&traffic.stop())
}
