//! Measures the store against real etcd on loopback: `cargo run --release -p convoy-store --example measure`.
//!
//! - from a write to the feed's event, with one member and with three;
//! - reads that fail while the member in use is killed or frozen, and the longest of them;
//! - resident memory of a process with a feed and an ownership, and its processor time at rest.

use std::{
    collections::BTreeMap,
    io::Write as _,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use convoy_store::{FeedEvent, LeaseSettings, Store, StoreSettings};
use convoy_test_etcd::{Etcd, Member};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    for members in [1, 3] {
        let etcd = Etcd::start(members).await?;
        let store = connect(&etcd)?;
        let (event, answer) = latency(&store).await?;
        say(&format!(
            "{members} member(s): write sent -> event read {}; -> write answered {}",
            show(event),
            show(answer)
        ))?;
        if members == 1 {
            rest(&store).await?;
        }
    }
    for (what, trouble) in [("killed", Member::kill as fn(&Member) -> Result<()>), ("frozen", Member::freeze)]
    {
        let etcd = Etcd::start(3).await?;
        let store = connect(&etcd)?;
        store.put("/a", b"1").await?;
        trouble(etcd.member(0))?;
        let (mut failed, mut all, mut longest) = (0, 0, Duration::ZERO);
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(5) {
            let sent = Instant::now();
            all += 1;
            failed += u32::from(store.get("/a").await.is_err());
            longest = longest.max(sent.elapsed());
        }
        say(&format!(
            "member in use {what}: {failed} of {all} reads failed, the longest took {longest:.0?}"
        ))?;
    }
    Ok(())
}

fn connect(etcd: &Etcd) -> Result<Store> {
    Ok(Store::new(StoreSettings { endpoints: etcd.endpoints(), ..StoreSettings::default() })?)
}

/// Times of a thousand changes: until the event was read, and until the write was answered.
async fn latency(store: &Store) -> Result<(Vec<Duration>, Vec<Duration>)> {
    let mut feed = store.follow(&["/bench/"]);
    while !matches!(feed.next().await, FeedEvent::Listed(_)) {}
    let (mut events, mut answers) = (Vec::new(), Vec::new());
    for number in 0..1000 {
        let sent = Instant::now();
        let write =
            async { store.put("/bench/key", format!("{number}").as_bytes()).await.map(|_| sent.elapsed()) };
        let read = async {
            while !matches!(feed.next().await, FeedEvent::Changed { .. }) {}
            sent.elapsed()
        };
        let (answer, event) = tokio::join!(write, read);
        answers.push(answer?);
        events.push(event);
    }
    Ok((events, answers))
}

/// What a process that owns two keys and follows a prefix takes.
async fn rest(store: &Store) -> Result<()> {
    let _feed = store.follow(&["/services/"]);
    let owner = store.own(LeaseSettings::new(Duration::from_secs(6)));
    owner.declare(BTreeMap::from([
        ("/services/a/upstream/1".to_owned(), b"10.0.0.1:80".to_vec()),
        ("/convoy/instances/a/1".to_owned(), vec![b'x'; 200]),
    ]));
    owner.applied().await?;
    let (before, start) = (ticks()?, store.revision().await?);
    tokio::time::sleep(Duration::from_secs(20)).await;
    let used = ticks()? - before;
    say(&format!(
        "at rest with a lease of 6 s: {} kB resident, {} ms of processor time and {} revisions in 20 s",
        field("/proc/self/status", "VmRSS:")?,
        used * 10,
        store.revision().await?.get() - start.get()
    ))
}

/// Processor time so far, in hundredths of a second.
fn ticks() -> Result<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let field = |number: usize| fields.get(number).and_then(|text| text.parse::<u64>().ok());
    Ok(field(11).context("utime")? + field(12).context("stime")?)
}

fn field(path: &str, name: &str) -> Result<u64> {
    let text = std::fs::read_to_string(path)?;
    let line =
        text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("{name} in {path}"))?;
    Ok(line.split_whitespace().next().unwrap_or_default().parse()?)
}

fn show(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |percent: usize| {
        times.get((times.len() * percent / 100).min(times.len() - 1)).copied().unwrap_or_default()
    };
    format!("median {:.2?}, p99 {:.2?}, worst {:.2?}", at(50), at(99), at(100))
}

fn say(line: &str) -> Result<()> {
    writeln!(std::io::stdout().lock(), "{line}").context("writing to the terminal")
}
