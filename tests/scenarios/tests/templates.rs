//! Template resources on a machine with a real systemd and Docker: the files that confd's users bring, as they are.
//!
//! What they are made of lies in `templates/`: the site of a guide for Apache behind nginx, and the load balancer image of
//! a tutorial, whose container is told its service and etcd's address by the environment.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use convoy_cluster::{Cluster, Machine, wait_until};
use convoy_road::traffic::Target;
use convoy_scenarios::{SOON, Scenario, Stage, options, run};

const M: u8 = 1;
const UNIT: &str = "lb-watcher.service";
const SITE: &str = "/etc/nginx/sites-enabled/apache.conf";

fn main() -> ExitCode {
    run(
        options("templates", 1, &[]),
        prepare,
        &[
            Scenario { name: "a_unit_without_resources_is_skipped_and_starts_with_them", prove: skipped },
            Scenario { name: "the_apache_guide_s_resource_is_followed_as_it_is", prove: apache },
            Scenario { name: "a_bad_fragment_is_refused_by_the_whole_configuration", prove: refused },
            Scenario { name: "a_reload_over_dbus_that_changes_nothing_is_noticed", prove: lie },
            Scenario { name: "a_stopped_nginx_gets_the_site_for_its_start", prove: nginx_stopped },
            Scenario { name: "a_killed_watcher_goes_on_where_it_was", prove: killed },
            Scenario {
                name: "without_a_store_everything_stays_and_a_restart_changes_nothing",
                prove: no_store,
            },
            Scenario { name: "the_unit_is_closed_as_far_as_its_work_allows", prove: hardened },
            Scenario { name: "the_tutorial_s_image_follows_its_service", prove: image },
        ],
    )
}

fn prepare(cluster: Cluster) -> Result<Stage> {
    let stage = Stage { cluster };
    let machine = stage.cluster.machine(M);
    for number in [1, 2] {
        let run = format!("docker run -d --name i{number} -e INSTANCE=i{number} -p 300{number}:3000 someapp");
        machine.shell_ok(&run)?;
    }
    machine.shell_ok("rm -f /etc/nginx/sites-enabled/default && systemctl start nginx.service")?;
    Ok(stage)
}

fn machine(stage: &Stage) -> Machine {
    stage.cluster.machine(M)
}

fn put(stage: &Stage, key: &str, value: &str) -> Result<()> {
    stage.etcdctl(M, &["put", key, value]).map(drop)
}

/// The address of one of the two instances.
fn instance(stage: &Stage, number: u8) -> String {
    format!("{}:300{number}", machine(stage).address())
}

fn site(stage: &Stage) -> Target {
    stage.target(M, 80, "apache.example")
}

fn wait_body(stage: &Stage, target: &Target, words: &str) -> Result<()> {
    wait_until(&format!("an answer with {words:?}"), SOON, || match stage.get(target) {
        Ok(answer) if answer.body.contains(words) => Ok(()),
        Ok(answer) => Err(format!("{} {}", answer.status, answer.body)),
        Err(error) => Err(format!("{error:#}")),
    })?;
    Ok(())
}

fn resource(stage: &Stage, text: &str) -> Result<()> {
    Ok(machine(stage).write_file("/etc/confd/conf.d/apache.toml", text.as_bytes(), "0644")?)
}

fn story(stage: &Stage) -> Result<String> {
    stage.property(M, UNIT, "StatusText")
}

fn wait_story(stage: &Stage, words: &str) -> Result<()> {
    wait_until(&format!("{words:?} in the status"), SOON, || {
        let story = story(stage).map_err(|error| format!("{error:#}"))?;
        if story.contains(words) { Ok(()) } else { Err(story) }
    })?;
    Ok(())
}

fn skipped(stage: &Stage) -> Result<()> {
    let machine = machine(stage);
    machine.systemctl(&["start", UNIT])?;
    ensure!(stage.property(M, UNIT, "ActiveState")? == "inactive");
    machine.shell_ok("mkdir -p /etc/confd/conf.d /etc/confd/templates")?;
    let template = include_str!("templates/apache.conf.tmpl");
    machine.write_file("/etc/confd/templates/apache.conf.tmpl", template.as_bytes(), "0644")?;
    resource(stage, include_str!("templates/apache.toml"))?;
    let told = machine.exec_ok(&["/opt/convoy/bin/lb-watcher", "check"])?.stdout;
    ensure!(told.contains("apache.toml: good") && told.contains("getvs sorts by value"), "{told}");
    put(stage, "/services/apache/first", &instance(stage, 1))?;
    stage.start(M, UNIT)?;
    stage.wait_active(M, UNIT)?;
    wait_story(stage, "1 resource")
}

