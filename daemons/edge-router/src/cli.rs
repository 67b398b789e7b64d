//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

const ROUTES_HELP: &str =
    "Take the routes from this file instead of the store. The file is watched. It looks like
{\"routes\": [{\"host\": \"a.example\", \"path\": \"/\", \"targets\": [\"127.0.0.1:9000\"]}]}";

/// Routes the requests of <app>.<domain> to the app's load balancers, as the store has them.
#[derive(Debug, Parser)]
#[command(name = "edge-router", version)]
pub struct Cli {
    /// What to do, if not the ordinary thing.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How.
    #[command(flatten)]
    pub options: Options,
}

/// What edge-router can do beside routing.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Check the configuration and change nothing.
    Check,
    /// Say what becomes of a request, and why: by the file given with --routes, else by what the running router knows.
    Explain {
        /// http://someapp.mywebsite.com/path
        url: String,
    },
}

/// What is not given comes from the environment, then from [edge-router] in the configuration files.
#[derive(Debug, Clone, Default, Args)]
pub struct Options {
    /// Listen here, beside what systemd hands over: http=127.0.0.1:8080, https=[::]:8443, http-inner=unix:/run/edge.sock.
    /// Can be repeated.
    #[arg(long, value_name = "NAME=ADDRESS", global = true)]
    pub listen: Vec<String>,
    /// Take the routes from this file instead of the store. The file is watched.
    #[arg(long, value_name = "FILE", global = true, long_help = ROUTES_HELP)]
    pub routes: Option<PathBuf>,
    /// Certificates for sockets named https: NAME.pem, NAME.crt beside NAME.key, or folders as certbot makes them.
    #[arg(long, value_name = "FOLDER", global = true)]
    pub certificates: Option<PathBuf>,
    /// Apps are served below this domain. Can be repeated [environment: EDGE_ROUTER_DOMAINS, separated by commas].
    #[arg(long = "domain", value_name = "DOMAIN", global = true)]
    pub domains: Vec<String>,
    /// An entry per request: journal, stderr, combined (as nginx has it), json, or off [default: wherever the log goes].
    #[arg(long, value_name = "WHERE", env = "EDGE_ROUTER_ACCESS_LOG", global = true)]
    pub access_log: Option<String>,
    /// Threads that serve requests [default: one per processor].
    #[arg(long, value_name = "NUMBER", env = "EDGE_ROUTER_THREADS", global = true)]
    pub threads: Option<String>,
    /// Where the table is kept for a start without the store [default: $STATE_DIRECTORY, else nowhere].
    #[arg(long, value_name = "PATH", global = true)]
    pub state_dir: Option<String>,
    /// Where the sockets for metrics and status are made [default: $RUNTIME_DIRECTORY, else nowhere].
    #[arg(long, value_name = "PATH", global = true)]
    pub runtime_dir: Option<String>,
}
