//! What Convoy promises about its load balancers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::balancer::{Balancer, read, request};
use super::upstream::Instance;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_announced_before_the_proof_and_nothing_is_left_after_the_stop() {
    let mut balancer = Balancer::without_watcher(&["--reload-command", "false"]).await;
    let one = Instance::start("one");
    balancer.put("1", &one.address()).await;
    balancer.start_watcher();
    balancer.wait_log("nginx was not reloaded", 1);
    assert_eq!(balancer.value("/services/someapp/lb/1").await, None);
    balancer.kill_watcher();
    drop(balancer);

    let mut balancer = Balancer::start(&[]).await;
    assert!(balancer.value("/services/someapp/lb/1").await.is_some());
    balancer.stop_watcher();
    assert_eq!(balancer.value("/services/someapp/lb/1").await, None);
    assert_eq!(balancer.value("/convoy/applied/someapp/lb-1").await, None);
    // Stopping the watcher is no reason to stop serving.
    assert_eq!(balancer.get().status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_rest_nothing_is_written() {
    let balancer = Balancer::start(&[]).await;
    let one = Instance::start("one");
    let revision = balancer.put("1", &one.address()).await;
    balancer.wait_applied(revision).await;
    let before = balancer.store.revision().await.unwrap();
    // Long enough for a keep-alive (a third of 15 s) and a look at file and nginx (every 10 s).
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(balancer.store.revision().await.unwrap(), before);
    assert_eq!(balancer.metric("lb_watcher_reloads_total").to_bits(), 1f64.to_bits());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_file_is_put_back() {
    let balancer = Balancer::start(&[]).await;
    let live = balancer.state().join("nginx.conf");
    let ours = read(&live);
    std::fs::write(&live, "events {}").unwrap();
    // Found at the next look.
    balancer.wait_log("changed by somebody else", 1);
    assert_eq!(read(&live), ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_of_the_instances_fails_no_request_of_any_method() {
    let balancer = Balancer::start(&[]).await;
    let mut instances = Vec::new();
    for n in 0..3 {
        let instance = Instance::start(&n.to_string());
        balancer.put(&n.to_string(), &instance.address()).await;
        instances.push(instance);
    }
    balancer.wait_instance("2");
    let stop = Arc::new(AtomicBool::new(false));
    let address = balancer.address;
    let clients: Vec<_> = ["GET", "GET", "POST", "POST"]
        .into_iter()
        .map(|method| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let (mut count, mut failed) = (0u32, Vec::new());
                while !stop.load(Ordering::SeqCst) {
                    count += 1;
                    match request(address, method, "") {
                        Ok(answer) if answer.status == 200 => {}
                        other => failed.push(format!("{method}: {other:?}")),
                    }
                }
                (count, failed)
            })
        })
        .collect();
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
    stop.store(true, Ordering::SeqCst);
    let mut total = 0;
    for client in clients {
        let (count, failed) = client.join().unwrap();
        total += count;
        assert!(failed.is_empty(), "{} of {count} failed: {:?}", failed.len(), failed.first());
    }
    println!("{total} requests in {:?} over 9 restarts", begin.elapsed());
    assert!(total > 500, "{total} requests are no proof");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_dies_without_a_word_fails_no_idempotent_request() {
    let balancer = Balancer::start(&[]).await;
    let (one, two) = (Instance::start("one"), Instance::start("two"));
    balancer.put("1", &one.address()).await;
    let revision = balancer.put("2", &two.address()).await;
    balancer.wait_applied(revision).await;
    for _ in 0..20 {
        assert_eq!(balancer.get().status, 200);
    }
    drop(two);
    // Its key is still there; nginx tries the next one.
    for _ in 0..50 {
        assert_eq!(balancer.get().instance(), "one");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_leave_one_generation_of_workers() {
    // Old workers are sent away before nginx would do it; it must not take that for a crash and start them again.
    let balancer = Balancer::start(&[]).await;
    let workers = || {
        let pid = read(&balancer.pid_file());
        let children = read(std::path::Path::new(&format!("/proc/{pid}/task/{pid}/children")));
        children.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let before = workers();
    assert!(!before.is_empty());
    for n in 1..=20 {
        let revision = balancer.put("1", &format!("127.0.0.1:{n}")).await;
        balancer.wait_applied(revision).await;
    }
    let after = workers();
    assert_eq!(after.len(), before.len(), "{before:?} {after:?}");
    assert!(after.iter().all(|worker| !before.contains(worker)));
}
