//! The edge router beside nginx and HAProxy: what a request costs, how long it takes, what is kept in memory, and how soon
//! a change of a key is served.
//!
//! On a computer that does other things as well, requests per second say little. Measured is the processor time that
//! each proxy's processes take for their requests, in rounds that go A B C, C B A, and so on: what is compared was
//! measured at nearly the same time. One thread each, keep-alive on both sides, the same target, routing by host.

mod changes;
mod handshakes;
mod latency;
mod load;
mod memory;
mod rivals;
mod throughput;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use convoy_road::process::{Process, wait_until};
use convoy_road::traffic::{Client, Target};
use rivals::{HOST, Rival, Setup};

use crate::table::{Table, ratio};

/// Long enough for the clock that processor time is counted by, which ticks a hundred times a second.
const ROUND: Duration = Duration::from_secs(4);
const ROUNDS: usize = 5;
const SOON: Duration = Duration::from_secs(20);

/// What clients speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    Http1,
    Tls,
    /// HTTP/2 over TLS.
    Tls2,
}

/// The target that all of them have, and what they share on disk.
struct Stage<'a> {
    folder: &'a Path,
    backend: std::net::SocketAddr,
}

impl<'a> Stage<'a> {
    fn setup(&self, over: Over, logs: bool) -> Setup<'a> {
        Setup { folder: self.folder, backend: self.backend, logs, over, hosts: 1000 }
    }
}

/// `only` is a part of the name of what is to be measured; without it all is.
pub(crate) fn measure(only: Option<&str>) -> Result<()> {
    let wanted = |what: &str| only.is_none_or(|only| what.contains(only));
    let folder = tempfile::tempdir()?;
    let backend = rivals::backend(folder.path())?;
    rivals::certificate(folder.path())?;
    let stage = Stage { folder: folder.path(), backend: backend.address };
    throughput::measure(&stage, wanted)?;
    if wanted("handshakes") {
        handshakes::measure(&stage)?;
    }
    if wanted("latency") {
        latency::measure(&stage)?;
    }
    if wanted("memory") {
        memory::measure(&stage)?;
    }
    if wanted("changes") {
        changes::measure()?;
    }
    Ok(())
}

/// All of them, answering.
fn started(setup: &Setup<'_>) -> Result<Vec<Rival>> {
    let rivals = rivals::all(setup)?;
    for rival in &rivals {
        wait_for(rival)?;
    }
    Ok(rivals)
}

/// Takes a sample of each in every round, and ends in the order of the report.
fn in_turns(rivals: &mut [Rival], mut sample: impl FnMut(&Rival) -> Result<f64>) -> Result<()> {
    for round in 0..ROUNDS {
        for rival in rivals.iter_mut() {
            let found =
                sample(rival).with_context(|| format!("{}: {}", rival.name, rival.process.output()))?;
            rival.samples.push(found);
        }
        // The next one starts where this one ended.
        if round + 1 < ROUNDS {
            rivals.reverse();
        }
    }
    rivals.sort_by_key(|rival| rival.place);
    Ok(())
}

/// What `work` counts, for each second of processor time that the rival takes for it.
fn for_processor_time(rival: &Rival, work: impl FnOnce() -> Result<u64>) -> Result<f64> {
    let before = rival.processor_time()?;
    let count = work()?;
    let spent = rival.processor_time()?.saturating_sub(before);
    // Counts and times are small enough for exact floats.
    #[allow(clippy::cast_precision_loss)]
    Ok(count as f64 / spent.as_secs_f64())
}

fn wait_for(rival: &Rival) -> Result<()> {
    if rival.over != Over::Http1 {
        // It listens; wrk and h2load say themselves when something is wrong with its answers.
        wait_until(rival.name, SOON, || Ok(std::net::TcpStream::connect(rival.address).is_ok()))
            .with_context(|| rival.process.output())?;
        return Ok(());
    }
    let target = Target { address: rival.address, host: HOST.to_owned(), path: "/64".to_owned() };
    wait_until(rival.name, SOON, || Ok(Client::default().get(&target)?.status == 200))
        .with_context(|| rival.process.output())?;
    Ok(())
}

fn report(table: &Table, what: &str, rivals: &[Rival]) {
    let Some((ours, peers)) = rivals.split_first() else { return };
    for peer in peers {
        let what = format!("{what} (peer: {})", peer.name);
        table.row([&what, &ours.print(), &peer.print(), &ratio(ours.median(), peer.median())]);
    }
}

/// A process that is measured, and where it answers.
pub(crate) struct Started {
    pub(crate) address: std::net::SocketAddr,
    _process: Process,
}
