//! Arguments of the commands that are about machines.

use std::time::Duration;

use clap::Args;

use super::Waiting;

/// `cordon`, `uncordon`, `undrain`.
#[derive(Debug, Args)]
pub struct MachinesArguments {
    /// Ids, beginnings of ids, host names or addresses
    #[arg(value_name = "MACHINE", required = true)]
    pub machines: Vec<String>,
}

/// `drain`.
#[derive(Debug, Args)]
pub struct DrainArguments {
    /// Ids, beginnings of ids, host names or addresses
    #[arg(value_name = "MACHINE", required = true)]
    pub machines: Vec<String>,
    /// How long to wait.
    #[command(flatten)]
    pub waiting: Waiting,
}

/// `announce-reboot`.
#[derive(Debug, Args)]
pub struct AnnounceArguments {
    /// Ids, beginnings of ids, host names or addresses
    #[arg(value_name = "MACHINE", required = true)]
    pub machines: Vec<String>,
    /// How long its units wait for it: 90s, 10m, 1h
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = span)]
    pub within: Duration,
}

fn span(text: &str) -> Result<Duration, String> {
    let span: convoy_config::Span = text.parse().map_err(|error| format!("{error}"))?;
    if span.0.is_zero() { Err("no time at all is no time to reboot in".to_owned()) } else { Ok(span.0) }
}

/// `move`.
#[derive(Debug, Args)]
pub struct MoveArguments {
    /// The unit
    pub unit: String,
    /// Where to: id, beginning of an id, host name or address
    pub machine: String,
    /// How long to wait.
    #[command(flatten)]
    pub waiting: Waiting,
}

/// `rebalance`.
#[derive(Debug, Args)]
pub struct RebalanceArguments {
    /// Say what would be moved, and move nothing
    #[arg(long)]
    pub dry_run: bool,
    /// How long to wait.
    #[command(flatten)]
    pub waiting: Waiting,
}
