//! What goes wrong, and how it ends.

use std::net::TcpListener;
use std::time::Duration;

use convoy_lb_config::Engine;
use rustix::process::Signal;

use super::balancer::{Balancer, SOON, read};
use super::upstream::Instance;

fn shipped() -> &'static str {
    Engine::Nginx.shipped_template()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_template_is_told_with_its_line_while_the_last_good_one_serves() {
    let directory = tempfile::tempdir().unwrap();
    let template = directory.path().join("my.j2");
    std::fs::write(&template, shipped()).unwrap();
    let mut balancer = Balancer::start(&["--template", template.to_str().unwrap()]).await;
    let (one, two) = (Instance::start("one"), Instance::start("two"));
    let revision = balancer.put("1", &one.address()).await;
    balancer.wait_applied(revision).await;

    std::fs::write(&template, "daemon off;\n{{ nothing_of_this_name }}\n").unwrap();
    balancer.put("1", &two.address()).await;
    balancer.wait_log("my.j2, line 2: undefined value", 1);
    assert_eq!(balancer.get().instance(), "one");
    let (good, text) = balancer.call("check");
    assert!(!good && text.contains("my.j2, line 2"), "{text}");

    // nginx and watcher start again while it is broken: the last good one is still there.
    balancer.stop_watcher();
    balancer.stop_program();
    balancer.start_program();
    assert_eq!(balancer.get().instance(), "one");
    balancer.start_watcher();
    // Each time it stands in the message and in a field.
    balancer.wait_log("my.j2, line 2: undefined value", 3);

    // Corrected, it is taken up without any key.
    std::fs::write(&template, shipped()).unwrap();
    balancer.signal_watcher(Signal::HUP);
    balancer.wait_instance("two");
    let (good, text) = balancer.call("check");
    assert!(good && text.contains("nginx accepts it"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nginx_refuses_is_kept_for_a_look_and_tried_again_without_a_change() {
    let directory = tempfile::tempdir().unwrap();
    let template = directory.path().join("my.j2");
    std::fs::write(&template, shipped()).unwrap();
    let balancer = Balancer::start(&["--template", template.to_str().unwrap()]).await;
    let (one, two) = (Instance::start("one"), Instance::start("two"));
    let revision = balancer.put("1", &one.address()).await;
    balancer.wait_applied(revision).await;

    std::fs::write(&template, format!("no_such_directive on;\n{}", shipped())).unwrap();
    balancer.put("1", &two.address()).await;
    balancer.wait_log("unknown directive \"no_such_directive\"", 1);
    assert_eq!(balancer.get().instance(), "one");
    let rejected = read(&balancer.state().join("nginx.conf.rejected"));
    assert!(rejected.contains("no_such_directive") && rejected.contains(&two.address()), "{rejected}");
    let (good, status) = balancer.call("status");
    assert!(!good && status.contains("no_such_directive"), "{status}");

    std::fs::write(&template, shipped()).unwrap();
    balancer.wait_instance("two");
    assert!(balancer.metric("lb_watcher_failures_total") >= 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_nginx_does_not_follow_is_noticed_and_rolled_back() {
    // nginx -t and the reload both succeed with a port that somebody else has; only the log of nginx tells.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let directory = tempfile::tempdir().unwrap();
    let template = directory.path().join("my.j2");
    std::fs::write(&template, shipped()).unwrap();
    let balancer = Balancer::start(&["--template", template.to_str().unwrap()]).await;
    let (one, two) = (Instance::start("one"), Instance::start("two"));
    let revision = balancer.put("1", &one.address()).await;
    balancer.wait_applied(revision).await;
    let before = read(&balancer.state().join("nginx.conf"));

    let text = shipped().replace("server_name _;", &format!("listen 127.0.0.1:{port};\nserver_name _;"));
    std::fs::write(&template, text).unwrap();
    let revision = balancer.put("1", &two.address()).await;
    balancer.wait_log("nginx did not take it over and still serves", 1);
    assert_eq!(balancer.get().instance(), "one");
    assert_eq!(read(&balancer.state().join("nginx.conf")), before);

    // The port is free again: no key changes, and the configuration is taken over.
    drop(taken);
    balancer.wait_applied(revision).await;
    assert_eq!(balancer.get().instance(), "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_or_a_reload_that_can_not_be_made_holds_only_the_new_one_back() {
    let directory = tempfile::tempdir().unwrap();
    let broken = directory.path().join("broken");
    for (option, words) in [
        ("--check-command", "the configuration could not be checked"),
        ("--reload-command", "nginx was not reloaded"),
    ] {
        let pid = directory.path().join("pid");
        let command = format!(
            "[ ! -e {} ] || {{ echo out of order; exit 1; }}; [ {option} != --reload-command ] || kill -HUP $(cat {})",
            broken.display(),
            pid.display()
        );
        let mut balancer = Balancer::without_watcher(&[option, &command]).await;
        std::fs::copy(balancer.pid_file(), &pid).unwrap();
        balancer.start_watcher();
        let (one, two) = (Instance::start("one"), Instance::start("two"));
        let revision = balancer.put("1", &one.address()).await;
        balancer.wait_applied(revision).await;
        std::fs::write(&broken, "").unwrap();
        let revision = balancer.put("1", &two.address()).await;
        balancer.wait_log(words, 1);
        balancer.wait_log("out of order", 1);
        assert_eq!(balancer.get().instance(), "one", "{option}");
        std::fs::remove_file(&broken).unwrap();
        balancer.wait_applied(revision).await;
        assert_eq!(balancer.get().instance(), "two", "{option}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_answer_stops_nothing() {
    let mut balancer = Balancer::start(&[]).await;
    let (one, two) = (Instance::start("one"), Instance::start("two"));
    let revision = balancer.put("1", &one.address()).await;
    balancer.wait_applied(revision).await;
    balancer.etcd.member(0).freeze().unwrap();
    balancer.wait_log("the store can't be reached", 1);
    assert_eq!(balancer.get().instance(), "one");
    // Both start again without a store, and go on where they were.
    balancer.kill_watcher();
    balancer.stop_program();
    balancer.start_program();
    balancer.start_watcher();
    balancer.wait_log("the store can't be reached", 2);
    assert_eq!(balancer.get().instance(), "one");
    balancer.etcd.member(0).thaw().unwrap();
    let revision = balancer.put("1", &two.address()).await;
    balancer.wait_applied(revision).await;
    assert_eq!(balancer.get().instance(), "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_is_killed_at_any_moment_is_in_step_after_its_restart() {
    let mut balancer = Balancer::start(&[]).await;
    let instances: Vec<_> = (0..2).map(|n| Instance::start(&n.to_string())).collect();
    for (round, pause) in [0u64, 5, 10, 20, 30, 45, 60, 100, 150, 250].into_iter().enumerate() {
        let revision = balancer.put("1", &instances[round % 2].address()).await;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        balancer.kill_watcher();
        balancer.start_watcher();
        balancer.wait_applied(revision).await;
        assert_eq!(balancer.get().instance(), (round % 2).to_string(), "killed after {pause} ms");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_port_keeps_the_instances_even_without_a_store() {
    let mut balancer = Balancer::start(&[]).await;
    let one = Instance::start("one");
    let revision = balancer.put("1", &one.address()).await;
    balancer.wait_applied(revision).await;
    balancer.stop_watcher();
    balancer.stop_program();
    balancer.etcd.member(0).freeze().unwrap();
    balancer.address = convoy_road::loopback::free_address().unwrap();
    balancer.start_program();
    assert_eq!(balancer.get().instance(), "one");
    balancer.etcd.member(0).thaw().unwrap();
    balancer.start_watcher();
    balancer.wait_log("the load balancer is announced", 2);
    let limit = tokio::time::Instant::now() + SOON;
    while balancer.value("/services/someapp/lb/1").await != Some(balancer.address.to_string()) {
        assert!(tokio::time::Instant::now() < limit, "{}", balancer.log());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
