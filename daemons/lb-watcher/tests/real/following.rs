//! Keys change, nginx follows.

use std::time::{Duration, Instant};

use super::balancer::{Balancer, read, request};
use super::upstream::{Instance, header};

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_key_is_served_and_said_in_the_store() {
    let balancer = Balancer::start(&[]).await;
    let (one, two) = (Instance::start("one"), Instance::start("two"));
    balancer.put("1", &one.address()).await;
    balancer.wait_instance("one");
    let mut times = Vec::new();
    for (name, instance) in [("two", &two), ("one", &one), ("two", &two), ("one", &one), ("two", &two)] {
        // Calm: the former application has ended, and the quiet time has passed since.
        tokio::time::sleep(Duration::from_millis(400)).await;
        let begin = Instant::now();
        let revision = balancer.put("1", &instance.address()).await;
        balancer.wait_instance(name);
        times.push(begin.elapsed());
        balancer.wait_applied(revision).await;
    }
    times.sort_unstable();
    println!("key change to first answer: {times:?}");
    assert!(times[2] < Duration::from_secs(1), "{times:?}");
    assert_eq!(balancer.value("/services/someapp/lb/1").await, Some(balancer.address.to_string()));
    let (good, status) = balancer.call("status");
    assert!(good && status.contains(&two.address()), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_set_answers_503_with_retry_after() {
    let balancer = Balancer::start(&[]).await;
    let empty = balancer.get();
    assert_eq!((empty.status, header(&empty.head, "retry-after").as_deref()), (503, Some("2")));
    let one = Instance::start("one");
    balancer.put("1", &one.address()).await;
    balancer.wait_instance("one");
    let revision = balancer.withdraw("1").await;
    balancer.wait_applied(revision).await;
    assert_eq!(balancer.get().status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn why_and_diff_tell_of_each_key_and_change_nothing() {
    let balancer = Balancer::start(&[]).await;
    let one = Instance::start("one");
    let revision = balancer.put("1", &one.address()).await;
    balancer.put("2", "no address").await;
    balancer.wait_applied(revision + 1).await;
    let (good, text) = balancer.call("why");
    assert!(good, "{text}");
    assert!(
        text.contains(&format!("upstream/1  {}  served since revision {revision}", one.address())),
        "{text}"
    );
    assert!(text.contains("upstream/2  left out: \\\"no address\\\" is no ip:port"), "{text}");
    assert_eq!(balancer.call("diff"), (true, String::new()));
    balancer.signal_watcher(rustix::process::Signal::STOP);
    let later = balancer.put("3", "127.0.0.1:1").await;
    let (_, text) = balancer.call("why");
    assert!(text.contains(&format!("not yet, it is of revision {later}: it is on its way")), "{text}");
    let (same, text) = balancer.call("diff");
    assert!(!same && text.contains('+') && text.contains("127.0.0.1:1"), "{text}");
    balancer.signal_watcher(rustix::process::Signal::CONT);
    balancer.wait_applied(later).await;
    assert_eq!(balancer.call("diff"), (true, String::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_instance_that_vanishes_without_a_word_is_served_for_a_while_and_nobody_is_told_otherwise() {
    let mut balancer = Balancer::without_watcher(&[]).await;
    std::fs::create_dir_all(balancer.path("config.d")).unwrap();
    std::fs::write(balancer.path("config.d/10.toml"), "[lb-watcher]\nremoval_grace = \"3s\"\n").unwrap();
    balancer.start_watcher();
    balancer.wait_log("the load balancer is announced", 1);
    let (one, two) = (Instance::start("one"), Instance::start("two"));
    balancer.put("1", &one.address()).await;
    let before = balancer.put("2", &two.address()).await;
    balancer.wait_applied(before).await;
    let begin = Instant::now();
    let prefix = "/services/someapp/upstream/";
    let gone = convoy_store::Transaction::new().delete(format!("{prefix}1")).delete(format!("{prefix}2"));
    let revision = balancer.store.commit(gone).await.unwrap().revision.get();
    balancer.wait_log("too many upstreams vanished at once", 1);
    assert_eq!(balancer.get().status, 200);
    assert_eq!(balancer.value("/convoy/applied/someapp/lb-1").await, Some(before.to_string()));
    balancer.wait_applied(revision).await;
    assert!(begin.elapsed() >= Duration::from_secs(3));
    assert_eq!(balancer.get().status, 503);

    // A new watcher does not take an empty store for the truth either.
    balancer.put("1", &one.address()).await;
    balancer.wait_instance("one");
    balancer.stop_watcher();
    balancer.delete("1").await;
    balancer.start_watcher();
    balancer.wait_log("too many upstreams vanished at once", 2);
    assert_eq!(balancer.get().instance(), "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_is_taken_together_and_its_last_value_is_live() {
    let balancer = Balancer::start(&[]).await;
    let last = Instance::start("last");
    let before = balancer.metric("lb_watcher_reloads_total");
    let begin = Instant::now();
    for n in 0..199 {
        balancer.put("1", &format!("127.0.0.1:{}", 20000 + n)).await;
        // 200 in half a second.
        tokio::time::sleep_until((begin + Duration::from_micros(2500) * n).into()).await;
    }
    let revision = balancer.put("1", &last.address()).await;
    let took = begin.elapsed();
    balancer.wait_applied(revision).await;
    assert_eq!(balancer.get().instance(), "last");
    let reloads = balancer.metric("lb_watcher_reloads_total") - before;
    println!("200 puts in {took:?}: {reloads} reloads");
    // One at once, one after the quiet; more only where the machine itself made pauses, and every 2 s.
    assert!(reloads <= 3.0 + took.as_secs_f64() / 2.0, "{reloads} reloads for {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unusable_value_is_left_out_said_once_and_counted() {
    let balancer = Balancer::start(&[]).await;
    let one = Instance::start("one");
    balancer.put("2", "127.0.0.1:80; } server { listen 1; return 200 evil").await;
    balancer.put("3\nfake log line", &one.address()).await;
    let revision = balancer.put("1", &one.address()).await;
    balancer.wait_applied(revision).await;
    assert_eq!(balancer.get().instance(), "one");
    let log = balancer.log();
    assert_eq!(log.matches("left out: /services/someapp/upstream/2").count(), 1, "{log}");
    assert!(!log.lines().any(|line| line.starts_with("fake")), "{log}");
    assert_eq!(balancer.metric("lb_watcher_skipped_keys").to_bits(), 2f64.to_bits());
    assert!(!read(&balancer.state().join("nginx.conf")).contains("evil"));
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_a_trusted_peer_are_passed_on_and_connections_fit_the_method() {
    let balancer = Balancer::start(&[]).await;
    let one = Instance::start("one");
    let revision = balancer.put("1", &one.address()).await;
    balancer.wait_applied(revision).await;
    let headers = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Request-Id: abc\r\n";
    let body = request(balancer.address, "GET", headers).unwrap().body;
    for (name, value) in [
        ("host", Some("some.app:81")),
        ("x-forwarded-for", Some("203.0.113.9, 127.0.0.1")),
        ("x-forwarded-proto", Some("https")),
        ("x-forwarded-host", Some("some.app:81")),
        ("x-request-id", Some("abc")),
        ("connection", None),
    ] {
        assert_eq!(header(&body, name).as_deref(), value, "{name}: {body}");
    }
    let post = request(balancer.address, "POST", "Upgrade: h2c\r\n").unwrap().body;
    assert_eq!(header(&post, "connection").as_deref(), Some("close"), "{post}");
    assert_eq!(header(&post, "upgrade"), None, "{post}");
    let socket = request(balancer.address, "GET", "Upgrade: websocket\r\n").unwrap().body;
    assert_eq!(header(&socket, "connection").as_deref(), Some("upgrade"), "{socket}");
    assert_eq!(header(&socket, "upgrade").as_deref(), Some("websocket"), "{socket}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_may_not_speak_for_others_nor_ask_what_is_served() {
    // Trusts nobody, so that this machine is a stranger.
    let directory = tempfile::tempdir().unwrap();
    let template = directory.path().join("t.j2");
    let text =
        convoy_lb_config::Engine::Nginx.shipped_template().replace("{{ network }} 0;", "{{ network }} 1;");
    std::fs::write(&template, text).unwrap();
    let balancer = Balancer::start(&["--template", template.to_str().unwrap()]).await;
    let one = Instance::start("one");
    let revision = balancer.put("1", &one.address()).await;
    balancer.wait_applied(revision).await;
    let headers = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Real-IP: 203.0.113.9\r\n\
                   Forwarded: for=203.0.113.9\r\nX-Request-Id: abc\r\n";
    let body = request(balancer.address, "GET", headers).unwrap().body;
    for (name, value) in [
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-forwarded-proto", Some("http")),
        ("x-real-ip", Some("127.0.0.1")),
        ("forwarded", None),
    ] {
        assert_eq!(header(&body, name).as_deref(), value, "{name}: {body}");
    }
    assert_ne!(header(&body, "x-request-id").as_deref(), Some("abc"));
}
