//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::record::Kind;
use crate::render::{LintOptions, RenderOptions};
use crate::resources::OverlaidOptions;

/// Keeps load balancers, and any other files, in step with keys in etcd.
///
/// `lb-watcher run someapp-1` keeps one nginx or HAProxy in step with the instances of someapp. Without a command, or
/// called as `confd`, it follows confd's template resources and takes confd's flags: `lb-watcher -confdir /etc/confd`.
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
    /// Follow the keys and keep the load balancer in step (lb-watcher@.service, haproxy-lb-watcher@.service).
    Run(Options),
    /// Choose the port and make sure that there is a configuration to start with (before the load balancer starts).
    Bootstrap(Options),
    /// Wait until the load balancer answers with its configuration (after it has started).
    Wait(Options),
    /// Have it read its configuration again, and wait until it serves it (ExecReload= of nginx-lb@.service and of
    /// haproxy-lb@.service).
    Reload {
        /// The number of its master process [default: from its own file].
        #[arg(long)]
        pid: Option<String>,
        /// A file with that number.
        #[arg(long, value_name = "PATH", conflicts_with = "pid")]
        pid_file: Option<String>,
        /// All other options.
        #[command(flatten)]
        options: Options,
    },
    /// Check configuration and templates, with nginx or HAProxy itself where it is installed, and change nothing.
    Check(Subject),
    /// Print what is served; fails when that is not what should be.
    Status(Subject),
    /// Print what would change in files in place if they were made now; exit status 1 if anything would.
    Diff(Subject),
    /// Print which key is served or in the files, which isn't, and why; for one RESOURCE.toml, all, or a load balancer.
    Why(Subject),
    /// Print what confd would write for these keys: no etcd, no nginx, no file changed.
    Render(RenderOptions),
    /// Tell what bites in a confd template or resource, although it can be used.
    Lint(LintOptions),
    /// Run a command that sees candidates in their places (used by checks).
    #[command(hide = true)]
    Overlaid(OverlaidOptions),
}

/// A load balancer, or a folder of template resources when none is named.
#[derive(Debug, Clone, Args)]
pub struct Subject {
    /// Which load balancer, and what it is told.
    #[command(flatten)]
    pub options: Options,
    /// Where the resources are.
    #[command(flatten)]
    pub confd: ConfdOptions,
}

impl Subject {
    /// Whether a load balancer is named.
    pub fn is_load_balancer(&self) -> bool {
        (self.options.name.is_some() && self.resource().is_none()) || self.options.instance.is_some()
    }

    /// The resource that is named, as its file below `conf.d`.
    pub fn resource(&self) -> Option<&str> {
        self.options.name.as_deref().filter(|name| name.ends_with("toml"))
    }
}

/// What says where template resources are and how etcd is reached, as confd's own flags.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfdOptions {
    /// The folder with conf.d and templates [default: /etc/confd].
    #[arg(long, value_name = "PATH")]
    pub confdir: Option<String>,
    /// Taken in place of each resource's own prefix.
    #[arg(long, value_name = "KEY")]
    pub prefix: Option<String>,
    /// An etcd member; may be given several times.
    #[arg(long, value_name = "HOST:PORT")]
    pub node: Vec<String>,
    /// confd's own configuration [default: /etc/confd/confd.toml].
    #[arg(long, value_name = "PATH")]
    pub config_file: Option<String>,
}

impl ConfdOptions {
    /// As confd's command line.
    pub fn arguments(&self) -> Vec<String> {
        let one =
            [("-confdir", &self.confdir), ("-prefix", &self.prefix), ("-config-file", &self.config_file)];
        let one = one.into_iter().filter_map(|(flag, value)| Some((flag, value.as_ref()?)));
        let all = one.chain(self.node.iter().map(|node| ("-node", node)));
        all.flat_map(|(flag, value)| [flag.to_owned(), value.clone()]).collect()
    }
}

/// Which program balances and how it is run, as an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KindOption {
    /// The host's nginx.
    Host,
    /// nginx in a container.
    Container,
    /// The host's HAProxy.
    Haproxy,
}

impl From<KindOption> for Kind {
    fn from(option: KindOption) -> Self {
        match option {
            KindOption::Host => Self::Host,
            KindOption::Container => Self::Container,
            KindOption::Haproxy => Self::Haproxy,
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
    /// What balances: the host's nginx, nginx in a container, or the host's HAProxy [default: as at its last start, else
    /// host].
    #[arg(long, value_enum)]
    pub kind: Option<KindOption>,
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
    /// The HAProxy that checks configurations [default: /usr/sbin/haproxy].
    #[arg(long, value_name = "PATH", env = "LB_HAPROXY")]
    pub haproxy: Option<String>,
    /// Check by this shell command instead; it finds the file in $CONVOY_CONFIG.
    #[arg(long, value_name = "COMMAND", env = "LB_CHECK_COMMAND")]
    pub check_command: Option<String>,
    /// Reload by this shell command instead of systemd.
    #[arg(long, value_name = "COMMAND", env = "LB_RELOAD_COMMAND")]
    pub reload_command: Option<String>,
}
