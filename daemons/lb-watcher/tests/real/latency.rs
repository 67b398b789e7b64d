//! From the put of a key to the first answer by it, HAProxy through its socket beside nginx by a reload.

use std::time::{Duration, Instant};

use convoy_lb_config::Engine;

use super::balancer::Balancer;
use super::upstream::Instance;

/// Medians. Each change comes after calm, so that settling plays no part.
async fn measure(balancer: &Balancer, rounds: usize) -> (Duration, Duration) {
    let (one, two) = (Instance::start("one"), Instance::start("two"));
    let revision = balancer.put("1", &one.address()).await;
    balancer.wait_applied(revision).await;
    let (mut served, mut applied) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let (name, instance) = if round % 2 == 0 { ("two", &two) } else { ("one", &one) };
        let begin = Instant::now();
        let revision = balancer.put("1", &instance.address()).await;
        while balancer.get().instance() != name {}
        served.push(begin.elapsed());
        balancer.wait_applied(revision).await;
        applied.push(begin.elapsed());
    }
    served.sort_unstable();
    applied.sort_unstable();
    let median = |times: &[Duration]| *times.get(rounds / 2).unwrap();
    (median(&served), median(&applied))
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_serves_a_changed_key_sooner_than_a_reloaded_nginx() {
    let haproxy = Balancer::of(Engine::Haproxy, &[]).await;
    let nginx = Balancer::start(&[]).await;
    let (quick, slow) = (measure(&haproxy, 15).await, measure(&nginx, 15).await);
    println!(
        "put to first answer, then to the announcement that it is applied, medians: HAProxy {quick:?}, nginx {slow:?}"
    );
    println!("nginx by reload takes {:.1} times as long", slow.0.as_secs_f64() / quick.0.as_secs_f64());
    assert!(quick.0 < slow.0, "HAProxy {quick:?}, nginx {slow:?}");
}
