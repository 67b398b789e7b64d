//! Benchmarks against the old ways, side by side in one run.
//!
//! A ratio below 1 says that Convoy needs less time, memory or writes than its peer in the same run; where more is better,
//! the title says so. Absolute times are those of a computer that does other things as well.

mod edge;
mod machines;
mod placement;
mod road;
mod table;
mod templates;
mod units;
mod world;

use std::process::ExitCode;

use anyhow::Result;
use convoy_cluster::Cluster;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            table::print(&format!("the benchmark ended early: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let only = std::env::args().nth(1);
    let wanted = |part: &str| only.as_deref().is_none_or(|only| only == part);
    if wanted("placement") {
        placement::measure()?;
    }
    if wanted("edge") {
        edge::measure(std::env::args().nth(2).as_deref())?;
    }
    if wanted("road") {
        road::measure()?;
    }
    if wanted("templates") {
        templates::measure(std::env::args().nth(2).as_deref())?;
    }
    if wanted("machines") {
        on_machines(machines::measure)?;
    }
    if wanted("units") {
        on_machines(units::measure)?;
    }
    Ok(())
}

fn on_machines(measure: fn() -> Result<()>) -> Result<()> {
    match Cluster::possible() {
        Ok(()) => measure(),
        Err(reason) => {
            table::print(&format!("no machines can be booted here, a part is left out: {reason}"));
            Ok(())
        }
    }
}
