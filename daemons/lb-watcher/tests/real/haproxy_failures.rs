//! What goes wrong with HAProxy, and how it ends.

use std::net::TcpListener;
use std::time::Duration;

use convoy_lb_config::Engine;

use super::balancer::{Balancer, read, request};
use super::load::Load;
use super::upstream::Instance;

fn shipped() -> &'static str {
    Engine::Haproxy.shipped_template()
}

/// A balancer with a template that the test can edit, and its first instance.
async fn with_template() -> (Balancer, std::path::PathBuf, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let template = directory.path().join("my.j2");
    std::fs::write(&template, shipped()).unwrap();
    let balancer = Balancer::of(Engine::Haproxy, &["--template", template.to_str().unwrap()]).await;
    (balancer, template, directory)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_is_killed_at_any_moment_is_in_step_after_its_restart() {
    let mut balancer = Balancer::of(Engine::Haproxy, &[]).await;
    let instances: Vec<_> = (0..2).map(|n| Instance::start(&n.to_string())).collect();
    for (round, pause) in [0u64, 2, 4, 6, 8, 10, 15, 20, 30, 45, 60, 100].into_iter().enumerate() {
        // One comes, one moves, one goes.
        balancer.put("1", &instances[round % 2].address()).await;
        let (comes, goes) = if round % 2 == 0 { ("2", "3") } else { ("3", "2") };
        balancer.put(comes, &instances[round % 2].address()).await;
        let revision = balancer.withdraw(goes).await;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        balancer.kill_watcher();
        balancer.start_watcher();
        balancer.wait_applied(revision).await;
        assert_eq!(balancer.get().instance(), (round % 2).to_string(), "killed after {pause} ms");
        let (good, status) = balancer.call("status");
        assert!(good, "killed after {pause} ms: {status}");
    }
    assert_eq!(balancer.program_log().matches("New worker").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_haproxy_finds_the_instances_in_its_file_even_without_a_store() {
    let mut balancer = Balancer::of(Engine::Haproxy, &[]).await;
    let (one, two) = (Instance::start("one"), Instance::start("two"));
    balancer.put("1", &one.address()).await;
    let revision = balancer.put("1", &two.address()).await;
    balancer.wait_applied(revision).await;
    balancer.etcd.member(0).freeze().unwrap();
    balancer.wait_log("the store can't be reached", 1);
    assert_eq!(balancer.get().instance(), "two");
    balancer.kill_watcher();
    balancer.stop_program();
    balancer.start_program();
    assert_eq!(balancer.get().instance(), "two");
    balancer.start_watcher();
    balancer.wait_log("the store can't be reached", 2);
    assert_eq!(balancer.get().instance(), "two");
    balancer.etcd.member(0).thaw().unwrap();
    let revision = balancer.put("1", &one.address()).await;
    balancer.wait_applied(revision).await;
    assert_eq!(balancer.get().instance(), "one");
    assert_eq!(balancer.program_log().matches("New worker").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_socket_haproxy_is_reloaded_for_a_change_and_for_nothing_else() {
    let mut balancer = Balancer::of(Engine::Haproxy, &[]).await;
    let (one, two) = (Instance::start("one"), Instance::start("two"));
    let revision = balancer.put("1", &one.address()).await;
    balancer.wait_applied(revision).await;
    std::fs::remove_file(balancer.state().join("haproxy/admin.sock")).unwrap();
    let load = Load::start(balancer.address);
    let revision = balancer.put("1", &two.address()).await;
    balancer.wait_applied(revision).await;
    assert_eq!(balancer.get().instance(), "two");
    println!("{} requests over a reload", load.stop());
    let log = balancer.log();
    assert!(log.contains("HAProxy's socket can't be used") && log.contains("reloaded instead"), "{log}");
    assert_eq!(balancer.metric("lb_watcher_reloads_total").to_bits(), 1f64.to_bits());
    assert_eq!(balancer.metric("lb_watcher_failures_total").to_bits(), 1f64.to_bits());
    // A reload hands the old socket on, so its file does not come back. The next look is content with that.
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(balancer.metric("lb_watcher_reloads_total").to_bits(), 1f64.to_bits());
    let revision = balancer.withdraw("1").await;
    balancer.wait_applied(revision).await;
    assert_eq!(balancer.get().status, 503);
    assert_eq!(balancer.metric("lb_watcher_reloads_total").to_bits(), 2f64.to_bits());
    let (good, status) = balancer.call("status");
    assert!(!good && status.contains("a restart of HAProxy makes it anew"), "{status}");
    // A restart brings it back.
    balancer.stop_program();
    balancer.start_program();
    let revision = balancer.put("1", &one.address()).await;
    balancer.wait_applied(revision).await;
    assert_eq!(balancer.get().instance(), "one");
    assert_eq!(balancer.metric("lb_watcher_reloads_total").to_bits(), 2f64.to_bits());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_somebody_has_is_refused_before_haproxy_stops_listening() {
    let (balancer, template, _directory) = with_template().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (one, two) = (Instance::start("one"), Instance::start("two"));
    let revision = balancer.put("1", &one.address()).await;
    balancer.wait_applied(revision).await;
    let before = read(&balancer.live());
    let load = Load::start(balancer.address);
    let bind = format!("frontend public\n    bind {}\n", taken.local_addr().unwrap());
    std::fs::write(&template, shipped().replace("frontend public\n", &bind)).unwrap();
    let revision = balancer.put("1", &two.address()).await;
    balancer.wait_log("it can't listen on", 1);
    assert_eq!(balancer.get().instance(), "one");
    assert_eq!(read(&balancer.live()), before);
    load.stop();
    // The port is free again: no key changes, and the configuration is taken over.
    drop(taken);
    balancer.wait_applied(revision).await;
    assert_eq!(balancer.get().instance(), "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_haproxy_does_not_follow_is_noticed_and_rolled_back() {
    // `haproxy -c` and the signal both succeed with a socket where it can't be made; only the log of HAProxy tells.
    let (balancer, template, directory) = with_template().await;
    let (one, two) = (Instance::start("one"), Instance::start("two"));
    let revision = balancer.put("1", &one.address()).await;
    balancer.wait_applied(revision).await;
    let before = read(&balancer.live());
    let place = directory.path().join("not-there");
    let bind = format!("frontend public\n    bind {}/x.sock\n", place.display());
    std::fs::write(&template, shipped().replace("frontend public\n", &bind)).unwrap();
    let revision = balancer.put("1", &two.address()).await;
    balancer.wait_log("HAProxy was not reloaded", 1);
    assert_eq!(read(&balancer.live()), before);
    let (good, status) = balancer.call("status");
    assert!(!good && status.contains("REFUSED"), "{status}");
    assert_eq!(request(balancer.address, "GET", "").unwrap().instance(), "one");
    std::fs::create_dir(&place).unwrap();
    balancer.wait_applied(revision).await;
    assert_eq!(balancer.get().instance(), "two");
    assert!(balancer.call("status").0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_haproxy_refuses_is_kept_for_a_look_and_tried_again_without_a_change() {
    let (balancer, template, _directory) = with_template().await;
    let (one, two) = (Instance::start("one"), Instance::start("two"));
    let revision = balancer.put("1", &one.address()).await;
    balancer.wait_applied(revision).await;
    std::fs::write(&template, shipped().replace("mode http\n", "mode http\n    no_such_keyword\n")).unwrap();
    balancer.put("1", &two.address()).await;
    balancer.wait_log("unknown keyword 'no_such_keyword'", 1);
    assert_eq!(balancer.get().instance(), "one");
    let rejected = read(&balancer.state().join("haproxy.cfg.rejected"));
    assert!(rejected.contains("no_such_keyword") && rejected.contains(&two.address()), "{rejected}");
    let (good, status) = balancer.call("status");
    assert!(!good && status.contains("no_such_keyword"), "{status}");
    let (good, text) = balancer.call("check");
    assert!(!good && text.contains("no_such_keyword"), "{text}");
    std::fs::write(&template, shipped()).unwrap();
    balancer.wait_instance("two");
    let (good, text) = balancer.call("check");
    assert!(good && text.contains("HAProxy accepts it"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_can_not_be_checked_holds_the_announcement_back_and_heals() {
    let directory = tempfile::tempdir().unwrap();
    let broken = directory.path().join("broken");
    let command = format!("[ ! -e {} ] || {{ echo out of order; exit 1; }}", broken.display());
    let balancer = Balancer::of(Engine::Haproxy, &["--check-command", &command]).await;
    let (one, two) = (Instance::start("one"), Instance::start("two"));
    let revision = balancer.put("1", &one.address()).await;
    balancer.wait_applied(revision).await;
    std::fs::write(&broken, "").unwrap();
    let before = read(&balancer.live());
    let revision = balancer.put("1", &two.address()).await;
    balancer.wait_log("out of order", 1);
    // The running process has it already, and the file is still one that would start.
    assert_eq!((balancer.get().instance(), read(&balancer.live())), ("two", before));
    assert_ne!(balancer.value("/convoy/applied/someapp/lb-1").await, Some(revision.to_string()));
    std::fs::remove_file(&broken).unwrap();
    balancer.wait_applied(revision).await;
    assert!(read(&balancer.live()).contains(&two.address()));
    assert!(!balancer.log().contains("changed by somebody else"), "{}", balancer.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_hands_its_port_and_its_instances_over_to_haproxy_and_back() {
    let mut balancer = Balancer::start(&[]).await;
    let one = Instance::start("one");
    let revision = balancer.put("1", &one.address()).await;
    balancer.wait_applied(revision).await;
    for (engine, words) in [(Engine::Haproxy, "HAProxy of the host"), (Engine::Nginx, "nginx of the host")] {
        balancer.stop_watcher();
        balancer.stop_program();
        balancer.become_engine(engine);
        // Without a watcher: the instances are those of the record.
        balancer.start_program();
        assert_eq!(balancer.get().instance(), "one", "{engine}");
        balancer.start_watcher();
        balancer.wait_applied(revision).await;
        let (good, status) = balancer.call("status");
        assert!(good && status.contains(words), "{status}");
    }
}
