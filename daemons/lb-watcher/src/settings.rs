//! Options, environment and files turned into types.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use convoy_config::{ConfigError, SearchPath, Span, load, merge_options};
use convoy_keys::{AppName, InstanceName, UnitInstance};
use convoy_lb_config::{Engine, GuardLimits, LoadBalancer, PlainPath, ProxyOptions};
use serde::Deserialize;

use crate::balancer::{Checker, Reloader};
use crate::cli::Options;
use crate::files::StateDir;
use crate::port::{PortChoice, listen_addresses};
use crate::record::{Kind, Record, Target};

/// The first change after calm goes at once; those behind it wait for this much quiet.
const QUIET: Duration = Duration::from_millis(100);
/// And for this long at most.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// A load balancer on a machine that died is taken off the list after this long. Edge routers find out by themselves
/// much earlier; what it has to outlive is a restart of the watcher.
const LEASE_TTL: Duration = Duration::from_secs(15);
/// From the withdrawal to the stop of nginx: edge routers hear of it within 10 ms and let go of their connections.
const DRAIN: Duration = Duration::from_millis(500);
/// In the container only this is writable.
const CONTAINER_RUNTIME: &str = "/tmp";
/// Where `nginx-lb-check@.service` leaves nginx's words.
const CHECK_OUTPUT: &str = "/run/nginx-lb-check";
/// The path of a Unix socket has 107 bytes; HAProxy 2.6 takes ten of them for the time of a reload.
const SOCKET_MAX: usize = 97;

/// The table `[lb-watcher]` as written.
#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fragment {
    port: Option<Text>,
    template: Option<String>,
    access_log: Option<String>,
    nginx: Option<String>,
    haproxy: Option<String>,
    quiet: Option<Text>,
    longest_wait: Option<Text>,
    lease_ttl: Option<Text>,
    drain: Option<Text>,
    trusted_proxies: Option<Vec<String>>,
    connect_timeout: Option<Text>,
    response_timeout: Option<Text>,
    shutdown_timeout: Option<Text>,
    retry_after: Option<Text>,
    removal_share: Option<f64>,
    removal_grace: Option<Text>,
}

merge_options!(Fragment {
    port,
    template,
    access_log,
    nginx,
    haproxy,
    quiet,
    longest_wait,
    lease_ttl,
    drain,
    trusted_proxies,
    connect_timeout,
    response_timeout,
    shutdown_timeout,
    retry_after,
    removal_share,
    removal_grace,
});

/// `port = 80` and `port = "80"` mean the same.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a text or a whole number")]
enum Text {
    Text(String),
    Number(u32),
}

impl Text {
    fn into_string(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
        }
    }
}

/// Where nginx is to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnnounceChoice {
    /// Exactly there.
    Fixed(SocketAddr),
    /// On the machine's private address, on a port to be chosen.
    Machine(IpAddr, PortChoice),
}

/// Everything that is fixed for the watcher's life.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The instance string of its units: `someapp-1`.
    pub name: String,
    /// The app.
    pub app: AppName,
    /// The load balancer's own instance.
    pub instance: InstanceName,
    /// Which program balances, and how it is run.
    pub kind: Kind,
    /// Its files.
    pub files: StateDir,
    /// Where nginx is to listen; an error is kept for those who need to know.
    pub announce: Result<AnnounceChoice, String>,
    /// Where the load balancers of this machine tell each other their ports.
    pub shared_dir: Option<PathBuf>,
    /// A template of one's own.
    pub template: Option<PathBuf>,
    /// The host's nginx.
    pub nginx: PathBuf,
    /// The host's HAProxy.
    pub haproxy: PathBuf,
    /// A check by command.
    pub check_command: Option<String>,
    /// A reload by command.
    pub reload_command: Option<String>,
    /// What the template is told.
    pub proxy_options: ProxyOptions,
    /// See [`convoy_lb_config::Settle`].
    pub quiet: Duration,
    /// See [`convoy_lb_config::Settle`].
    pub longest_wait: Duration,
    /// Time to live of the announcement.
    pub lease_ttl: Duration,
    /// From the withdrawal to the end of the watcher.
    pub drain: Duration,
    /// How much may vanish without a question.
    pub limits: GuardLimits,
}