fn apache(stage: &Stage) -> Result<()> {
    let site = site(stage);
    wait_body(stage, &site, "i1")?;
    let machine = machine(stage);
    // Apache itself, as its unit announces it.
    machine.shell_ok(
        "cp /opt/convoy/examples/apache@.service /etc/systemd/system/ && systemctl daemon-reload",
    )?;
    stage.start(M, "apache@8001.service")?;
    stage.wait_active(M, "registrar@apache-8001.service")?;
    stage.etcdctl(M, &["del", "/services/apache/first"])?;
    wait_body(stage, &site, "It works")?;
    let text = machine.read_file(SITE)?;
    ensure!(text.matches("server 10.77").count() == 1 && text.contains(":8001;"), "{text}");
    let log = machine.read_file("/var/log/nginx/apache.log")?;
    ensure!(log.lines().last().is_some_and(|line| line.contains(":8001")), "{log}");
    // A stop in good order takes the key along.
    machine.systemctl(&["stop", "apache@8001.service"])?;
    put(stage, "/services/apache/first", &instance(stage, 1))?;
    wait_body(stage, &site, "i1")
}

fn refused(stage: &Stage) -> Result<()> {
    let before = machine(stage).read_file(SITE)?;
    put(stage, "/services/apache/evil", "10.0.0.1:80; } no_such_directive on; server { listen 81")?;
    wait_story(stage, "NOT UP TO DATE: apache.toml")?;
    ensure!(story(stage)?.contains("no_such_directive"), "{}", story(stage)?);
    ensure!(machine(stage).read_file(SITE)? == before, "a site that nginx refuses was in place");
    let status = machine(stage).exec(&["/opt/convoy/bin/lb-watcher", "status"])?;
    // Its state is the unit's own.
    let status = if status.success() { status } else { machine(stage).exec(&status_of_unit())? };
    ensure!(!status.success() && status.text().contains("NOT UP TO DATE"), "{}", status.text());
    let journal = machine(stage).journal(&["-u", UNIT, "-p", "err", "-o", "cat"])?;
    ensure!(journal.contains("no_such_directive"), "{journal}");
    // With a type the value never gets there.
    resource(stage, &format!("{}type = \"address\"\n", include_str!("templates/apache.toml")))?;
    wait_story(stage, "1 of 1 resource good")?;
    let why = machine(stage).exec(&["env", STATE, "/opt/convoy/bin/lb-watcher", "why"])?.text();
    ensure!(why.contains("/services/apache/evil  left out"), "{why}");
    stage.etcdctl(M, &["del", "/services/apache/evil"]).map(drop)
}

const STATE: &str = "STATE_DIRECTORY=/var/lib/lb-watcher-files";

fn status_of_unit() -> [&'static str; 4] {
    ["env", STATE, "/opt/convoy/bin/lb-watcher", "status"]
}

fn lie(stage: &Stage) -> Result<()> {
    let machine = machine(stage);
    let by_unit = include_str!("templates/apache.toml")
        .replace("reload_cmd = \"/usr/sbin/service nginx reload\"", "reload_unit = \"nginx.service\"");
    resource(stage, &by_unit)?;
    wait_story(stage, "1 of 1 resource good")?;
    // A port that somebody has: `nginx -t` and the reload succeed, and nothing happens.
    machine.shell_ok("systemd-run --unit=taker --collect docker run --rm --name taker -p 81:3000 someapp")?;
    wait_until("the port to be taken", SOON, || {
        let taken = machine.shell_ok("curl -s -o /dev/null http://127.0.0.1:81/");
        taken.map(drop).map_err(|error| error.to_string())
    })?;
    let template =
        include_str!("templates/apache.conf.tmpl").replace("listen 80", "listen 81;\n    listen 80");
    machine.write_file("/etc/confd/templates/apache.conf.tmpl", template.as_bytes(), "0644")?;
    wait_story(stage, "the new files are not served")?;
    ensure!(!machine.read_file(SITE)?.contains("listen 81"), "what is not served was left in place");
    wait_body(stage, &site(stage), "")?;
    machine.shell_ok("docker rm -f taker")?;
    wait_story(stage, "1 of 1 resource good")?;
    wait_body(stage, &stage.target(M, 81, "apache.example"), "")?;
    let template = include_str!("templates/apache.conf.tmpl");
    machine.write_file("/etc/confd/templates/apache.conf.tmpl", template.as_bytes(), "0644")?;
    wait_until("the site without the port", SOON, || {
        let text = machine.read_file(SITE).map_err(|error| error.to_string())?;
        if text.contains("listen 81") { Err(text) } else { Ok(()) }
    })?;
    Ok(())
}

fn nginx_stopped(stage: &Stage) -> Result<()> {
    let machine = machine(stage);
    machine.systemctl(&["stop", "nginx.service"])?;
    stage.etcdctl(M, &["del", "--prefix", "/services/apache/"])?;
    put(stage, "/services/apache/second", &instance(stage, 2))?;
    wait_until("the new site", SOON, || {
        let text = machine.read_file(SITE).map_err(|error| error.to_string())?;
        if text.contains(":3002") { Ok(()) } else { Err(text) }
    })?;
    machine.systemctl(&["start", "nginx.service"])?;
    wait_body(stage, &site(stage), "i2")?;
    wait_story(stage, "1 of 1 resource good")
}

