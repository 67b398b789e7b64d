//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::record::Kind;
use crate::render::{LintOptions, RenderOptions};

/// Keeps one nginx in step with the upstream keys of its app, and announces it.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What lb-watcher can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Follow the keys and keep nginx in step (lb-watcher@.service).
    Run(Options),
    /// Choose the port and make sure that there is a configuration to start with (before nginx starts).
    Bootstrap {
        /// How nginx is run.
        #[arg(long, value_enum, default_value = "host")]
        kind: KindOption,
        /// All other options.
        #[command(flatten)]
        options: Options,
    },
    /// Wait until nginx answers with its configuration (after nginx has started).
    Wait(Options),
    /// Have nginx read its configuration again, and wait until it serves it (ExecReload= of nginx-lb@.service).
    Reload {
        /// The number of nginx's master process [default: from nginx's own file].
        #[arg(long)]
        pid: Option<String>,
        /// A file with that number.
        #[arg(long, value_name = "PATH", conflicts_with = "pid")]
        pid_file: Option<String>,
        /// All other options.
        #[command(flatten)]
        options: Options,
    },
    /// Check configuration and template, with nginx itself where it is installed, and change nothing.
    Check(Options),
    /// Print what nginx serves.
    Status(Options),
    /// Print what confd would write for these keys: no etcd, no nginx, no file changed.
    Render(RenderOptions),
    /// Tell what bites in a confd template, although it can be rendered.
    Lint(LintOptions),
}

/// How nginx is run, as an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KindOption {
    /// The host's nginx.
    Host,
    /// A container.
    Container,
}

impl From<KindOption> for Kind {
    fn from(option: KindOption) -> Self {
        match option {
            KindOption::Host => Self::Host,
            KindOption::Container => Self::Container,
        }
    }
}

/// Options that all commands share. What is not given comes from the environment, then from `[lb-watcher]` in the
/// configuration files.
#[derive(Debug, Clone, Default, Args)]
pub struct Options {
    /// The load balancer, as in its unit's name: someapp-1.
    #[arg(value_name = "LOAD BALANCER", conflicts_with_all = ["app", "instance"])]
    pub name: Option<String>,
    /// The app; the load balancer is then APP-INSTANCE.
    #[arg(long, requires = "instance")]
    pub app: Option<String>,
    /// Its instance; without --app the whole name.
    #[arg(long)]
    pub instance: Option<String>,
    /// Where configuration and record are kept [default: $STATE_DIRECTORY, else /var/lib/lb-watcher/NAME].
    #[arg(long, value_name = "PATH")]
    pub state_dir: Option<String>,
    /// The address to listen on and to announce, instead of the machine's private one and a chosen port.
    #[arg(long, value_name = "IP:PORT", env = "LB_ANNOUNCE")]
    pub announce: Option<String>,
    /// The port, when --announce is not given: auto (first free from 8080) or a number.
    #[arg(long, value_name = "PORT", env = "LB_PORT")]
    pub port: Option<String>,
    /// A template of one's own.
    #[arg(long, value_name = "PATH", env = "LB_TEMPLATE")]
    pub template: Option<String>,
    /// A line per request: off, journal, or a file.
    #[arg(long, value_name = "WHERE", env = "LB_ACCESS_LOG")]
    pub access_log: Option<String>,
    /// The nginx that checks configurations [default: /usr/sbin/nginx].
    #[arg(long, value_name = "PATH", env = "LB_NGINX")]
    pub nginx: Option<String>,
    /// Check by this shell command instead; it finds the file in $CONVOY_CONFIG.
    #[arg(long, value_name = "COMMAND", env = "LB_CHECK_COMMAND")]
    pub check_command: Option<String>,
    /// Reload by this shell command instead of systemd.
    #[arg(long, value_name = "COMMAND", env = "LB_RELOAD_COMMAND")]
    pub reload_command: Option<String>,
}