impl Settings {
    /// Options over environment over files. `variable` is the environment.
    pub fn resolve(
        options: &Options,
        variable: impl Fn(&str) -> Option<String>,
        path: &SearchPath,
    ) -> Result<Self, ConfigError> {
        let fragment: Fragment = load("lb-watcher", path)?;
        let limits = limits(&fragment)?;
        let name = full_name(options)?;
        let unit = UnitInstance::parse(&name)
            .map_err(|error| ConfigError::value("load balancer", error.to_string()))?;
        let state_dir = given(options.state_dir.as_ref())
            .or_else(|| variable("STATE_DIRECTORY").filter(|path| !path.is_empty()))
            .unwrap_or_else(|| format!("/var/lib/lb-watcher/{name}"));
        // nginx and HAProxy get to see paths below it.
        let state_dir: PlainPath = parse("--state-dir", &state_dir)?;
        // What is not said is as bootstrap left it.
        let kind = options.kind.map(Kind::from).or_else(|| Record::kind(state_dir.as_str()));
        let kind = kind.unwrap_or(Kind::Host);
        let time = |key: &str, text: Option<Text>, ordinary: Duration| match text {
            Some(text) => {
                parse::<Span>(&format!("[lb-watcher] {key}"), &text.into_string()).map(|span| span.0)
            }
            None => Ok(ordinary),
        };
        let ordinary = ProxyOptions::default();
        let access_log = given(options.access_log.as_ref()).or(fragment.access_log);
        let port = given(options.port.as_ref()).or(fragment.port.map(Text::into_string));
        let proxy_options = ProxyOptions {
            access_log: match access_log {
                Some(text) => parse("LB_ACCESS_LOG (off, journal or an absolute path)", &text)?,
                None => ordinary.access_log,
            },
            trusted_proxies: match fragment.trusted_proxies {
                Some(list) => list
                    .iter()
                    .map(|text| parse("[lb-watcher] trusted_proxies", text))
                    .collect::<Result<_, _>>()?,
                None => ordinary.trusted_proxies,
            },
            connect_timeout: time("connect_timeout", fragment.connect_timeout, ordinary.connect_timeout)?,
            response_timeout: time("response_timeout", fragment.response_timeout, ordinary.response_timeout)?,
            shutdown_timeout: time("shutdown_timeout", fragment.shutdown_timeout, ordinary.shutdown_timeout)?,
            retry_after: time("retry_after", fragment.retry_after, ordinary.retry_after)?,
        };
        let announce = announce(given(options.announce.as_ref()), port, &variable)?;
        Ok(Self {
            app: unit.app,
            instance: unit.instance,
            files: StateDir::new(state_dir.as_str(), kind.engine()),
            kind,
            announce,
            shared_dir: variable("RUNTIME_DIRECTORY").filter(|path| !path.is_empty()).map(PathBuf::from),
            template: given(options.template.as_ref()).or(fragment.template).map(PathBuf::from),
            nginx: given(options.nginx.as_ref())
                .or(fragment.nginx)
                .map_or_else(|| PathBuf::from("/usr/sbin/nginx"), PathBuf::from),
            haproxy: given(options.haproxy.as_ref())
                .or(fragment.haproxy)
                .map_or_else(|| PathBuf::from("/usr/sbin/haproxy"), PathBuf::from),
            check_command: given(options.check_command.as_ref()),
            reload_command: given(options.reload_command.as_ref()),
            proxy_options,
            quiet: time("quiet", fragment.quiet, QUIET)?,
            longest_wait: time("longest_wait", fragment.longest_wait, LONGEST_WAIT)?,
            lease_ttl: time("lease_ttl", fragment.lease_ttl, LEASE_TTL)?,
            drain: time("drain", fragment.drain, DRAIN)?,
            limits,
            name,
        })
    }

