//! The command line.

use clap::{Parser, Subcommand};

/// Finds this machine's addresses and its part in the etcd cluster, and writes them down for all units.
#[derive(Debug, Parser)]
#[command(name = "machine-setup", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Action>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Write /run/convoy/machine.env and etcd's environment (the default).
    Apply,
    /// Find everything, write nothing, and end with 78 when the configuration is wrong.
    Check,
}
