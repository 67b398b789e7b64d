//! From a container or an address to what is announced and checked. Pure.

use convoy_config::ConfigError;
use convoy_health::{Check, Health};
use convoy_keys::Endpoint;
use thiserror::Error;

use crate::address::{AddressError, Wish, choose};
use crate::container::EngineHealth;
use crate::engine::Found;
use crate::options::{Layer, Options};
use crate::probe::Probe;
use crate::settings::{InstanceSettings, Settings};

/// Why an instance that runs is not announced.
#[derive(Debug, Error)]
pub enum Refusal {
    /// A label can't be used.
    #[error(transparent)]
    Settings(#[from] ConfigError),
    /// No address can be chosen.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// No address can be chosen for the port of the check.
    #[error("health check: {0}")]
    CheckAddress(#[source] AddressError),
    /// The engine is to say how the container is, and has nothing to say.
    #[error(
        "the check is `engine`, but the container's image has no HEALTHCHECK: give it one, or set `check` to tcp or http:/path (REGISTRAR_CHECK, label convoy.check)"
    )]
    NoHealthcheck,
}

/// What is announced, and how its health is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Where it answers.
    pub endpoint: Endpoint,
    /// The container's id.
    pub container_id: Option<String>,
    /// Tells one run from the next: a container that was restarted has its health to prove again.
    pub run: String,
    /// Where its health comes from.
    pub health: HealthSource,
    /// The settings in force.
    pub settings: InstanceSettings,
}

/// Where the health of a target comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum HealthSource {
    /// Nowhere: whatever runs, passes.
    Assumed,
    /// From our own checks.
    Probe(Probe),
    /// From the engine's.
    Engine(Health),
}

impl Target {
    /// The target behind a container that runs. `fixed` is an address that was given.
    pub fn of_container(
        found: &Found,
        fixed: Option<Endpoint>,
        settings: &Settings,
        options: &Options,
    ) -> Result<Self, Refusal> {
        let options = options.with_labels(Layer::labels(&found.app.labels)?);
        let instance = settings.instance_settings(&options)?;
        let address = |wish: &Wish| choose(&found.app, &found.owner, wish, settings.machine.address);
        let endpoint = match fixed {
            Some(endpoint) => endpoint,
            None => address(&instance.wish)?,
        };
        let check_endpoint = |port: u16| match fixed {
            Some(endpoint) => Ok(with_port(endpoint, port)),
            None => {
                address(&Wish { port: Some(port), ..instance.wish.clone() }).map_err(Refusal::CheckAddress)
            }
        };
        let health = match &instance.check {
            Check::Engine => match found.app.health {
                Some(EngineHealth::Starting) => HealthSource::Engine(Health::Starting),
                Some(EngineHealth::Healthy) => HealthSource::Engine(Health::Passing),
                Some(EngineHealth::Unhealthy) => HealthSource::Engine(Health::Failing),
                None => return Err(Refusal::NoHealthcheck),
            },
            _ => match check_port(&instance.check) {
                Some(port) => health_source(check_endpoint(port)?, &instance),
                None => health_source(endpoint, &instance),
            },
        };
        Ok(Self {
            endpoint,
            container_id: Some(found.app.id.clone()),
            run: format!("{} {}", found.app.id, found.app.started_at),
            health,
            settings: instance,
        })
    }

    /// The target at an address that was given.
    pub fn of_service(endpoint: Endpoint, settings: &Settings, options: &Options) -> Result<Self, Refusal> {
        let instance = settings.instance_settings(options)?;
        let checked = check_port(&instance.check).map_or(endpoint, |port| with_port(endpoint, port));
        Ok(Self {
            endpoint,
            container_id: None,
            run: String::new(),
            health: health_source(checked, &instance),
            settings: instance,
        })
    }
}

fn check_port(check: &Check) -> Option<u16> {
    match check {
        Check::TcpPort(port) => Some(*port),
        Check::Http(http) => http.port,
        Check::None | Check::Tcp | Check::Engine => None,
    }
}

fn with_port(endpoint: Endpoint, port: u16) -> Endpoint {
    // The address was good before, and the port was parsed as one that is not zero.
    Endpoint::from_address((endpoint.addr().ip(), port).into()).unwrap_or(endpoint)
}

fn health_source(checked: Endpoint, settings: &InstanceSettings) -> HealthSource {
    let address = checked.addr();
    match &settings.check {
        Check::None | Check::Engine => HealthSource::Assumed,
        Check::Tcp | Check::TcpPort(_) => HealthSource::Probe(Probe::Tcp(address)),
        Check::Http(http) => HealthSource::Probe(Probe::Http {
            address,
            host: settings.check_host.clone(),
            path: http.path.clone(),
            good: settings.check_status.clone(),
        }),
    }
}
