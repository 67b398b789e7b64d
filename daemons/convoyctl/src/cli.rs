//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Puts systemd units on the machines of a cluster.
#[derive(Debug, Parser)]
#[command(name = "convoyctl", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows what would run where, before anything is changed
    Plan(PlanArguments),
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// `plan`.
#[derive(Debug, Args)]
pub struct PlanArguments {
    /// Take the cluster from this JSON file, not from the store; - is standard input
    #[arg(long, value_name = "FILE")]
    pub cluster: Option<PathBuf>,
    /// Form of the result
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
    /// Turn into warnings what fleet let through
    #[arg(long)]
    pub compat: bool,
}
