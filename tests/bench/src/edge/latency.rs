//! How long a request takes at a load that leaves the proxy room.

use anyhow::{Context, Result};

use super::{Over, ROUND, Stage, in_turns, load, report, started};
use crate::table::Table;

const CONNECTIONS: usize = 64;
/// Of what nginx can do at most, in percent.
const LOAD: u64 = 30;

pub(super) fn measure(stage: &Stage<'_>) -> Result<()> {
    let mut rivals = started(&stage.setup(Over::Http1, true))?;
    let nginx = rivals.iter().find(|rival| rival.name == "nginx").context("nginx is not there")?;
    let most = load::run(Over::Http1, nginx.address, "/64", CONNECTIONS, ROUND)? / ROUND.as_secs();
    let rate = most * LOAD / 100;
    let table = Table::new(&format!(
        "The edge: milliseconds that 99 of 100 requests take at most, {rate} per second (30 % of what nginx can), access logs"
    ));
    in_turns(&mut rivals, |rival| load::slowest_of_hundred(rival.address, "/64", CONNECTIONS, rate, ROUND))?;
    report(&table, "latency", &rivals);
    Ok(())
}
