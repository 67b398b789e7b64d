//! Options turned into types: what is fixed for the registrar's life, and what each look at the container decides.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use convoy_config::{ConfigError, Span};
use convoy_health::{Check, Rules, StatusSet};
use convoy_keys::{Endpoint, UnitInstance};

use crate::address::{Family, MachineAddress, Mode, Wish};
use crate::key_template::{KeyTemplates, Values};
use crate::options::{self, Name, Options};

/// A machine that crashed is taken off the list after this long. It has to outlive what a live registrar may need
/// to renew late: a keep-alive just missed (a third of it), the watchdog (15 s) and a restart (1 s) make 26 s.
const TTL: Duration = Duration::from_secs(30);
/// Shorter ones flap at every election of etcd's; longer ones are no longer a matter of life signs.
const TTL_BOUNDS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(3600));
/// How long readers get to notice a stop, at most.
const DRAIN: Duration = Duration::from_secs(10);
/// Longest drain.
const DRAIN_MAX: Duration = Duration::from_secs(300);
/// Most that an instance may weigh; 100 is ordinary.
const WEIGHT_MAX: u16 = 1000;

/// Where the machine's facts come from; a value, so that tests need no environment.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// The addresses that other machines use.
    pub address: MachineAddress,
    /// The public IPv4 address, for keys that are named after it.
    pub public_ipv4: Option<Ipv4Addr>,
    /// `/etc/machine-id`
    pub id: Option<String>,
}

impl Machine {
    /// Reads what `machine-setup` wrote to `/run/convoy/machine.env`, with the names of 2014 as a second choice.
    pub fn from_environment(
        variable: impl Fn(&str) -> Option<String>,
        machine_id: Option<String>,
    ) -> Result<Self, ConfigError> {
        fn first<T: FromStr>(
            variable: impl Fn(&str) -> Option<String>,
            names: &[&str],
        ) -> Result<Option<T>, ConfigError> {
            let set = names.iter().find_map(|&name| {
                variable(name).filter(|value| !value.trim().is_empty()).map(|value| (name, value))
            });
            let Some((name, value)) = set else { return Ok(None) };
            let parsed = value.trim().parse();
            parsed.map(Some).map_err(|_| ConfigError::value(name, format!("{value:?} is no such address")))
        }
        Ok(Self {
            address: MachineAddress {
                ipv4: first::<Ipv4Addr>(&variable, &["CONVOY_PRIVATE_IPV4", "COREOS_PRIVATE_IPV4"])?,
                ipv6: first::<Ipv6Addr>(&variable, &["CONVOY_PRIVATE_IPV6"])?,
            },
            public_ipv4: first(&variable, &["CONVOY_PUBLIC_IPV4", "COREOS_PUBLIC_IPV4"])?,
            id: variable("CONVOY_MACHINE_ID").filter(|id| !id.is_empty()).or(machine_id),
        })
    }
}

/// What is announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A container; its address is found through the engine, unless one is given.
    Container {
        /// Its name.
        name: String,
        /// Whom to ask.
        engine: EngineChoice,
        /// An address that makes the choice unnecessary.
        address: Option<Endpoint>,
    },
    /// A plain service at a given address.
    Service(Endpoint),
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, engine, address) = match self {
            Self::Service(endpoint) => return write!(formatter, "the service at {endpoint}"),
            Self::Container { name, engine, address } => (name, engine, address),
        };
        write!(formatter, "container {name}")?;
        if let EngineChoice::Socket(path) = engine {
            write!(formatter, " of the engine at {}", path.display())?;
        }
        match address {
            Some(endpoint) => write!(formatter, ", reached at {endpoint}"),
            None => Ok(()),
        }
    }
}

/// Which container engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineChoice {
    /// The first whose socket exists: Docker's, then Podman's.
    Auto,
    /// The one behind this socket.
    Socket(PathBuf),
}

