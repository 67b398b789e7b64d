//! What a request costs.

use anyhow::Result;

use super::{Over, ROUND, Stage, for_processor_time, in_turns, load, report, started};
use crate::table::Table;

/// What is asked for, and how.
struct Cell {
    what: &'static str,
    path: &'static str,
    connections: usize,
    logs: bool,
    over: Over,
}

const SMALL: Cell =
    Cell { what: "64 B, 64 connections", path: "/64", connections: 64, logs: false, over: Over::Http1 };
const LARGE: Cell = Cell { what: "10 kB, 64 connections", path: "/10k", ..SMALL };

const CELLS: [Cell; 14] = [
    SMALL,
    Cell { what: "64 B, 64 connections, access logs", logs: true, ..SMALL },
    Cell { what: "64 B, 512 connections", connections: 512, ..SMALL },
    Cell { what: "64 B, 512 connections, access logs", connections: 512, logs: true, ..SMALL },
    LARGE,
    Cell { what: "10 kB, 64 connections, access logs", logs: true, ..LARGE },
    Cell { what: "10 kB, 512 connections", connections: 512, ..LARGE },
    Cell { what: "10 kB, 512 connections, access logs", connections: 512, logs: true, ..LARGE },
    Cell { what: "64 B, 64 connections, TLS", over: Over::Tls, ..SMALL },
    Cell { what: "64 B, 64 connections, TLS, access logs", over: Over::Tls, logs: true, ..SMALL },
    Cell { what: "10 kB, 64 connections, TLS", over: Over::Tls, ..LARGE },
    Cell { what: "64 B, 64 connections, TLS, HTTP/2, 10 at a time", over: Over::Tls2, ..SMALL },
    Cell { what: "64 B, 64 connections, TLS, HTTP/2, access logs", over: Over::Tls2, logs: true, ..SMALL },
    Cell { what: "10 kB, 64 connections, TLS, HTTP/2, 10 at a time", over: Over::Tls2, ..LARGE },
];

pub(super) fn measure(stage: &Stage<'_>, wanted: impl Fn(&str) -> bool) -> Result<()> {
    let cells: Vec<&Cell> = CELLS.iter().filter(|cell| wanted(cell.what)).collect();
    if cells.is_empty() {
        return Ok(());
    }
    let table = Table::new(
        "The edge: thousand requests per second of processor time (median of the rounds); above 1 is better here",
    );
    for cell in cells {
        let mut rivals = started(&stage.setup(cell.over, cell.logs))?;
        in_turns(&mut rivals, |rival| {
            let run = || load::run(cell.over, rival.address, cell.path, cell.connections, ROUND);
            Ok(for_processor_time(rival, run)? / 1000.0)
        })?;
        report(&table, cell.what, &rivals);
    }
    Ok(())
}
