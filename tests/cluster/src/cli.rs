//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Boots a cluster of real machines on this computer, breaks it and looks into it.
#[derive(Debug, Parser)]
#[command(name = "cluster", version)]
pub(crate) struct Cli {
    /// The cluster's name.
    #[arg(long, global = true, default_value = "default")]
    pub(crate) name: String,
    #[command(subcommand)]
    pub(crate) command: Action,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Say whether machines can be booted here.
    Check,
    /// Boot machines and wait until they are ready.
    Up(Up),
    /// End all machines and remove the cluster.
    Down {
        /// Remove all clusters, the base tree and the images too.
        #[arg(long)]
        purge: bool,
    },
    /// List clusters and their machines.
    List,
    /// Run a program on a machine.
    Exec {
        /// For example m1, or 1.
        machine: String,
        /// The program with its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<String>,
    },
    /// Open a shell on a machine.
    Shell {
        /// For example m1, or 1.
        machine: String,
    },
    /// Show a machine's journal.
    Journal {
        /// For example m1, or 1.
        machine: String,
        /// Arguments for journalctl.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run a program of the host in the cluster's network.
    Net {
        /// The program with its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<String>,
    },
    /// Cut a machine off from the network, both ways and without a word.
    Cut {
        /// For example m1, or 1.
        machine: String,
    },
    /// End a cut.
    Heal {
        /// For example m1, or 1.
        machine: String,
    },
    /// Pull the plug.
    Crash {
        /// For example m1, or 1.
        machine: String,
    },
    /// Shut a machine down in order.
    PowerOff {
        /// For example m1, or 1.
        machine: String,
    },
    /// Boot a machine again.
    Start {
        /// For example m1, or 1.
        machine: String,
    },
    /// Stop all processes of a machine where they are.
    Freeze {
        /// For example m1, or 1.
        machine: String,
    },
    /// Let a frozen machine go on.
    Thaw {
        /// For example m1, or 1.
        machine: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// How many machines.
    #[arg(default_value_t = 4)]
    pub(crate) machines: u8,
    /// The release to install; without one the machines are plain Debian with Docker.
    #[arg(long, env = "CONVOY_RELEASE")]
    pub(crate) release: Option<PathBuf>,
    /// Machines without an nginx of their own, for example 3,4.
    #[arg(long, value_delimiter = ',')]
    pub(crate) without_nginx: Vec<u8>,
    /// Another cloud-config than the repository's.
    #[arg(long)]
    pub(crate) cloud_config: Option<PathBuf>,
    /// The domain below which apps are served.
    #[arg(long)]
    pub(crate) domain: Option<String>,
}
