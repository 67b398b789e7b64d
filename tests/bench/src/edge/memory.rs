//! What is kept in memory for clients that say nothing, and for routes that nobody uses.

use anyhow::Result;

use super::{Over, Stage, load, report, started};
use crate::table::Table;

const CLIENTS: usize = 8000;
const ROUTES: usize = 10_000;

pub(super) fn measure(stage: &Stage<'_>) -> Result<()> {
    let mut setup = stage.setup(Over::Http1, false);
    // What reading a large table leaves behind would be used again for clients, and not be seen.
    setup.hosts = 1;
    let table = Table::new("The edge: kB of memory");
    let mut rivals = started(&setup)?;
    for rival in &mut rivals {
        let before = rival.resident_kb()?;
        let clients = load::idle_clients(rival.address, CLIENTS)?;
        let after = rival.resident_kb()?;
        drop(clients);
        #[allow(clippy::cast_precision_loss)]
        rival.samples.push(after.saturating_sub(before) as f64 / CLIENTS as f64);
    }
    report(&table, "memory of an idle keep-alive client, of 8000", &rivals);

    setup.hosts = ROUTES;
    let mut rivals = started(&setup)?;
    for rival in &mut rivals {
        #[allow(clippy::cast_precision_loss)]
        rival.samples.push(rival.resident_kb()? as f64);
    }
    report(&table, "memory of all processes with 10000 routes", &rivals);
    Ok(())
}