/// When the unit counts as started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ready {
    /// When the instance is listed for the first time: then "active" means "gets requests".
    #[default]
    Listed,
    /// As soon as the instance is watched, even if it is not healthy yet.
    Watching,
}

/// What is fixed for the registrar's life.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which instance of which app.
    pub instance: UnitInstance,
    /// What is announced.
    pub subject: Subject,
    /// Time to live of the lease.
    pub ttl: Duration,
    /// How long readers get to notice a stop, at most.
    pub drain: Duration,
    /// When the unit counts as started.
    pub ready: Ready,
    /// This machine.
    pub machine: Machine,
}

/// What each look at the container decides, since its labels have a say.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceSettings {
    /// Which address.
    pub wish: Wish,
    /// What is asked.
    pub check: Check,
    /// Host header of HTTP checks.
    pub check_host: Option<String>,
    /// Good answers to HTTP checks.
    pub check_status: StatusSet,
    /// How often, and how many results make a state.
    pub rules: Rules,
    /// Share of requests.
    pub weight: u16,
    /// Keys to announce under.
    pub keys: Vec<String>,
}

impl Settings {
    /// Options for the registrar itself. Labels have no say here.
    pub fn resolve(instance: &str, options: &Options, machine: Machine) -> Result<Self, ConfigError> {
        let instance = UnitInstance::parse(instance)
            .map_err(|error| ConfigError::value("--instance", error.to_string()))?;
        let mut machine = machine;
        if let Some(ip) = options.get::<IpAddr>(options::ADVERTISE)? {
            machine.address = match ip {
                IpAddr::V4(ip) => MachineAddress { ipv4: Some(ip), ..machine.address },
                IpAddr::V6(ip) => MachineAddress { ipv6: Some(ip), ..machine.address },
            };
        }
        let settings = Self {
            subject: subject(&instance, options, machine.address)?,
            ttl: duration(options, options::TTL, TTL, TTL_BOUNDS)?,
            drain: duration(options, options::DRAIN, DRAIN, (Duration::ZERO, DRAIN_MAX))?,
            ready: options.get(options::READY)?.unwrap_or_default(),
            instance,
            machine,
        };
        // Mistakes that need no container to be seen are seen at the start.
        let checked = settings.instance_settings(options)?;
        if matches!(settings.subject, Subject::Service(_)) {
            for (name, given) in [
                (options::NETWORK, checked.wish.network.is_some()),
                (options::MODE, checked.wish.mode != Mode::Auto),
            ] {
                if given {
                    return Err(options.refuse(name, "only a container has it; this is a plain service"));
                }
            }
            if checked.check == Check::Engine {
                return Err(options.refuse(options::CHECK, "a plain service has no engine that checks it"));
            }
        }
        Ok(settings)
    }

    /// Options for the instance, with the labels of its container where they have a say.
    pub fn instance_settings(&self, options: &Options) -> Result<InstanceSettings, ConfigError> {
        let ordinary = Rules::default();
        let span =
            |name, value| Ok::<_, ConfigError>(options.get::<Span>(name)?.map_or(value, |span| span.0));
        let rules = Rules::new(
            span(options::INTERVAL, ordinary.interval())?,
            span(options::TIMEOUT, ordinary.timeout())?,
            options.get(options::RISE)?.unwrap_or(ordinary.rise()),
            options.get(options::FALL)?.unwrap_or(ordinary.fall()),
            span(options::GRACE, ordinary.grace())?,
        )
        .map_err(|error| ConfigError::value("health check", error.to_string()))?;
        let wish = Wish {
            mode: options.get(options::MODE)?.unwrap_or_default(),
            network: options.get(options::NETWORK)?,
            port: port(options)?,
            family: options.get(options::FAMILY)?.unwrap_or_default(),
        };
        if wish.network.is_some() && wish.mode == Mode::Published {
            return Err(options.refuse(options::NETWORK, "a published port is on no network of the container's: unset `network`, or set `mode` to container"));
        }
        let templates: KeyTemplates = options.get(options::KEY)?.unwrap_or_default();
        let keys = templates.render(&self.key_values());
        let weight = options.get(options::WEIGHT)?.unwrap_or(100);
        if weight > WEIGHT_MAX {
            return Err(options.refuse(options::WEIGHT, format!("{weight} is more than {WEIGHT_MAX}")));
        }
        let check_host: Option<String> = options.get(options::CHECK_HOST)?;
        if let Some(host) = &check_host
            && (host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            return Err(options.refuse(options::CHECK_HOST, format!("{host:?} is no host name")));
        }
        Ok(InstanceSettings {
            wish,
            check: options.get(options::CHECK)?.unwrap_or_default(),
            check_host,
            check_status: options.get(options::CHECK_STATUS)?.unwrap_or_default(),
            rules,
            weight,
            keys: keys.map_err(|error| options.refuse(options::KEY, error.to_string()))?,
        })
    }

