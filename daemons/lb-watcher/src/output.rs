//! Standard output, for commands that people and scripts run.

use std::io::Write;

use anyhow::Context;

/// Writes all of it, or fails.
pub(crate) fn print(bytes: &[u8]) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    output.write_all(bytes).and_then(|()| output.flush()).context("standard output can't be written to")
}
