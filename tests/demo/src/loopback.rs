//! The demo on loopback: processes instead of machines, the same road.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use convoy_road::loopback::{APP, DOMAIN, Loopback};
use convoy_road::process::wait_until;
use convoy_road::traffic::{Client, Traffic};

use crate::screen::Screen;

const SOON: Duration = Duration::from_secs(30);

pub(crate) fn show(screen: &mut Screen) -> Result<()> {
    screen.part("A store, four instances and their registrars");
    let mut road = screen.run("etcd on a free port", |_| Loopback::new())?;
    for number in 1..=4 {
        screen.run(&format!("{APP}-{number} starts, its registrar announces it"), |_| {
            road.start_instance(number)
        })?;
    }
    for line in road.etcdctl(&["get", "--prefix", "/services/"])?.lines().collect::<Vec<_>>().chunks(2) {
        screen.detail(&line.join(" = "));
    }

    screen.part("Two load balancers and the edge router");
    for number in [1, 2] {
        screen.run(&format!("nginx {number} and its lb-watcher"), |_| road.start_balancer(number))?;
    }
    screen.run(&format!("edge-router at {}", road.target().address), |_| road.start_edge())?;

    screen.part(&format!("http://{APP}.{DOMAIN}/ through the edge, a load balancer and an instance"));
    let target = road.target();
    let mut client = Client::default();
    for number in 1..=8 {
        let answer = client.get(&target)?;
        screen.step(&format!("request {number}: {} from {}", answer.status, answer.instance()));
    }
    kill_one(screen, &mut road)?;
    screen.part("All of it ends with this program; nothing is left behind.");
    Ok(())
}

fn kill_one(screen: &mut Screen, road: &mut Loopback) -> Result<()> {
    screen.part("One instance is killed while requests come in");
    let traffic = Traffic::start(&road.target(), 4, Duration::from_millis(2), Duration::from_secs(120));
    wait_until("the first requests", SOON, || Ok(traffic.sent() > 200))?;
    screen.step("4 clients send requests all the time");

    let killed = Instant::now();
    road.kill_instance(4)?;
    screen.step(&format!("kill -KILL {APP}-4"));
    let key = format!("/services/{APP}/upstream/4");
    wait_until("the key to go", SOON, || Ok(road.get(&key)?.is_none()))?;
    screen.step(&format!(
        "{APP}-4 is out of the rotation ({} ms after the kill)",
        killed.elapsed().as_millis()
    ));
    let before = traffic.so_far().instances;
    screen.run(&format!("{APP}-4 is started again and takes requests"), |_| {
        road.stop_instance(4)?;
        road.start_instance(4)?;
        let name = format!("{APP}-4");
        wait_until("answers of the new instance", SOON, || {
            Ok(traffic.so_far().instances.get(&name) > before.get(&name))
        })?;
        Ok(())
    })?;
    let report = traffic.stop();
    for (instance, answers) in &report.instances {
        screen.detail(&format!("{instance}: {answers} answers"));
    }
    screen.step(&format!("{} requests, {} failed", report.requests, report.failed));
    ensure!(report.failed == 0, "requests failed: {:?}", report.failures);
    Ok(())
}