    /// The unit of nginx, whichever kind it is a link to, or of HAProxy.
    pub fn unit(&self) -> String {
        format!("{}-lb@{}.service", self.kind.engine().program(), self.name)
    }

    /// The program on the host.
    pub fn program(&self) -> &Path {
        match self.kind.engine() {
            Engine::Nginx => &self.nginx,
            Engine::Haproxy => &self.haproxy,
        }
    }

    /// How candidates are checked.
    pub fn checker(&self) -> Checker {
        match (&self.check_command, self.kind) {
            (Some(command), _) => Checker::Command(command.clone()),
            (None, Kind::Host | Kind::Haproxy) => Checker::Program(self.program().to_owned()),
            (None, Kind::Container) => Checker::Unit {
                unit: format!("nginx-lb-check@{}.service", self.name),
                output: PathBuf::from(format!("{CHECK_OUTPUT}/{}/output", self.name)),
            },
        }
    }

    /// How the program is reloaded.
    pub fn reloader(&self) -> Reloader {
        match &self.reload_command {
            Some(command) => Reloader::Command(command.clone()),
            None => Reloader::Unit(self.unit()),
        }
    }

    /// What the template is rendered for.
    pub fn load_balancer(&self, target: &Target) -> Result<LoadBalancer, ConfigError> {
        let socket = self.files.socket();
        if self.kind == Kind::Haproxy && socket.as_os_str().len() > SOCKET_MAX {
            let problem = format!(
                "the path of HAProxy's socket, {}, has more than {SOCKET_MAX} bytes; choose a shorter directory",
                socket.display()
            );
            return Err(ConfigError::value("--state-dir", problem));
        }
        let runtime_dir = match target.kind {
            Kind::Host | Kind::Haproxy => self.files.runtime().to_string_lossy().into_owned(),
            Kind::Container => CONTAINER_RUNTIME.to_owned(),
        };
        Ok(LoadBalancer {
            app: self.app.clone(),
            instance: self.instance.clone(),
            listen: listen_addresses(target.announce),
            runtime_dir: parse("--state-dir", &runtime_dir)?,
            options: self.proxy_options.clone(),
        })
    }
}

/// How much may vanish without a question, from `[lb-watcher]`.
pub(crate) fn guard_limits(path: &SearchPath) -> Result<GuardLimits, ConfigError> {
    limits(&load("lb-watcher", path)?)
}

fn limits(fragment: &Fragment) -> Result<GuardLimits, ConfigError> {
    let ordinary = GuardLimits::default();
    let share = fragment.removal_share.unwrap_or(ordinary.share);
    if !(0.0..=1.0).contains(&share) {
        return Err(ConfigError::value(
            "[lb-watcher] removal_share",
            format!("{share} is no share; write a number from 0 to 1, as 0.5 for half of the upstreams"),
        ));
    }
    let grace = match &fragment.removal_grace {
        Some(text) => parse::<Span>("[lb-watcher] removal_grace", &text.clone().into_string())?.0,
        None => ordinary.grace,
    };
    Ok(GuardLimits { share, grace })
}

fn full_name(options: &Options) -> Result<String, ConfigError> {
    match (&options.name, &options.app, &options.instance) {
        (Some(name), _, _) | (None, None, Some(name)) => Ok(name.clone()),
        (None, Some(app), Some(instance)) => Ok(format!("{app}-{instance}")),
        (None, _, None) => Err(ConfigError::value(
            "load balancer",
            "not named; give it as in the unit's name (someapp-1), or with --app and --instance",
        )),
    }
}

/// An empty variable in a unit's environment file is as good as none.
fn given(text: Option<&String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty()).cloned()
}

