//! Options, environment and files turned into types.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use convoy_acme::OrderSettings;
use convoy_config::{ConfigError, SearchPath, Span, load, machine_id, merge_options};
use convoy_keys::{InstanceName, Network};
use convoy_proxy::DrainLimits;
use convoy_routing::{Domain, Import};
use serde::Deserialize;

use crate::cli::Options;
use crate::orders;
use crate::sockets::{Address, Kind};

/// Domains, separated by commas; wins over the files.
const DOMAINS: &str = "EDGE_ROUTER_DOMAINS";
/// More threads than this is a slip of the pen.
const THREADS_MAX: usize = 1024;
/// More connections than this is one, too: each needs two file descriptors.
const CONNECTIONS_MAX: usize = 1_000_000;
/// More requests than this on one connection are an attack.
const STREAMS_MAX: usize = 10_000;

/// The table `[edge-router]` as written.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fragment {
    domains: Option<Vec<String>>,
    threads: Option<usize>,
    max_connections: Option<usize>,
    trusted_proxies: Option<Vec<String>>,
    proxy_protocol: Option<Vec<String>>,
    certificates: Option<PathBuf>,
    import: Option<Vec<String>>,
    max_streams: Option<u32>,
    body_max: Option<u64>,
    access_log: Option<String>,
    access_log_every: Option<u32>,
    header_timeout: Option<Span>,
    keep_alive_timeout: Option<Span>,
    request_body_timeout: Option<Span>,
    connect_timeout: Option<Span>,
    response_timeout: Option<Span>,
    stall_timeout: Option<Span>,
    tunnel_timeout: Option<Span>,
    upstream_keep_alive_timeout: Option<Span>,
    drain_timeout: Option<Span>,
    #[serde(default)]
    acme: orders::Fragment,
}

merge_options!(Fragment {
    domains,
    threads,
    max_connections,
    trusted_proxies,
    proxy_protocol,
    certificates,
    import,
    max_streams,
    body_max,
    access_log,
    access_log_every,
    header_timeout,
    keep_alive_timeout,
    request_body_timeout,
    connect_timeout,
    response_timeout,
    stall_timeout,
    tunnel_timeout,
    upstream_keep_alive_timeout,
    drain_timeout;
    acme
});

/// Where the access log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLog {
    /// To the journal, as fields.
    Journal,
    /// To standard error, as lines for people.
    Stderr,
    /// To standard error, in nginx's and Apache's combined format.
    Combined,
    /// To standard error, an object of JSON per line.
    Json,
    /// Nowhere.
    Off,
}

impl FromStr for AccessLog {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "journal" => Ok(Self::Journal),
            "stderr" => Ok(Self::Stderr),
            "combined" => Ok(Self::Combined),
            "json" => Ok(Self::Json),
            "off" => Ok(Self::Off),
            _ => Err(format!(
                "{text:?} is no place for the access log; write journal, stderr, combined, json or off"
            )),
        }
    }
}

/// Everything that is fixed for the router's life.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Apps are served below these.
    pub domains: Arc<[Domain]>,
    /// Sockets to be opened by ourselves.
    pub listen: Vec<(String, Address)>,
    /// Takes the store's place.
    pub routes: Option<PathBuf>,
    /// A folder with certificates.
    pub certificates: Option<PathBuf>,
    /// How certificates are ordered, where they are.
    pub orders: Option<OrderSettings>,
    /// What LoadCredential= of the unit put there (systemd.exec(5)).
    pub credentials: Option<PathBuf>,
    /// Key layouts of other proxies that are followed, too.
    pub imports: Vec<Import>,
    /// Names of the sockets on which trusted proxies begin with the PROXY protocol.
    pub proxy_protocol: Vec<String>,
    /// Where entries about requests go.
    pub access_log: AccessLog,
    /// One of so many requests that went well has an entry; those that didn't all have.
    pub access_log_every: u32,
    /// Where the table is kept.
    pub state_dir: Option<PathBuf>,
    /// Where the sockets for metrics and status are made.
    pub runtime_dir: Option<PathBuf>,
    /// Under this name it is told which revision is served.
    pub consumer: InstanceName,
    /// What the data path is told.
    pub proxy: convoy_proxy::Settings,
    /// Somebody wrote the number of connections; otherwise it is what there is room for, up to the default.
    pub max_connections_given: bool,
    /// How long an end may take.
    pub drain: DrainLimits,
}

