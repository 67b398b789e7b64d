//! The command line: fleetctl's commands and options, and Convoy's own.

mod look;
mod machines;
mod units;

use std::{path::PathBuf, time::Duration};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

pub use look::{
    ExplainArguments, JournalArguments, ListArguments, PlanArguments, SshArguments, StatusArguments,
};
pub use machines::{AnnounceArguments, DrainArguments, MachinesArguments, MoveArguments, RebalanceArguments};
pub use units::{
    CatArguments, ImportArguments, LaunchArguments, RestartArguments, Rolling, StopArguments,
    SubmitArguments, UpdateArguments, VerifyArguments, Waiting,
};

/// Puts systemd units on the machines of a cluster.
///
/// Units are named by files, names or patterns: ./someapp@.service, someapp@1 (a missing type is .service),
/// 'someapp@*' (units in the store), someapp@{1..4}.
#[derive(Debug, Parser)]
#[command(name = "convoyctl", version, disable_help_subcommand = false, after_help = after_help())]
pub struct Cli {
    /// Options of all commands.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

fn after_help() -> String {
    let lines = crate::exit::TABLE.map(|(code, meaning)| format!("  {code:>2}  {meaning}"));
    format!(
        "Exit codes:\n{}\n  ssh, status and journal end with the exit code of the command on the machine.",
        lines.join("\n")
    )
}

/// Options of all commands.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of all commands")]
pub struct Global {
    /// etcd's URLs, separated by commas [default: those of Convoy's configuration, else the local member]
    #[arg(long, global = true, value_name = "URLS", env = "CONVOYCTL_ENDPOINT")]
    pub endpoint: Option<String>,
    /// PEM file of the authority that signed etcd's certificates
    #[arg(long, global = true, value_name = "FILE", env = "CONVOYCTL_CA_FILE")]
    pub ca_file: Option<PathBuf>,
    /// PEM file of a certificate for etcd
    #[arg(long, global = true, value_name = "FILE", env = "CONVOYCTL_CERT_FILE")]
    pub cert_file: Option<PathBuf>,
    /// PEM file of that certificate's key
    #[arg(long, global = true, value_name = "FILE", env = "CONVOYCTL_KEY_FILE")]
    pub key_file: Option<PathBuf>,
    /// Longest time for one answer of etcd, in seconds
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds, env = "CONVOYCTL_REQUEST_TIMEOUT")]
    pub request_timeout: Option<Duration>,
    /// Reach etcd and the machines through this host: [user@]host[:port]
    #[arg(long, global = true, value_name = "HOST", env = "CONVOYCTL_TUNNEL")]
    pub tunnel: Option<String>,
    /// User on the machines [default: ssh's own choice]
    #[arg(long, global = true, value_name = "USER", env = "CONVOYCTL_SSH_USERNAME")]
    pub ssh_username: Option<String>,
    /// Longest time for making an SSH connection, in seconds
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds, default_value = "10", env = "CONVOYCTL_SSH_TIMEOUT")]
    pub ssh_timeout: Duration,
    /// Refuse machines whose host key is not known [default: ssh's own choice]
    #[arg(long, global = true, value_name = "YES", num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set, env = "CONVOYCTL_STRICT_HOST_KEY_CHECKING")]
    pub strict_host_key_checking: Option<bool>,
    /// File with the machines' host keys [default: ssh's own choice]
    #[arg(long, global = true, value_name = "FILE", env = "CONVOYCTL_KNOWN_HOSTS_FILE")]
    pub known_hosts_file: Option<PathBuf>,
    /// Say what goes on between convoyctl and etcd
    #[arg(long, global = true, env = "CONVOYCTL_DEBUG")]
    pub debug: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text);
    match number.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("{text:?} is no number of seconds between 0 and 86400")),
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Stores units, without running them
    Submit(SubmitArguments),
    /// Puts units on machines, without starting them; stores them first if need be
    Load(LaunchArguments),
    /// Starts units; stores and loads them first if need be
    Start(LaunchArguments),
    /// Stops units; they stay loaded on their machines
    Stop(StopArguments),
    /// Takes units off their machines; they stay in the store
    Unload(StopArguments),
    /// Stops units, takes them off their machines and removes them from the store
    Destroy(StopArguments),
    /// Restarts units where they are; all instances of a template one after another
    Restart(RestartArguments),
    /// Gives units new text and restarts them, a template's instances one after another
    Update(UpdateArguments),
    /// Prints units as they are stored
    Cat(CatArguments),
    /// Checks unit files, without storing them
    Verify(VerifyArguments),
    /// Stores all units of a directory, such as fleet's
    Import(ImportArguments),
    /// Lists what runs where
    ListUnits(ListArguments),
    /// Lists what is stored, and what is wanted of it
    ListUnitFiles(ListArguments),
    /// Lists the machines that are there
    ListMachines(ListArguments),
    /// systemctl status of units, on their machines
    Status(StatusArguments),
    /// The journal of a unit, on its machine
    Journal(JournalArguments),
    /// A shell or a command on a machine
    Ssh(SshArguments),
    /// Shows what would run where, before anything is changed
    Plan(PlanArguments),
    /// Says for each machine why a unit can run there or not, and what would help
    Explain(ExplainArguments),
    /// Moves a unit to a machine
    Move(MoveArguments),
    /// Evens out how many units the machines have
    Rebalance(RebalanceArguments),
    /// Moves everything off machines and keeps new units away
    Drain(DrainArguments),
    /// Lets a drained machine take units again
    Undrain(MachinesArguments),
    /// Keeps new units away from machines; what runs there stays
    Cordon(MachinesArguments),
    /// Lets a cordoned machine take units again
    Uncordon(MachinesArguments),
    /// Announces a reboot: the machine's units wait for it instead of moving
    AnnounceReboot(AnnounceArguments),
    /// Ends a freeze: the machines that are away count as lost
    Resume(Waiting),
    /// Prints completions for a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Writes the manual pages into a directory
    #[command(hide = true)]
    Man {
        /// Where to
        directory: PathBuf,
    },
    /// Prints the version
    Version,
    /// Prints names of units for a shell's completion
    #[command(hide = true)]
    CompleteNames,
}

