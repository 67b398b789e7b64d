//! The edge router beside nginx and HAProxy: what a request costs.
//!
//! On a computer that does other things as well, requests per second say little. Measured is the processor time that
//! each proxy's processes take for their requests, in rounds that go A B C, C B A, and so on: what is compared was
//! measured at nearly the same time. One thread each, keep-alive on both sides, the same target, routing by host.

mod load;
mod rivals;

use std::time::Duration;

use anyhow::{Context, Result};
use convoy_road::process::{Process, wait_until};
use convoy_road::traffic::{Client, Target};
use rivals::{HOST, Rival, Setup};

use crate::table::{Table, ratio};

/// Long enough for the clock that processor time is counted by, which ticks a hundred times a second.
const ROUND: Duration = Duration::from_secs(5);
const ROUNDS: usize = 5;
const SOON: Duration = Duration::from_secs(20);

/// What is asked for, and how.
struct Cell {
    what: &'static str,
    path: &'static str,
    connections: usize,
    logs: bool,
    over: Over,
}

/// What clients speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    Http1,
    Tls,
    /// HTTP/2 over TLS.
    Tls2,
}

const PLAIN: Cell =
    Cell { what: "64 B, 64 connections", path: "/64", connections: 64, logs: false, over: Over::Http1 };

const CELLS: [Cell; 6] = [
    PLAIN,
    Cell { what: "10 kB, 64 connections", path: "/10k", ..PLAIN },
    Cell { what: "64 B, 512 connections", connections: 512, ..PLAIN },
    Cell { what: "64 B, 64 connections, access logs on", logs: true, ..PLAIN },
    Cell { what: "64 B, 64 connections, TLS", over: Over::Tls, ..PLAIN },
    Cell { what: "64 B, 64 connections, TLS, HTTP/2, 10 at a time", over: Over::Tls2, ..PLAIN },
];

/// `only` is a part of the name of what is to be measured; without it all is.
pub(crate) fn measure(only: Option<&str>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let backend = rivals::backend(folder.path())?;
    rivals::certificate(folder.path())?;
    let table = Table::new(
        "The edge: thousand requests per second of processor time (median of the rounds); above 1 is better here",
    );
    for cell in CELLS.iter().filter(|cell| only.is_none_or(|only| cell.what.contains(only))) {
        let setup =
            Setup { folder: folder.path(), backend: backend.address, logs: cell.logs, over: cell.over };
        let mut rivals = rivals::all(&setup)?;
        for rival in &rivals {
            wait_for(rival)?;
        }
        for round in 0..ROUNDS {
            for rival in &mut rivals {
                let before = rival.processor_time()?;
                let requests = load::run(cell.over, rival.address, cell.path, cell.connections, ROUND)
                    .with_context(|| format!("{} with {}", rival.name, cell.what))?;
                let spent = rival.processor_time()?.saturating_sub(before);
                // Counts and times are small enough for exact floats.
                #[allow(clippy::cast_precision_loss)]
                rival.samples.push(requests as f64 / spent.as_secs_f64());
            }
            // The next one starts where this one ended.
            if round + 1 < ROUNDS {
                rivals.reverse();
            }
        }
        rivals.sort_by_key(|rival| rival.place);
        report(&table, cell, &rivals);
    }
    if only.is_some() {
        return Ok(());
    }
    memory(&Setup { folder: folder.path(), backend: backend.address, logs: false, over: Over::Http1 })
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

fn report(table: &Table, cell: &Cell, rivals: &[Rival]) {
    let Some((ours, peers)) = rivals.split_first() else { return };
    for peer in peers {
        table.row([
            &format!("{} (peer: {})", cell.what, peer.name),
            &ours.print(),
            &peer.print(),
            &ratio(ours.median(), peer.median()),
        ]);
    }
}

/// What a client costs that is connected and says nothing.
fn memory(setup: &Setup<'_>) -> Result<()> {
    const CLIENTS: usize = 2000;
    let table = Table::new("The edge: kB of memory per idle keep-alive client (2000 of them)");
    let mut rivals = rivals::all(setup)?;
    for rival in &mut rivals {
        wait_for(rival)?;
        let before = rival.resident_kb()?;
        let clients = load::idle_clients(rival.address, CLIENTS)?;
        let after = rival.resident_kb()?;
        drop(clients);
        #[allow(clippy::cast_precision_loss)]
        rival.samples.push(after.saturating_sub(before) as f64 / CLIENTS as f64 * 1000.0);
    }
    let Some((ours, peers)) = rivals.split_first() else { return Ok(()) };
    for peer in peers {
        let what = format!("idle client (peer: {})", peer.name);
        table.row([&what, &ours.print(), &peer.print(), &ratio(ours.median(), peer.median())]);
    }
    Ok(())
}

/// A process that is measured, and where it answers.
pub(crate) struct Started {
    pub(crate) address: std::net::SocketAddr,
    _process: Process,
}