fn killed(stage: &Stage) -> Result<()> {
    let machine = machine(stage);
    for round in 0..5u8 {
        let number = 1 + round % 2;
        put(stage, "/services/apache/second", &instance(stage, number))?;
        machine.shell_ok(&format!("sleep 0.0{round}; systemctl kill --signal=KILL {UNIT}"))?;
        wait_body(stage, &site(stage), &format!("i{number}"))?;
    }
    wait_until("the unit to be back", SOON, || {
        match stage.property(M, UNIT, "ActiveState").map_err(|error| format!("{error:#}"))?.as_str() {
            "active" => Ok(()),
            other => Err(other.to_owned()),
        }
    })?;
    let left = machine.shell_ok("find /etc/nginx -name '*.convoy-staged'")?.stdout;
    ensure!(left.trim().is_empty(), "{left}");
    Ok(())
}

fn no_store(stage: &Stage) -> Result<()> {
    let machine = machine(stage);
    let before = machine.read_file(SITE)?;
    let pid = stage.property(M, "nginx.service", "MainPID")?;
    machine.systemctl(&["stop", "etcd.service"])?;
    wait_story(stage, "store unreachable, all files stay")?;
    machine.systemctl(&["restart", "--no-block", UNIT])?;
    wait_story(stage, "waiting for the store; all files are as they were")?;
    ensure!(machine.read_file(SITE)? == before);
    machine.systemctl(&["start", "etcd.service"])?;
    stage.wait_active(M, UNIT)?;
    wait_story(stage, "1 of 1 resource good")?;
    ensure!(machine.read_file(SITE)? == before && stage.property(M, "nginx.service", "MainPID")? == pid);
    wait_body(stage, &site(stage), "i")
}

fn hardened(stage: &Stage) -> Result<()> {
    let verdict = machine(stage).exec_ok(&["systemd-analyze", "security", "--no-pager", UNIT])?.stdout;
    let score = verdict.split("service:").nth(1).and_then(|rest| rest.split_whitespace().next());
    let score: f64 = score.context("no score")?.parse()?;
    // Root, and whatever commands the operator names: that can't be 2.0.
    ensure!(score <= 5.0, "{UNIT}: {score}\n{verdict}");
    Ok(())
}

fn image(stage: &Stage) -> Result<()> {
    let machine = machine(stage);
    for (path, text, mode) in [
        ("boot.sh", include_str!("templates/image-boot.sh"), "0755"),
        ("confd/conf.d/nginx.toml", include_str!("templates/image-nginx.toml"), "0644"),
        ("confd/templates/nginx.tmpl", include_str!("templates/image-nginx.tmpl"), "0644"),
    ] {
        machine.write_file(&format!("/var/tmp/image/{path}"), text.as_bytes(), mode)?;
    }
    // What a Dockerfile with COPY makes: nginx, confd under its name, the files, and what is run.
    machine.shell_ok(
        "cp /opt/convoy/bin/lb-watcher /var/tmp/image/confd-program \
         && docker create --name made nginx \
         && docker cp /var/tmp/image/boot.sh made:/boot.sh \
         && docker cp /var/tmp/image/confd made:/etc/confd \
         && docker cp /var/tmp/image/confd-program made:/usr/bin/confd \
         && docker commit --change 'CMD [\"/boot.sh\"]' made balancer && docker rm made",
    )?;
    let etcd = format!("{}:2379", machine.address());
    let run = format!(
        "docker run -d --name balancer -p 8090:8080 -e SERVICE_NAME=tutorial -e ETCD={etcd} balancer"
    );
    put(stage, "/services/tutorial/upstream/1", &instance(stage, 1))?;
    machine.shell_ok(&run)?;
    let target = stage.target(M, 8090, "tutorial.example");
    wait_body(stage, &target, "i1")?;
    let traffic = stage.traffic(&target, 4, Duration::from_millis(5))?;
    for round in 0..10u8 {
        let number = 1 + round % 2;
        put(stage, &format!("/services/tutorial/upstream/{number}"), &instance(stage, number))?;
        wait_body(stage, &target, &format!("i{number}"))?;
        let other = 3 - number;
        stage.etcdctl(M, &["del", &format!("/services/tutorial/upstream/{other}")])?;
        wait_only(stage, &target, number)?;
    }
    Stage::expect_no_failure(&traffic.stop())?;
    let log = machine.shell_ok("docker logs balancer 2>&1")?.stdout;
    ensure!(log.contains("which its reader proved"), "{log}");
    machine.shell_ok("docker rm -f balancer").map(drop)?;
    Ok(())
}

/// Waits until only this instance answers.
fn wait_only(stage: &Stage, target: &Target, number: u8) -> Result<()> {
    wait_until(&format!("answers of i{number} alone"), SOON, || {
        for _ in 0..10 {
            let answer = stage.get(target).map_err(|error| format!("{error:#}"))?;
            if !answer.body.contains(&format!("i{number}")) {
                return Err(answer.body);
            }
        }
        Ok(())
    })?;
    Ok(())
}
