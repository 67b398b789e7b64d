//! The command line.

use clap::{Args, Parser, Subcommand};

use crate::options::{self, Layer, Source};

/// Announces one instance of an app in the shared state, for as long as it is well.
///
/// Options are taken from the command line, then the environment (REGISTRAR_PORT for --port), then the container's
/// labels (convoy.port; only what describes the instance), then [registrar] in the configuration files.
#[derive(Debug, Parser)]
#[command(name = "registrar", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; without it, the instance is announced.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What to announce.
    #[command(flatten)]
    pub run: Arguments,
}

/// Other things to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Validates the configuration, says what it means, and exits
    Check(Arguments),
}

/// The options.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Instance to announce: someapp-1 or someapp@1
    #[arg(long, value_name = "APP-INSTANCE", env = "REGISTRAR_INSTANCE")]
    pub instance: Option<String>,
    /// Container to follow, by name or id [default: <app>-<instance>]
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,
    /// Container engine: auto, none (a plain service), or its socket [default: auto]
    #[arg(long, value_name = "SOCKET")]
    pub engine: Option<String>,
    /// Address to announce, ip:port; makes it a plain service unless --engine or --container is given
    #[arg(long, value_name = "IP:PORT")]
    pub address: Option<String>,
    /// This machine's address in the cluster [default: $CONVOY_PRIVATE_IPV4]
    #[arg(long, value_name = "IP")]
    pub advertise: Option<String>,
    /// Whose address: auto, published (the machine's), container (its own) [default: auto]
    #[arg(long)]
    pub mode: Option<String>,
    /// Network whose address is announced, where the container is on several
    #[arg(long, value_name = "NAME")]
    pub network: Option<String>,
    /// Port inside the container, where it declares several or none
    #[arg(long)]
    pub port: Option<String>,
    /// Address family: any, ipv4, ipv6 [default: any]
    #[arg(long)]
    pub family: Option<String>,
    /// Health check: none, tcp, tcp:PORT, http, http:/path, http:PORT/path, engine [default: tcp]
    #[arg(long)]
    pub check: Option<String>,
    /// Host header of HTTP checks [default: the address]
    #[arg(long, value_name = "HOST")]
    pub check_host: Option<String>,
    /// Good answers to HTTP checks [default: 200-399]
    #[arg(long, value_name = "CODES")]
    pub check_status: Option<String>,
    /// Time between checks [default: 5s]
    #[arg(long, value_name = "TIME")]
    pub interval: Option<String>,
    /// Time for one check [default: 2s]
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<String>,
    /// Good results in a row that make it passing [default: 2]
    #[arg(long, value_name = "COUNT")]
    pub rise: Option<String>,
    /// Bad results in a row that make it failing [default: 3]
    #[arg(long, value_name = "COUNT")]
    pub fall: Option<String>,
    /// Time after the start in which bad results don't count [default: 60s]
    #[arg(long, value_name = "TIME")]
    pub grace: Option<String>,
    /// Share of requests relative to its peers, 0 to 1000 [default: 100]
    #[arg(long)]
    pub weight: Option<String>,
    /// Keys to announce under, separated by commas; knows {app}, {instance}, {container}, {private_ipv4},
    /// {public_ipv4}, {machine_id} [default: /services/{app}/upstream/{instance}]
    #[arg(long, value_name = "KEYS")]
    pub key: Option<String>,
    /// How long the keys outlive a machine that crashed [default: 30s]
    #[arg(long, value_name = "TIME")]
    pub ttl: Option<String>,
    /// Longest wait at a stop for load balancers to take the instance off [default: 10s]
    #[arg(long, value_name = "TIME")]
    pub drain: Option<String>,
    /// When the unit counts as started: listed, or watching [default: listed]
    #[arg(long)]
    pub ready: Option<String>,
}

impl Arguments {
    /// The layer of the command line.
    pub fn layer(&self) -> Layer {
        let given = [
            (options::ADDRESS, &self.address),
            (options::ADVERTISE, &self.advertise),
            (options::CHECK, &self.check),
            (options::CHECK_HOST, &self.check_host),
            (options::CHECK_STATUS, &self.check_status),
            (options::CONTAINER, &self.container),
            (options::DRAIN, &self.drain),
            (options::ENGINE, &self.engine),
            (options::FALL, &self.fall),
            (options::FAMILY, &self.family),
            (options::GRACE, &self.grace),
            (options::INTERVAL, &self.interval),
            (options::KEY, &self.key),
            (options::MODE, &self.mode),
            (options::NETWORK, &self.network),
            (options::PORT, &self.port),
            (options::READY, &self.ready),
            (options::RISE, &self.rise),
            (options::TIMEOUT, &self.timeout),
            (options::TTL, &self.ttl),
            (options::WEIGHT, &self.weight),
        ];
        let values = given.into_iter().filter_map(|(name, value)| Some((name.text, value.clone()?)));
        Layer::new(Source::CommandLine, values)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_option_can_be_given_on_the_command_line() {
        Cli::command().debug_assert();
        for name in options::NAMES {
            let flag = format!("--{}=x", name.text);
            let cli = Cli::try_parse_from(["registrar", "--instance=a-1", &flag]).unwrap();
            assert_eq!(cli.run.layer(), Layer::new(Source::CommandLine, [(name.text, "x".to_owned())]));
        }
    }

    #[test]
    fn checking_takes_the_same_options() {
        let cli = Cli::try_parse_from(["registrar", "check", "--instance=a-1", "--ttl=1m"]).unwrap();
        assert!(matches!(cli.command, Some(Command::Check(arguments)) if arguments.ttl.is_some()));
    }
}
