//! How soon a change of a key is served, with a thousand other services, and while others change.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use convoy_road::loopback::Loopback;
use convoy_road::traffic::Client;
use convoy_store::{Store, StoreSettings};

use super::SOON;
use crate::road::app;
use crate::table::{Samples, Table, ratio};

const SERVICES: u32 = 1000;
const TARGETS: u32 = 5;
const CHANGES: u32 = 200;
/// Between two changes of other services: 200 in a second.
const NOISE: Duration = Duration::from_millis(5);

pub(super) fn measure() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut road = Loopback::new()?;
    let store = runtime.block_on(async {
        Store::new(StoreSettings { endpoints: road.etcd().endpoints(), ..StoreSettings::default() })
    })?;
    let put = |key: &str, value: &str| runtime.block_on(store.put(key, value.as_bytes())).map(drop);
    for service in 0..SERVICES {
        for target in 0..TARGETS {
            put(&format!("/services/other-{service}/upstream/{target}"), "127.0.0.1:9")?;
        }
    }
    let apps = [app(&road, "first")?, app(&road, "second")?];
    put("/services/someapp/upstream/1", &apps[0].0)?;
    road.start_edge()?;
    let table = Table::new(&format!(
        "The edge: time from a put until the right target answers, {SERVICES} services of {TARGETS} targets (peer: the put alone)"
    ));
    for noise in [false, true] {
        let is_over = Arc::new(AtomicBool::new(!noise));
        let others = thread::scope(|scope| -> Result<u64> {
            let others = scope.spawn(|| runtime.block_on(others(&store, &is_over)));
            let measured = turns(&road, [&apps[0].0, &apps[1].0], put);
            is_over.store(true, Ordering::Relaxed);
            let others = others.join().ok().context("the noise failed")??;
            let (served, writes) = measured?;
            let what = if noise { "200 other changes per second" } else { "quiet" };
            for (name, percent) in [("median", 50), ("99 of 100", 99)] {
                let [ours, peer] =
                    [&served, &writes].map(|samples| samples.percentile(percent).as_secs_f64());
                table.row([
                    &format!("changes, {what}: {name}"),
                    &format!("{:.1} ms", ours * 1000.0),
                    &format!("{:.1} ms", peer * 1000.0),
                    &ratio(ours, peer),
                ]);
            }
            Ok(others)
        })?;
        ensure!((others > 0) == noise, "{others} other changes");
    }
    Ok(())
}

/// Changes of services that nobody asks for; how many there were.
async fn others(store: &Store, is_over: &AtomicBool) -> Result<u64> {
    // An even rate, however long a write takes.
    let mut ticks = tokio::time::interval(NOISE);
    let mut count = 0;
    while !is_over.load(Ordering::Relaxed) {
        ticks.tick().await;
        let key = format!("/services/other-{}/upstream/0", count % u64::from(SERVICES));
        let value = format!("127.0.0.1:{}", 10 + count % 50_000);
        store.put(&key, value.as_bytes()).await?;
        count += 1;
    }
    Ok(count)
}

/// The two take turns as the only target; until the right one answers, and what the put alone took.
fn turns(
    road: &Loopback,
    addresses: [&str; 2],
    put: impl Fn(&str, &str) -> Result<(), convoy_store::StoreError>,
) -> Result<(Samples, Samples)> {
    let target = road.target();
    let mut client = Client::default();
    let (mut served, mut writes) = (Samples::default(), Samples::default());
    for turn in 0..CHANGES {
        let (name, address) = if turn % 2 == 0 { ("second", addresses[1]) } else { ("first", addresses[0]) };
        let changed = Instant::now();
        put("/services/someapp/upstream/1", address)?;
        writes.push(changed.elapsed());
        while client.get(&target)?.instance() != name {
            ensure!(changed.elapsed() < SOON, "{name} never answered");
        }
        served.push(changed.elapsed());
    }
    Ok((served, writes))
}