    fn key_values(&self) -> Values {
        let container = match &self.subject {
            Subject::Container { name, .. } => name.clone(),
            Subject::Service(_) => self.instance.container_name(),
        };
        Values {
            app: self.instance.app.to_string(),
            instance: self.instance.instance.to_string(),
            container,
            private_ipv4: self.machine.address.ipv4.map(|ip| ip.to_string()),
            public_ipv4: self.machine.public_ipv4.map(|ip| ip.to_string()),
            machine_id: self.machine.id.clone(),
        }
    }
}

fn subject(
    instance: &UnitInstance,
    options: &Options,
    machine: MachineAddress,
) -> Result<Subject, ConfigError> {
    let address: Option<String> = options.get(options::ADDRESS)?;
    let address = address.map(|text| fixed_address(&text, options)).transpose()?;
    let engine: Option<String> = options.get(options::ENGINE)?;
    let container: Option<String> = options.get(options::CONTAINER)?;
    if engine.as_deref() == Some("none") {
        return match (address, port(options)?) {
            (Some(endpoint), _) => Ok(Subject::Service(endpoint)),
            (None, Some(port)) => {
                let ip = machine.ipv4.map(IpAddr::V4).or(machine.ipv6.map(IpAddr::V6)).ok_or_else(|| {
                    options.refuse(options::PORT, "the machine's own address is not known: set CONVOY_PRIVATE_IPV4 (/run/convoy/machine.env has it), `advertise` or `address`")
                })?;
                let endpoint = Endpoint::from_address((ip, port).into());
                Ok(Subject::Service(
                    endpoint.map_err(|error| options.refuse(options::PORT, error.to_string()))?,
                ))
            }
            (None, None) => Err(options.refuse(
                options::ENGINE,
                "a plain service needs `address` (127.0.0.1:3001), or `port` on the machine's own address",
            )),
        };
    }
    match address {
        Some(endpoint) if engine.is_none() && container.is_none() => Ok(Subject::Service(endpoint)),
        address => Ok(Subject::Container {
            name: container_name(container, instance, options)?,
            engine: engine_choice(engine.as_deref(), options)?,
            address,
        }),
    }
}

/// `10.0.0.7:8080`, or `10.0.0.7` with the port given by its own option.
fn fixed_address(text: &str, options: &Options) -> Result<Endpoint, ConfigError> {
    let refuse = |error: convoy_keys::EndpointError| options.refuse(options::ADDRESS, error.to_string());
    match (text.parse::<IpAddr>(), port(options)?) {
        (Ok(ip), Some(port)) => Endpoint::from_address((ip, port).into()).map_err(refuse),
        _ => Endpoint::parse(text).map_err(refuse),
    }
}

/// `80` or `80/tcp`.
fn port(options: &Options) -> Result<Option<u16>, ConfigError> {
    let Some(text) = options.get::<String>(options::PORT)? else { return Ok(None) };
    match text.strip_suffix("/tcp").unwrap_or(&text).parse() {
        Ok(port) if port != 0 => Ok(Some(port)),
        _ => Err(options.refuse(options::PORT, format!("{text:?} is no TCP port between 1 and 65535"))),
    }
}

