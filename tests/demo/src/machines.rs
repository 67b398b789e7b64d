//! The demo on four real machines.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use convoy_cluster::{Cluster, Progress, wait_until};
use convoy_road::traffic::Target;
use convoy_scenarios::{DOMAIN, SOON, Stage, options};

use crate::screen::Screen;

/// The name of the demo's cluster.
pub(crate) const NAME: &str = "demo";
const EDGE: u8 = 3;
const UPSTREAMS: &str = "/services/someapp/upstream/";
const ALL: [&str; 4] = ["1", "2", "3", "4"];

pub(crate) fn show(screen: &mut Screen) -> Result<()> {
    screen.part("Four machines, each booted from cloud-config.yaml");
    let stage = Stage { cluster: boot(screen)? };
    for machine in stage.cluster.machines() {
        let part = if machine.index() <= 3 { "etcd member" } else { "etcd client" };
        let nginx =
            if machine.has_nginx() { "has nginx" } else { "no nginx: its load balancer is a container" };
        screen.detail(&format!("{}  {:<10}  {part}, {nginx}", machine.name(), machine.address()));
    }

    screen.part("someapp@1 … someapp@4, a container on each machine");
    for number in 1..=4 {
        screen.run(
            &format!("systemctl start someapp@{number} on m{number}, its sidekick announces it"),
            |_| {
                stage.start(number, &format!("someapp@{number}.service"))?;
                stage.wait_active(number, &format!("registrar@someapp-{number}.service"))
            },
        )?;
    }
    for (key, value) in stage.keys(4, UPSTREAMS)? {
        screen.detail(&format!("{key} = {value}"));
    }

    screen.part("Two load balancers and the edge router");
    for number in [1, 2] {
        screen.run(&format!("systemctl start nginx-lb@someapp-{number} on m{number}"), |_| {
            stage.start(number, &format!("nginx-lb@someapp-{number}.service"))?;
            stage.wait_active(number, &format!("lb-watcher@someapp-{number}.service"))
        })?;
    }
    let target = stage.target(EDGE, 80, &format!("someapp.{DOMAIN}"));
    screen.run(&format!("systemctl start edge-router on m{EDGE}"), |_| {
        stage.start(EDGE, "edge-router.service")?;
        let all = ["someapp-1", "someapp-2", "someapp-3", "someapp-4"];
        stage.wait_for_instances(&target, &all, SOON)
    })?;

    screen.part(&format!("http://someapp.{DOMAIN}/ through the edge, a load balancer and an instance"));
    for number in 1..=8 {
        let answer = stage.get(&target)?;
        screen.step(&format!("request {number}: {} from {}", answer.status, answer.instance()));
    }
    kill_one(screen, &stage, &target)?;
    say_goodbye(screen, &stage);
    let _running = stage.cluster.leave_running();
    Ok(())
}

fn boot(screen: &mut Screen) -> Result<Cluster> {
    // The cluster reports from its own threads; the screen is lent to it for as long as it boots.
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = told.clone();
    let mut options = options(NAME, 4, &[2])?;
    options.reporter = Arc::new(move |progress: Progress<'_>| {
        let event = match progress {
            Progress::Begin { step } => Event::Goes(step.to_owned(), 0),
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a share between 0 and 1
            Progress::Part { step, fraction } => {
                Event::Goes(step.to_owned(), (fraction.clamp(0.0, 1.0) * 100.0) as u64)
            }
            Progress::Done { step, took } => Event::Done(step.to_owned(), took),
        };
        sink.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    });
    std::thread::scope(|scope| {
        let booting = scope.spawn(move || Cluster::up(options));
        loop {
            let over = booting.is_finished();
            for event in std::mem::take(&mut *told.lock().unwrap_or_else(PoisonError::into_inner)) {
                match event {
                    Event::Goes(step, percent) => screen.progress(&step, percent, 100),
                    Event::Done(step, took) => screen.step(&format!("{step} ({:.1} s)", took.as_secs_f64())),
                }
            }
            if over {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        let booted = booting.join().map_err(|_| anyhow::anyhow!("the machines' boot ended in a panic"))?;
        Ok(booted?)
    })
}

enum Event {
    Goes(String, u64),
    Done(String, Duration),
}

fn kill_one(screen: &mut Screen, stage: &Stage, target: &Target) -> Result<()> {
    screen.part("One container is killed while requests come in");
    let traffic = stage.traffic(target, 4, Duration::from_millis(2))?;
    wait_until(
        "the first requests",
        SOON,
        || if traffic.sent() > 200 { Ok(()) } else { Err(String::new()) },
    )?;
    screen.step("4 clients send requests all the time");

    let machine = stage.cluster.machine(4);
    let killed = Instant::now();
    machine.exec_ok(&["docker", "kill", "--signal", "KILL", "someapp-4"])?;
    screen.step("docker kill --signal KILL someapp-4");
    stage.wait_for_keys(1, UPSTREAMS, &["1", "2", "3"], SOON)?;
    screen.step(&format!(
        "someapp-4 is out of the rotation ({} ms after the kill)",
        killed.elapsed().as_millis()
    ));
    screen.run("systemd starts it again, its sidekick announces it", |_| {
        stage.wait_for_keys(1, UPSTREAMS, &ALL, SOON)?;
        stage.wait_for_instances(target, &["someapp-1", "someapp-2", "someapp-3", "someapp-4"], SOON)
    })?;
    let report = traffic.stop();
    for (instance, answers) in &report.instances {
        screen.detail(&format!("{instance}: {answers} answers"));
    }
    let [median, slow, slowest] = report.latency_us.map(|microseconds| microseconds / 1000);
    screen.step(&format!(
        "{} requests, {} failed; median {median} ms, 99 % within {slow} ms, slowest {slowest} ms",
        report.requests, report.failed
    ));
    ensure!(report.failed == 0, "requests failed: {:?}", report.failures);
    Ok(())
}

fn say_goodbye(screen: &mut Screen, stage: &Stage) {
    let edge = stage.cluster.machine(EDGE).address();
    screen.part("Look around");
    for (what, command) in [
        ("a shell on a machine", "target/release/cluster --name demo shell m1".to_owned()),
        (
            "a request",
            format!(
                "target/release/cluster --name demo exec m1 -- curl -sH 'Host: someapp.{DOMAIN}' http://{edge}/"
            ),
        ),
        (
            "the story of a daemon",
            "target/release/cluster --name demo exec m1 -- systemctl status registrar@someapp-1".to_owned(),
        ),
        (
            "its journal, explained",
            "target/release/cluster --name demo journal m1 -x -u lb-watcher@someapp-1".to_owned(),
        ),
        (
            "all keys",
            "target/release/cluster --name demo exec m1 -- etcdctl get --prefix /services/".to_owned(),
        ),
        ("pull the plug of a machine", "target/release/cluster --name demo crash m2".to_owned()),
        ("and when you have seen enough", "make demo-down".to_owned()),
    ] {
        screen.line(&format!("  {what}:\n      {command}"));
    }
}