/// The shells that completions are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "they are the shells' names")]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_fleets_users_type_is_understood() {
        for line in [
            "submit a.service b.service",
            "submit --replace a.service",
            "--endpoint http://127.0.0.1:2379 start --no-block a",
            "start --block-attempts=3 someapp@{1..4}",
            "start -- a.service",
            "load --replace a.service",
            "stop --no-block a",
            "unload --block-attempts 2 a",
            "destroy a b c",
            "restart --block-attempts=1 a",
            "list-units --full --no-legend --fields=unit,machine",
            "list-units -l",
            "list-unit-files -fields unit --no-legend".replace("-fields", "--fields").as_str(),
            "list-machines --fields=machine,metadata -l",
            "status --ssh-port 2222 a",
            "journal --lines 20 -f a",
            "journal --output json --sudo a",
            "ssh m1 uptime -p",
            "ssh --machine m1",
            "ssh --unit a -A",
            "ssh --ssh-username core m1",
            "cat a",
            "verify a.service",
            "--tunnel 10.0.0.1:22 list-units",
            "plan --cluster - --output json --compat",
            "list-units --strict-host-key-checking=false",
            "version",
        ] {
            let words = std::iter::once("convoyctl").chain(line.split(' '));
            if let Err(error) = Cli::try_parse_from(words) {
                panic!("{line}: {error}");
            }
        }
    }

    #[test]
    fn what_nobody_can_mean_is_refused() {
        for line in [
            "",
            "begin a",
            "fd-forward /run/x",
            "start",
            "start --force a",
            "start --no-block --block-attempts=1 a",
            "list-units a",
            "list-units --output yaml",
            "journal",
            "move a",
            "drain",
            "restart --max-unavailable 0 a",
            "plan --cluster f --drain m1",
            "plan --submit",
            "--request-timeout=-1 list-units",
        ] {
            let words = std::iter::once("convoyctl").chain(line.split(' ').filter(|word| !word.is_empty()));
            assert!(Cli::try_parse_from(words).is_err(), "{line}");
        }
    }
}