fn container_name(
    given: Option<String>,
    instance: &UnitInstance,
    options: &Options,
) -> Result<String, ConfigError> {
    let name = given.unwrap_or_else(|| instance.container_name());
    // The engines' own rule; a slash or question mark would ask them for something else.
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if name.is_empty() || name.len() > 255 || !name.bytes().all(allowed) {
        return Err(options.refuse(options::CONTAINER, format!("{name:?} is no container's name or id")));
    }
    Ok(name)
}

fn engine_choice(given: Option<&str>, options: &Options) -> Result<EngineChoice, ConfigError> {
    let Some(text) = given.filter(|&text| text != "auto") else { return Ok(EngineChoice::Auto) };
    let path = text.strip_prefix("unix://").unwrap_or(text);
    if path.starts_with('/') {
        Ok(EngineChoice::Socket(path.into()))
    } else {
        Err(options.refuse(
            options::ENGINE,
            format!("{text:?} is neither auto, none nor the path of a Unix socket, such as unix:///run/docker.sock"),
        ))
    }
}

fn duration(
    options: &Options,
    name: Name,
    ordinary: Duration,
    (least, most): (Duration, Duration),
) -> Result<Duration, ConfigError> {
    let value = options.get::<Span>(name)?.map_or(ordinary, |span| span.0);
    if value < least || value > most {
        return Err(options.refuse(name, format!("{value:?} is outside {least:?} to {most:?}")));
    }
    Ok(value)
}

macro_rules! words {
    ($type:ty { $($word:literal => $value:expr),+ $(,)? }) => {
        impl FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok($value),)+
                    _ => Err(format!("{text:?} is none of {}", [$($word),+].join(", "))),
                }
            }
        }
    };
}

