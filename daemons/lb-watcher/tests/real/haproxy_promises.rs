//! What Convoy promises about its load balancers, with HAProxy.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use convoy_lb_config::Engine;

use super::balancer::{Balancer, read};
use super::load::Load;
use super::upstream::Instance;

async fn start() -> Balancer {
    Balancer::of(Engine::Haproxy, &[]).await
}

fn is(metric: f64, value: f64) -> bool {
    metric.to_bits() == value.to_bits()
}

/// Somebody else at the socket.
fn say(balancer: &Balancer, line: &str) -> String {
    let mut stream = UnixStream::connect(balancer.state().join("haproxy/admin.sock")).unwrap();
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_changes_under_load_fail_no_request_and_make_no_reload() {
    let balancer = start().await;
    let instances: Vec<_> = (0..4).map(|n| Instance::start(&n.to_string())).collect();
    let revision = balancer.put("0", &instances[0].address()).await;
    balancer.wait_applied(revision).await;
    let load = Load::start(balancer.address);
    let begin = Instant::now();
    let mut present = [false; 4];
    for change in 0..200usize {
        // One of three others comes or goes; at times it comes back at the address of another one.
        let n = 1 + change % 3;
        let name = n.to_string();
        let revision = if present[n] && change % 7 != 0 {
            present[n] = false;
            balancer.withdraw(&name).await
        } else {
            present[n] = true;
            balancer.put(&name, &instances[1 + (n + change / 3) % 3].address()).await
        };
        balancer.wait_applied(revision).await;
    }
    let took = begin.elapsed();
    let requests = load.stop();
    let (changes, reloads) =
        (balancer.metric("lb_watcher_runtime_changes_total"), balancer.metric("lb_watcher_reloads_total"));
    println!(
        "{requests} requests in {took:?}, 200 puts and deletes: {changes} changes, {reloads} reloads, 0 failed"
    );
    assert!(is(reloads, 0.0), "{}", balancer.log());
    assert_eq!(balancer.program_log().matches("New worker").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_of_the_instances_fails_no_request_of_any_method() {
    let balancer = start().await;
    let mut instances = Vec::new();
    for n in 0..3 {
        let instance = Instance::start(&n.to_string());
        balancer.put(&n.to_string(), &instance.address()).await;
        instances.push(instance);
    }
    balancer.wait_instance("2");
    let load = Load::start(balancer.address);
    let begin = Instant::now();
    for round in 0..9 {
        let n = round % 3;
        // As the registrar does: withdraw, wait until the load balancers have applied it, stop, start, announce.
        let revision = balancer.withdraw(&n.to_string()).await;
        balancer.wait_applied(revision).await;
        instances[n] = Instance::start(&n.to_string());
        let revision = balancer.put(&n.to_string(), &instances[n].address()).await;
        balancer.wait_applied(revision).await;
    }
    println!("{} requests in {:?} over 9 restarts", load.stop(), begin.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_dies_without_a_word_fails_no_request() {
    let balancer = start().await;
    let (one, two) = (Instance::start("one"), Instance::start("two"));
    balancer.put("1", &one.address()).await;
    let revision = balancer.put("2", &two.address()).await;
    balancer.wait_applied(revision).await;
    for _ in 0..20 {
        assert_eq!(balancer.get().status, 200);
    }
    drop(two);
    // Its key is still there; HAProxy tries the next one, and soon leaves it out by itself.
    for _ in 0..50 {
        assert_eq!(balancer.get().instance(), "one");
    }
    // Left out is not taken out: nothing is out of step.
    let (good, status) = balancer.call("status");
    assert!(good, "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_rest_nothing_is_written_and_nothing_is_told() {
    let balancer = start().await;
    let one = Instance::start("one");
    let revision = balancer.put("1", &one.address()).await;
    balancer.wait_applied(revision).await;
    let before = balancer.store.revision().await.unwrap();
    // Long enough for a keep-alive (a third of 15 s) and a look at file and servers (every 10 s).
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(balancer.store.revision().await.unwrap(), before);
    assert!(is(balancer.metric("lb_watcher_runtime_changes_total"), 1.0));
    assert!(is(balancer.metric("lb_watcher_reloads_total"), 0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_did_to_file_and_servers_is_undone() {
    let balancer = start().await;
    let one = Instance::start("one");
    let revision = balancer.put("1", &one.address()).await;
    balancer.wait_applied(revision).await;
    let ours = read(&balancer.live());
    std::fs::write(balancer.live(), "global\n").unwrap();
    let name = format!("1::{}", one.address());
    say(&balancer, &format!("set server instances/{name} state maint"));
    say(&balancer, &format!("set server instances_fresh/{name} weight 0"));
    say(&balancer, "add server instances/evil 192.0.2.1:80");
    say(&balancer, "set server instances/evil state ready");
    assert!(!balancer.call("status").0);
    // Found at the next look.
    let found = || read(&balancer.live()) == ours && balancer.call("status").0;
    let limit = Instant::now() + Duration::from_secs(20);
    while !found() || balancer.call("status").1.contains("evil") {
        assert!(Instant::now() < limit, "{}\n{}", balancer.call("status").1, balancer.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(balancer.get().instance(), "one");
    assert!(is(balancer.metric("lb_watcher_reloads_total"), 0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_template_is_a_reload_that_fails_no_request_and_keeps_the_servers() {
    let directory = tempfile::tempdir().unwrap();
    let template = directory.path().join("my.j2");
    std::fs::write(&template, Engine::Haproxy.shipped_template()).unwrap();
    let balancer = Balancer::of(Engine::Haproxy, &["--template", template.to_str().unwrap()]).await;
    let one = Instance::start("one");
    let revision = balancer.put("1", &one.address()).await;
    balancer.wait_applied(revision).await;
    let load = Load::start(balancer.address);
    for round in 1..=5u32 {
        let text = Engine::Haproxy
            .shipped_template()
            .replace("timeout client 60s", &format!("timeout client 6{round}s"));
        std::fs::write(&template, text).unwrap();
        balancer.signal_watcher(rustix::process::Signal::HUP);
        balancer.wait_log("HAProxy serves 1 upstream", 1 + usize::try_from(round).unwrap());
    }
    println!("{} requests over 5 reloads", load.stop());
    assert!(is(balancer.metric("lb_watcher_reloads_total"), 5.0), "{}", balancer.log());
    assert_eq!(balancer.get().instance(), "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_is_its_owner_s_alone() {
    let balancer = start().await;
    let mode = std::fs::metadata(balancer.state().join("haproxy/admin.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
