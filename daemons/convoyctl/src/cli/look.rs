//! Arguments of the commands that look and change nothing.

use std::path::PathBuf;

use clap::Args;

use super::Output;

/// `list-units`, `list-unit-files`, `list-machines`.
#[derive(Debug, Args)]
pub struct ListArguments {
    /// Whole ids and hashes
    #[arg(long, short = 'l')]
    pub full: bool,
    /// No header
    #[arg(long)]
    pub no_legend: bool,
    /// Columns, separated by commas; `help` lists them
    #[arg(long, value_name = "FIELDS")]
    pub fields: Option<String>,
    /// Form of the result; JSON has all fields
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// `status`.
#[derive(Debug, Args)]
pub struct StatusArguments {
    /// Names, patterns
    #[arg(value_name = "UNIT", required = true)]
    pub units: Vec<String>,
    /// Port of SSH on the machines
    #[arg(long, value_name = "PORT")]
    pub ssh_port: Option<u16>,
}

/// `journal`.
#[derive(Debug, Args)]
pub struct JournalArguments {
    /// The unit
    pub unit: String,
    /// How many lines
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 10)]
    pub lines: u32,
    /// Go on with what comes
    #[arg(long, short = 'f')]
    pub follow: bool,
    /// Form of the lines, as journalctl has it
    #[arg(long, short = 'o', value_name = "FORM")]
    pub output: Option<String>,
    /// Call journalctl through sudo
    #[arg(long)]
    pub sudo: bool,
    /// The machine, for a global unit that runs on several
    #[arg(long, value_name = "MACHINE")]
    pub machine: Option<String>,
    /// Port of SSH on the machines
    #[arg(long, value_name = "PORT")]
    pub ssh_port: Option<u16>,
}

/// `ssh`.
#[derive(Debug, Args)]
pub struct SshArguments {
    /// This machine: id, beginning of an id, host name or address
    #[arg(long, value_name = "MACHINE", conflicts_with = "unit")]
    pub machine: Option<String>,
    /// The machine of this unit
    #[arg(long, value_name = "UNIT")]
    pub unit: Option<String>,
    /// Forward the authentication agent
    #[arg(long, short = 'A')]
    pub forward_agent: bool,
    /// Port of SSH on the machines
    #[arg(long, value_name = "PORT")]
    pub ssh_port: Option<u16>,
    /// Machine or unit, if neither option names it; then the command
    #[arg(value_name = "ARGUMENT", trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<String>,
}

/// `plan`.
#[derive(Debug, Args)]
pub struct PlanArguments {
    /// Take the cluster from this JSON file, not from the store; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["submit", "start", "destroy", "drain", "without"])]
    pub cluster: Option<PathBuf>,
    /// As if these files were submitted and started, in place of units of the same name
    #[arg(long, value_name = "FILES", num_args = 1..)]
    pub submit: Vec<String>,
    /// As if these stored units, or instances of stored templates, were started
    #[arg(long, value_name = "UNITS", num_args = 1..)]
    pub start: Vec<String>,
    /// As if these units were destroyed
    #[arg(long, value_name = "UNITS", num_args = 1..)]
    pub destroy: Vec<String>,
    /// As if these machines were drained
    #[arg(long, value_name = "MACHINES", num_args = 1..)]
    pub drain: Vec<String>,
    /// As if these machines were lost
    #[arg(long, value_name = "MACHINES", num_args = 1..)]
    pub without: Vec<String>,
    /// Form of the result
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
    /// Turn into warnings what fleet let through
    #[arg(long)]
    pub compat: bool,
}

/// `explain`.
#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// The unit
    pub unit: String,
    /// Take the cluster from this JSON file, as plan does; - is standard input
    #[arg(long, value_name = "FILE")]
    pub cluster: Option<PathBuf>,
    /// Form of the result
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
    /// Turn into warnings what fleet let through
    #[arg(long, requires = "cluster")]
    pub compat: bool,
}