words!(Mode { "auto" => Mode::Auto, "published" => Mode::Published, "container" => Mode::Container });
words!(Family { "any" => Family::Any, "ipv4" => Family::Ipv4, "ipv6" => Family::Ipv6 });
words!(Ready { "listed" => Ready::Listed, "watching" => Ready::Watching });

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Layer, Source};

    fn resolve(given: &[(&'static str, &str)], private_ipv4: Option<&str>) -> Result<Settings, ConfigError> {
        let machine = Machine::from_environment(
            |name| private_ipv4.filter(|_| name == "CONVOY_PRIVATE_IPV4").map(str::to_owned),
            Some("4f2d".into()),
        )?;
        let layer =
            Layer::new(Source::CommandLine, given.iter().map(|&(name, text)| (name, text.to_owned())));
        Settings::resolve("someapp-1", &Options::new([layer]), machine)
    }

    fn endpoint(text: &str) -> Endpoint {
        Endpoint::parse(text).unwrap()
    }

    fn container(address: Option<Endpoint>, name: &str, engine: EngineChoice) -> Subject {
        Subject::Container { name: name.into(), engine, address }
    }

    #[test]
    fn what_is_announced_follows_from_the_options() {
        let socket = EngineChoice::Socket("/run/podman/podman.sock".into());
        for (given, subject) in [
            (&[][..], container(None, "someapp-1", EngineChoice::Auto)),
            (&[("engine", "unix:///run/podman/podman.sock")], container(None, "someapp-1", socket)),
            (&[("container", "web")], container(None, "web", EngineChoice::Auto)),
            (&[("address", "127.0.0.1:3001")], Subject::Service(endpoint("127.0.0.1:3001"))),
            (&[("address", "::1"), ("port", "80")], Subject::Service(endpoint("[::1]:80"))),
            (&[("engine", "none"), ("port", "3000/tcp")], Subject::Service(endpoint("10.0.0.7:3000"))),
            (
                &[("engine", "auto"), ("address", "10.9.9.9:80")],
                container(Some(endpoint("10.9.9.9:80")), "someapp-1", EngineChoice::Auto),
            ),
            (
                &[("engine", "none"), ("port", "80"), ("advertise", "10.1.1.1")],
                Subject::Service(endpoint("10.1.1.1:80")),
            ),
        ] {
            assert_eq!(resolve(given, Some("10.0.0.7")).unwrap().subject, subject, "{given:?}");
        }
    }

    #[test]
    fn an_option_that_can_not_be_meant_is_named_with_what_to_do() {
        for (given, said) in [
            (&[("engine", "none")][..], "--engine: a plain service needs `address`"),
            (&[("engine", "none"), ("port", "80")], "--port: the machine's own address is not known"),
            (&[("engine", "tcp://1.2.3.4:2375")], "--engine: \"tcp://1.2.3.4:2375\" is neither"),
            (&[("container", "a/../b")], "--container: "),
            (&[("address", "host:80")], "--address: "),
            (&[("address", "1.2.3.4:80"), ("check", "engine")], "--check: "),
            (&[("address", "1.2.3.4:80"), ("network", "web")], "--network: only a container has it"),
            (&[("network", "web"), ("mode", "published")], "--network: a published port"),
            (&[("ttl", "1s")], "--ttl: 1s is outside 5s to 3600s"),
            (&[("drain", "10m")], "--drain: "),
            (&[("port", "0")], "--port: \"0\" is no TCP port"),
            (&[("port", "53/udp")], "--port: \"53/udp\" is no TCP port"),
            (&[("weight", "2000")], "--weight: 2000 is more than 1000"),
            (&[("rise", "0")], "health check: rise of 0"),
            (&[("check", "https:/")], "--check: \"https:/\" is no check"),
            (&[("check-status", "2xx")], "--check-status: "),
            (&[("check-host", "a\nb")], "--check-host: "),
            (&[("key", "/services/{app}/{private_ipv4}")], "--key: "),
            (&[("mode", "bridge")], "--mode: \"bridge\" is none of auto, published, container"),
            (&[("family", "ip")], "--family: "),
            (&[("ready", "now")], "--ready: "),
        ] {
            let error = resolve(given, None).unwrap_err().to_string();
            assert!(error.starts_with(said), "{given:?}: {error}");
        }
    }

    #[test]
    fn the_machine_is_read_from_its_environment_in_new_and_old_names() {
        let read = |name: &'static str, value: &'static str| {
            Machine::from_environment(|asked| (asked == name).then(|| value.to_owned()), None)
        };
        let ipv4 = Some(Ipv4Addr::new(10, 0, 0, 7));
        assert_eq!(read("CONVOY_PRIVATE_IPV4", "10.0.0.7").unwrap().address.ipv4, ipv4);
        assert_eq!(read("COREOS_PRIVATE_IPV4", " 10.0.0.7\n").unwrap().address.ipv4, ipv4);
        assert_eq!(read("COREOS_PUBLIC_IPV4", "10.0.0.7").unwrap().public_ipv4, ipv4);
        assert_eq!(read("CONVOY_PRIVATE_IPV4", "").unwrap().address.ipv4, None);
        let error = read("CONVOY_PRIVATE_IPV4", "$private_ipv4").unwrap_err().to_string();
        assert_eq!(error, "CONVOY_PRIVATE_IPV4: \"$private_ipv4\" is no such address");
    }

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let settings = resolve(&[], Some("10.0.0.7")).unwrap();
        assert_eq!((settings.ttl, settings.drain, settings.ready), (TTL, DRAIN, Ready::Listed));
        let layer = Layer::new(Source::CommandLine, []);
        let instance = settings.instance_settings(&Options::new([layer])).unwrap();
        assert_eq!(instance.check, Check::Tcp);
        assert_eq!(instance.keys, ["/services/someapp/upstream/1"]);
        assert_eq!(instance.weight, 100);
    }
}
