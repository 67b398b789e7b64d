//! The command line.

use clap::{Parser, Subcommand};

/// Makes this machine follow its schedule through systemd, and reports what runs here.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the agent can do.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Command {
    /// Follow the schedule (agent.service).
    Run,
    /// Check the configuration and say what this machine would announce, and change nothing.
    Check,
}
