//! The demo on five real machines.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use convoy_cluster::{Cluster, Progress, wait_until};
use convoy_road::traffic::{Report, Target};
use convoy_scenarios::{DOMAIN, PLACED, SOON, Stage, options};

use crate::screen::Screen;

/// The name of the demo's cluster.
pub(crate) const NAME: &str = "demo";
const EDGE: u8 = 3;
/// The machine that the operator sits at.
const OPERATOR: u8 = 4;
const INSTANCES: [&str; 4] = ["someapp-1", "someapp-2", "someapp-3", "someapp-4"];
const UPSTREAMS: &str = "/services/someapp/upstream/";
const ALL: [&str; 4] = ["1", "2", "3", "4"];

pub(crate) fn show(screen: &mut Screen) -> Result<()> {
    screen.part("Five machines, each booted from cloud-config.yaml");
    let stage = Stage { cluster: boot(screen)? };
    for machine in stage.cluster.machines() {
        let part = if machine.index() <= 3 { "etcd member" } else { "etcd client" };
        let nginx =
            if machine.has_nginx() { "has nginx" } else { "no nginx: a load balancer here is a container" };
        screen.detail(&format!("{}  {:<10}  {part}, {nginx}", machine.name(), machine.address()));
    }
    screen.run("every machine has told the scheduler what it is", |_| {
        wait_until("the machines", SOON, || {
            let listed = stage.convoyctl(4, &["list-machines", "--no-legend"]);
            let listed = listed.map_err(|error| format!("{error:#}"))?;
            if listed.lines().count() == 5 { Ok(()) } else { Err(listed) }
        })?;
        Ok(())
    })?;

    screen.part("someapp@1 … someapp@4, each on a machine of its own, each with its sidekick");
    let templates = ["someapp@.service", "someapp-sidekick@.service", "someapp-lb@.service"]
        .map(|template| format!("{PLACED}/{template}"));
    let [app, sidekick, balancer] = templates.each_ref().map(String::as_str);
    operate(screen, &stage, &["submit", app, sidekick, balancer])?;
    operate(screen, &stage, &["start", "someapp@{1..4}", "someapp-sidekick@{1..4}"])?;
    stage.wait_for_keys(4, UPSTREAMS, &ALL, SOON)?;
    for (key, value) in stage.keys(4, UPSTREAMS)? {
        screen.detail(&format!("{key} = {value}"));
    }

    screen.part("Two load balancers and the edge router");
    operate(screen, &stage, &["start", "someapp-lb@{1,2}"])?;
    let target = stage.target(EDGE, 80, &format!("someapp.{DOMAIN}"));
    screen.run(&format!("systemctl start edge-router on m{EDGE}"), |_| {
        stage.start(EDGE, "edge-router.service")?;
        stage.wait_for_instances(&target, &INSTANCES, SOON)
    })?;
    operate(screen, &stage, &["list-units"])?;

    screen.part(&format!("http://someapp.{DOMAIN}/ through the edge, a load balancer and an instance"));
    for number in 1..=8 {
        let answer = stage.get(&target)?;
        screen.step(&format!("request {number}: {} from {}", answer.status, answer.instance()));
    }
    kill_one(screen, &stage, &target)?;
    crash_one(screen, &stage, &target)?;
    say_goodbye(screen, &stage);
    let _running = stage.cluster.leave_running();
    Ok(())
}

/// Shows a command and what it prints.
fn operate(screen: &mut Screen, stage: &Stage, arguments: &[&str]) -> Result<()> {
    let line = format!("convoyctl {}", arguments.join(" ").replace(&format!("{PLACED}/"), ""));
    let printed = screen.run(&line, |_| stage.convoyctl(OPERATOR, arguments))?;
    for line in printed.lines() {
        screen.detail(&line.replace('\t', "  "));
    }
    Ok(())
}

fn boot(screen: &mut Screen) -> Result<Cluster> {
    // The cluster reports from its own threads; the screen is lent to it for as long as it boots.
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = told.clone();
    let mut options = options(NAME, 5, &[2])?;
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

    let machine = stage.cluster.machine(stage.machine_of(OPERATOR, "someapp@4.service")?);
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
        stage.wait_for_instances(target, &INSTANCES, SOON)
    })?;
    tell(screen, &traffic.stop())
}

fn crash_one(screen: &mut Screen, stage: &Stage, target: &Target) -> Result<()> {
    screen.part("A machine is unplugged while requests come in");
    let placed = stage.placed(OPERATOR, "someapp@")?;
    let lost = placed.iter().find(|(_, machine)| **machine != EDGE && **machine != OPERATOR);
    let (unit, from) = lost.context("every instance is on the edge or beside the operator")?;
    let key = format!("{UPSTREAMS}{}", unit.trim_start_matches("someapp@").trim_end_matches(".service"));
    let former = stage.keys(OPERATOR, &key)?.remove(&key);
    let traffic = stage.traffic(target, 4, Duration::from_millis(2))?;
    wait_until(
        "the first requests",
        SOON,
        || if traffic.sent() > 200 { Ok(()) } else { Err(String::new()) },
    )?;
    let crashed = Instant::now();
    stage.cluster.machine(*from).crash()?;
    screen.step(&format!("m{from} is gone, and {unit} with it"));
    let endpoint = wait_until("the instance elsewhere", SOON, || {
        let mut keys = stage.keys(OPERATOR, &key).map_err(|error| format!("{error:#}"))?;
        keys.remove(&key).filter(|now| former.as_ref() != Some(now)).ok_or_else(|| "not yet".to_owned())
    })?;
    let to = stage.machine_of(OPERATOR, unit)?;
    screen.step(&format!(
        "{unit} runs on m{to} and is announced as {endpoint} ({:.1} s after the crash)",
        crashed.elapsed().as_secs_f64()
    ));
    screen.run("all four instances answer", |_| stage.wait_for_instances(target, &INSTANCES, SOON))?;
    tell(screen, &traffic.stop())?;
    operate(screen, stage, &["list-units"])
}

fn tell(screen: &mut Screen, report: &Report) -> Result<()> {
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
        ("a shell on a machine", "target/release/cluster --name demo shell m4".to_owned()),
        (
            "a request",
            format!(
                "target/release/cluster --name demo exec m4 -- curl -sH 'Host: someapp.{DOMAIN}' http://{edge}/"
            ),
        ),
        (
            "the story of a daemon",
            "target/release/cluster --name demo exec m4 -- systemctl status agent scheduler".to_owned(),
        ),
        ("its journal, explained", "target/release/cluster --name demo journal m4 -x -u agent".to_owned()),
        (
            "all keys",
            "target/release/cluster --name demo exec m4 -- etcdctl get --prefix /services/".to_owned(),
        ),
        (
            "where everything runs",
            format!("target/release/cluster --name demo exec m{OPERATOR} -- convoyctl list-units"),
        ),
        ("pull another plug", "target/release/cluster --name demo crash m5".to_owned()),
        ("and when you have seen enough", "make demo-down".to_owned()),
    ] {
        screen.line(&format!("  {what}:\n      {command}"));
    }
}
