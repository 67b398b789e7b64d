//! The command line.

use clap::{Parser, Subcommand};

/// Decides which unit runs where. Started on every machine; one leads, the others stand by.
#[derive(Debug, Parser)]
#[command(name = "scheduler", version)]
pub struct Cli {
    /// What to do [default: run].
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What scheduler can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Take part in the election, and schedule while leading (scheduler.service).
    Run,
    /// Check the configuration and change nothing.
    Check,
}