fn parse<T>(origin: &str, text: &str) -> Result<T, ConfigError>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    text.trim().parse().map_err(|error: T::Err| ConfigError::value(origin, error.to_string()))
}

fn announce(
    fixed: Option<String>,
    port: Option<String>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Result<AnnounceChoice, String>, ConfigError> {
    if let Some(text) = fixed {
        let endpoint: convoy_keys::Endpoint = parse("LB_ANNOUNCE", &text)?;
        return Ok(Ok(AnnounceChoice::Fixed(endpoint.addr())));
    }
    let port = port.map(|text| parse("LB_PORT", &text)).transpose()?.unwrap_or_default();
    let address = ["LB_ADDRESS", "CONVOY_PRIVATE_IPV4", "COREOS_PRIVATE_IPV4"]
        .into_iter()
        .find_map(|name| Some((name, variable(name).filter(|value| !value.trim().is_empty())?)));
    match address {
        Some((name, text)) => Ok(Ok(AnnounceChoice::Machine(parse(name, &text)?, port))),
        None => Ok(Err(
            "CONVOY_PRIVATE_IPV4 is not set, so there is no address to announce; machine-setup writes it \
             to /run/convoy/machine.env, or set LB_ANNOUNCE=ip:port"
                .to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use convoy_lb_config::AccessLog;

    use super::*;
    use crate::cli::KindOption;

    fn resolve(options: &Options, variables: &[(&str, &str)], file: &str) -> Result<Settings, String> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("10.toml"), file).unwrap();
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let path = SearchPath::new([directory.path().to_owned()]);
        Settings::resolve(options, variable, &path).map_err(|error| error.to_string())
    }

    fn named(name: &str) -> Options {
        Options { name: Some(name.to_owned()), ..Options::default() }
    }

    #[test]
    fn a_unit_needs_its_name_and_the_address_of_the_machine() {
        let settings = resolve(&named("my-app-2"), &[("CONVOY_PRIVATE_IPV4", "10.0.0.5")], "").unwrap();
        assert_eq!((settings.app.as_str(), settings.instance.as_str()), ("my-app", "2"));
        assert_eq!(settings.unit(), "nginx-lb@my-app-2.service");
        let expected = AnnounceChoice::Machine("10.0.0.5".parse().unwrap(), PortChoice::Automatic);
        assert_eq!(settings.announce, Ok(expected));
        assert_eq!(settings.files.path().to_str(), Some("/var/lib/lb-watcher/my-app-2"));
        let nowhere = resolve(&named("my-app-2"), &[], "").unwrap();
        assert!(nowhere.announce.unwrap_err().contains("CONVOY_PRIVATE_IPV4"));
    }

    #[test]
    fn the_kind_is_that_of_the_option_or_of_the_record_and_decides_unit_program_and_files() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().to_str().unwrap();
        let options = |kind| Options { state_dir: Some(state.to_owned()), kind, ..named("a-1") };
        let settings = resolve(&options(None), &[], "").unwrap();
        assert_eq!((settings.kind, settings.unit().as_str()), (Kind::Host, "nginx-lb@a-1.service"));
        let settings = resolve(&options(Some(KindOption::Haproxy)), &[], "").unwrap();
        assert_eq!(settings.unit(), "haproxy-lb@a-1.service");
        assert_eq!(settings.checker(), Checker::Program("/usr/sbin/haproxy".into()));
        assert!(settings.files.live().ends_with("haproxy.cfg"));
        let announce = "10.0.0.1:8080".parse().unwrap();
        let target = Target { kind: Kind::Haproxy, announce, listen: vec![announce] };
        Record { target, good: None }.write(&settings.files).unwrap();
        assert_eq!(resolve(&options(None), &[], "").unwrap().kind, Kind::Haproxy);
        assert_eq!(resolve(&options(Some(KindOption::Container)), &[], "").unwrap().kind, Kind::Container);
    }

    #[test]
    fn a_socket_whose_path_is_too_long_is_told_before_haproxy_refuses_it() {
        let announce = "10.0.0.1:8080".parse().unwrap();
        let long = format!("/var/lib/{}", "x".repeat(80));
        for (kind, is_good) in [(KindOption::Host, true), (KindOption::Haproxy, false)] {
            let options = Options { state_dir: Some(long.clone()), kind: Some(kind), ..named("a-1") };
            let settings = resolve(&options, &[], "").unwrap();
            let target = Target { kind: settings.kind, announce, listen: vec![announce] };
            let outcome = settings.load_balancer(&target).map_err(|error| error.to_string());
            assert!(outcome.is_ok() == is_good, "{outcome:?}");
            assert!(is_good || outcome.is_err_and(|error| error.contains("shorter directory")));
        }
    }

    #[test]
    fn options_beat_files_and_empty_variables_count_as_none() {
        let file = "[lb-watcher]\nport = 9000\naccess_log = \"journal\"\nquiet = \"50ms\"\nretry_after = 7\n";
        let machine = ("CONVOY_PRIVATE_IPV4", "10.0.0.5");
        let settings = resolve(&named("a-1"), &[machine, ("STATE_DIRECTORY", "/state")], file).unwrap();
        let ip = "10.0.0.5".parse().unwrap();
        assert_eq!(settings.announce, Ok(AnnounceChoice::Machine(ip, PortChoice::Fixed(9000))));
        assert_eq!(settings.proxy_options.access_log, AccessLog::Journal);
        assert_eq!(settings.quiet, Duration::from_millis(50));
        assert_eq!(settings.proxy_options.retry_after, Duration::from_secs(7));
        assert_eq!(settings.files.path().to_str(), Some("/state"));
        let options = Options { port: Some("81".into()), access_log: Some(String::new()), ..named("a-1") };
        let settings = resolve(&options, &[machine], file).unwrap();
        assert_eq!(settings.announce, Ok(AnnounceChoice::Machine(ip, PortChoice::Fixed(81))));
        assert_eq!(settings.proxy_options.access_log, AccessLog::Journal);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let with = |change: fn(&mut Options)| {
            let mut options = named("a-1");
            change(&mut options);
            options
        };
        for (options, variables, file, word) in [
            (named("someapp"), vec![], "", "load balancer"),
            (Options::default(), vec![], "", "load balancer"),
            (with(|o| o.port = Some("many".into())), vec![("LB_ADDRESS", "10.0.0.1")], "", "LB_PORT"),
            (with(|o| o.announce = Some("0.0.0.0:80".into())), vec![], "", "LB_ANNOUNCE"),
            (named("a-1"), vec![("CONVOY_PRIVATE_IPV4", "host")], "", "CONVOY_PRIVATE_IPV4"),
            (with(|o| o.access_log = Some("on".into())), vec![], "", "LB_ACCESS_LOG"),
            (with(|o| o.state_dir = Some("/a;b".into())), vec![], "", "--state-dir"),
            (named("a-1"), vec![], "[lb-watcher]\nquiet = \"soon\"\n", "[lb-watcher] quiet"),
            (named("a-1"), vec![], "[lb-watcher]\n\nprot = 1\n", "10.toml:3"),
            (named("a-1"), vec![], "[lb-watcher]\ntrusted_proxies = [\"all\"]\n", "trusted_proxies"),
        ] {
            let error = resolve(&options, &variables, file).unwrap_err();
            assert!(error.contains(word), "{word}: {error}");
        }
    }

    #[test]
    fn app_and_instance_make_the_name() {
        let options = Options { app: Some("some".into()), instance: Some("1".into()), ..Options::default() };
        assert_eq!(resolve(&options, &[], "").unwrap().name, "some-1");
        let options = Options { instance: Some("someapp-3".into()), ..Options::default() };
        assert_eq!(resolve(&options, &[], "").unwrap().name, "someapp-3");
    }
}