impl Settings {
    /// Options over environment over files. `variable` is the environment.
    pub fn resolve(
        options: &Options,
        variable: impl Fn(&str) -> Option<String>,
        path: &SearchPath,
    ) -> Result<Self, ConfigError> {
        let fragment: Fragment = load("edge-router", path)?;
        let variable = |name: &str| variable(name).filter(|text| !text.trim().is_empty());
        let threads = match &options.threads {
            Some(text) => Some(parse("--threads, EDGE_ROUTER_THREADS", text)?),
            None => fragment.threads,
        };
        let credentials = variable("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        let access_log =
            options.access_log.clone().filter(|text| !text.trim().is_empty()).or(fragment.access_log.clone());
        Ok(Self {
            domains: domains(options, variable(DOMAINS), fragment.domains.clone())?,
            listen: options.listen.iter().map(|text| listen(text)).collect::<Result<_, _>>()?,
            access_log: match access_log {
                Some(text) => parse("access_log", &text)?,
                // Standard error is the journal's when this is set (systemd.exec(5)).
                None if variable("JOURNAL_STREAM").is_some() => AccessLog::Journal,
                None => AccessLog::Stderr,
            },
            access_log_every: fragment.access_log_every.unwrap_or(1).max(1),
            imports: fragment
                .import
                .iter()
                .flatten()
                .map(|text| parse("[edge-router] import", text))
                .collect::<Result<_, _>>()?,
            routes: options.routes.clone(),
            certificates: options
                .certificates
                .clone()
                .or_else(|| fragment.certificates.clone())
                .or_else(|| credentials.clone()),
            orders: fragment.acme.clone().resolve(credentials.as_deref())?,
            credentials,
            proxy_protocol: fragment.proxy_protocol.clone().unwrap_or_default(),
            state_dir: options.state_dir.clone().or_else(|| variable("STATE_DIRECTORY")).map(PathBuf::from),
            runtime_dir: options
                .runtime_dir
                .clone()
                .or_else(|| variable("RUNTIME_DIRECTORY"))
                .map(PathBuf::from),
            consumer: consumer(variable)?,
            max_connections_given: fragment.max_connections.is_some(),
            drain: drain(&fragment),
            proxy: proxy(threads, fragment)?,
        })
    }
}

fn domains(
    options: &Options,
    variable: Option<String>,
    file: Option<Vec<String>>,
) -> Result<Arc<[Domain]>, ConfigError> {
    let (origin, list) = if !options.domains.is_empty() {
        ("--domain", options.domains.clone())
    } else if let Some(list) = variable {
        (DOMAINS, list.split(',').map(str::to_owned).filter(|text| !text.trim().is_empty()).collect())
    } else {
        ("[edge-router] domains", file.unwrap_or_default())
    };
    list.iter().map(|text| parse(origin, text)).collect()
}

fn listen(text: &str) -> Result<(String, Address), ConfigError> {
    match text.split_once('=') {
        Some((name, address)) if Kind::of(name).is_some() => {
            Ok((name.to_owned(), parse("--listen", address)?))
        }
        _ => Err(ConfigError::value(
            "--listen",
            format!("{text:?} names no socket; write it as http=127.0.0.1:8080 or https=127.0.0.1:8443"),
        )),
    }
}

/// `edge-<machine id>`; load balancers stand beside it.
fn consumer(variable: impl Fn(&str) -> Option<String>) -> Result<InstanceName, ConfigError> {
    let machine = machine_id(variable, Path::new("/etc/machine-id"));
    // Without an identity a name for this run has to do; the lease takes it away when it ends.
    let name = machine.map_or_else(|_| format!("run-{}", std::process::id()), |machine| machine.to_string());
    InstanceName::parse(&format!("edge-{name}"))
        .map_err(|error| ConfigError::value("machine id", error.to_string()))
}

fn drain(fragment: &Fragment) -> DrainLimits {
    let ordinary = DrainLimits::default();
    DrainLimits { old: fragment.drain_timeout.map_or(ordinary.old, |span| span.0), ..ordinary }
}

fn proxy(threads: Option<usize>, fragment: Fragment) -> Result<convoy_proxy::Settings, ConfigError> {
    let mut proxy = convoy_proxy::Settings::default();
    let within = |origin: &str, number: usize, most: usize| {
        if (1..=most).contains(&number) {
            Ok(number)
        } else {
            Err(ConfigError::value(origin, format!("{number} is out of range; write 1 to {most}")))
        }
    };
    if let Some(number) = threads {
        proxy.threads = within("[edge-router] threads", number, THREADS_MAX)?;
    }
    if let Some(number) = fragment.max_connections {
        proxy.max_connections = within("[edge-router] max_connections", number, CONNECTIONS_MAX)?;
    }
    if let Some(number) = fragment.max_streams {
        let number =
            within("[edge-router] max_streams", usize::try_from(number).unwrap_or(usize::MAX), STREAMS_MAX)?;
        proxy.max_streams = u32::try_from(number).unwrap_or(u32::MAX);
    }
    proxy.body_max = fragment.body_max;
    let trusted = fragment.trusted_proxies.unwrap_or_default();
    proxy.trusted = trusted
        .iter()
        .map(|text| parse::<Network>("[edge-router] trusted_proxies", text))
        .collect::<Result<_, _>>()?;
    let limits = &mut proxy.timeouts;
    let set = |limit: &mut Duration, key: &str, span: Option<Span>| {
        match span {
            Some(Span(span)) if span.is_zero() => {
                let message = "a limit of 0 would end everything at once; leave it out for the default";
                return Err(ConfigError::value(format!("[edge-router] {key}"), message));
            }
            Some(Span(span)) => *limit = span,
            None => {}
        }
        Ok(())
    };
    set(&mut limits.header, "header_timeout", fragment.header_timeout)?;
    set(&mut limits.keep_alive, "keep_alive_timeout", fragment.keep_alive_timeout)?;
    set(&mut limits.request_body, "request_body_timeout", fragment.request_body_timeout)?;
    set(&mut limits.connect, "connect_timeout", fragment.connect_timeout)?;
    limits.connect_total = limits.connect * 3;
    set(&mut limits.first_byte, "response_timeout", fragment.response_timeout)?;
    set(&mut limits.stall, "stall_timeout", fragment.stall_timeout)?;
    set(&mut limits.tunnel_idle, "tunnel_timeout", fragment.tunnel_timeout)?;
    set(&mut limits.upstream_idle, "upstream_keep_alive_timeout", fragment.upstream_keep_alive_timeout)?;
    Ok(proxy)
}

fn parse<T>(origin: &str, text: &str) -> Result<T, ConfigError>
where
    T: FromStr,
    T::Err: Display,
{
    text.trim().parse().map_err(|error: T::Err| ConfigError::value(origin, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(options: &Options, environment: &[(&str, &str)], file: &str) -> Result<Settings, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("10-a.toml"), file).unwrap();
        let variable = |name: &str| {
            environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        Settings::resolve(options, variable, &SearchPath::new([folder.path().to_owned()]))
    }

    fn names(settings: &Settings) -> Vec<&str> {
        settings.domains.iter().map(Domain::as_str).collect()
    }

    #[test]
    fn options_win_over_the_environment_and_that_over_files() {
        let file = "[edge-router]\ndomains = ['file.example', 'other.example']\nthreads = 3\n";
        let variable = [("EDGE_ROUTER_DOMAINS", "a.example, B.example.,")];
        let option = Options { domains: vec!["option.example".into()], ..Options::default() };
        assert_eq!(
            names(&resolve(&Options::default(), &[], file).unwrap()),
            ["file.example", "other.example"]
        );
        assert_eq!(
            names(&resolve(&Options::default(), &variable, file).unwrap()),
            ["a.example", "b.example"]
        );
        assert_eq!(names(&resolve(&option, &variable, file).unwrap()), ["option.example"]);
        assert_eq!(resolve(&option, &[], file).unwrap().proxy.threads, 3);
        let threads = Options { threads: Some("5".into()), ..Options::default() };
        assert_eq!(resolve(&threads, &[], file).unwrap().proxy.threads, 5);
    }

    #[test]
    fn everything_has_a_default() {
        let settings = resolve(&Options::default(), &[], "").unwrap();
        assert!(settings.domains.is_empty());
        assert_eq!(settings.access_log, AccessLog::Stderr);
        assert_eq!(settings.proxy.timeouts, convoy_proxy::Timeouts::default());
        let journal = resolve(&Options::default(), &[("JOURNAL_STREAM", "8:1")], "").unwrap();
        assert_eq!(journal.access_log, AccessLog::Journal);
    }

    #[test]
    fn all_limits_can_be_set() {
        let settings = resolve(
            &Options::default(),
            &[],
            "[edge-router]\nconnect_timeout = '500ms'\nresponse_timeout = 30\nmax_connections = 5\n\
             trusted_proxies = ['10.0.0.0/8']\naccess_log = 'off'\ndrain_timeout = '3s'\n",
        )
        .unwrap();
        assert_eq!(settings.proxy.timeouts.connect, Duration::from_millis(500));
        assert_eq!(settings.proxy.timeouts.connect_total, Duration::from_millis(1500));
        assert_eq!(settings.proxy.timeouts.first_byte, Duration::from_secs(30));
        assert_eq!((settings.proxy.max_connections, settings.proxy.trusted.len()), (5, 1));
        assert_eq!((settings.access_log, settings.drain.old), (AccessLog::Off, Duration::from_secs(3)));
    }

    #[test]
    fn a_mistake_names_its_place() {
        for (file, expected) in [
            ("[edge-router]\ndomains = ['http://a']\n", "[edge-router] domains: \"http://a\" is no domain"),
            ("[edge-router]\ndomain = 'a'\n", "10-a.toml:2: unknown field `domain`"),
            ("[edge-router]\nheader_timeout = 'long'\n", "10-a.toml:2: \"long\" is no time"),
            ("[edge-router]\nmax_connections = 0\n", "max_connections: 0 is out of range"),
            ("[edge-router]\ntrusted_proxies = ['x']\n", "trusted_proxies: \"x\" is no network"),
            ("[edge-router]\nimport = ['nginx']\n", "import: \"nginx\" is nothing to import"),
            ("[edge-router]\nstall_timeout = 0\n", "[edge-router] stall_timeout: a limit of 0"),
            ("[edge-router]\naccess_log = 'file'\n", "access_log: \"file\" is no place"),
        ] {
            let error = resolve(&Options::default(), &[], file).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        for listen in ["8080", "ftp=127.0.0.1:1", "http=8080", "http=", "http=unix:edge.sock"] {
            let options = Options { listen: vec![listen.into()], ..Options::default() };
            assert!(resolve(&options, &[], "").unwrap_err().to_string().contains("--listen"), "{listen}");
        }
    }
}
