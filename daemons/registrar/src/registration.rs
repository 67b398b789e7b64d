//! What is to be announced, given what is known. Pure: facts in, keys and a status line out.

use std::collections::BTreeMap;
use std::time::Duration;

use convoy_health::Health;
use convoy_keys::{InstanceRecord, InstanceState, RecordError, UnitInstance, instance_key};

use crate::target::Target;

/// Who announces.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The instance.
    pub instance: UnitInstance,
    /// `/etc/machine-id`, or nothing where there is none.
    pub machine_id: String,
    /// systemd's invocation of this registrar, or nothing outside of systemd.
    pub invocation_id: String,
}

/// What is known of the instance.
#[derive(Debug, Clone)]
pub struct Registration {
    identity: Identity,
    target: Option<Target>,
    health: Health,
    draining: bool,
    since: u64,
}

impl Registration {
    /// Nothing is known yet.
    pub fn new(identity: Identity) -> Self {
        Self { identity, target: None, health: Health::Starting, draining: false, since: 0 }
    }

    /// The instance is there, or it is not. `now` is in seconds since the epoch.
    pub fn set_target(&mut self, target: Option<Target>, now: u64) {
        let run =
            |target: &Option<Target>| target.as_ref().map(|target| (target.endpoint, target.run.clone()));
        if run(&self.target) != run(&target) {
            self.health = Health::Starting;
            self.since = now;
        }
        self.target = target;
    }

    /// Its health is this.
    pub fn set_health(&mut self, health: Health, now: u64) {
        if self.health != health {
            self.health = health;
            self.since = now;
        }
    }

    /// It is about to stop.
    pub fn drain(&mut self, now: u64) {
        self.draining = true;
        self.since = now;
    }

    /// The target, while there is one.
    pub fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    /// Its health.
    pub fn health(&self) -> Health {
        self.health
    }

    /// Whether it should get requests.
    pub fn is_offered(&self) -> bool {
        self.target.is_some() && self.health == Health::Passing && !self.draining
    }

    /// The state in its record.
    pub fn state(&self) -> InstanceState {
        match self.health {
            _ if self.draining => InstanceState::Draining,
            Health::Starting => InstanceState::Starting,
            Health::Passing => InstanceState::Passing,
            Health::Failing => InstanceState::Failing,
        }
    }

    /// The keys that the store should hold: the record while there is an instance, and its address while it
    /// should get requests.
    pub fn keys(&self) -> Result<BTreeMap<String, Vec<u8>>, RecordError> {
        let Some(target) = &self.target else { return Ok(BTreeMap::new()) };
        let UnitInstance { app, instance } = &self.identity.instance;
        let record = InstanceRecord {
            state: self.state(),
            weight: target.settings.weight,
            machine_id: self.identity.machine_id.clone(),
            unit: self.identity.instance.app_unit(),
            invocation_id: self.identity.invocation_id.clone(),
            container_id: target.container_id.clone(),
            since: self.since,
        };
        let mut keys = BTreeMap::from([(instance_key(app, instance), record.to_json()?)]);
        if self.is_offered() {
            let address = target.endpoint.to_string().into_bytes();
            keys.extend(target.settings.keys.iter().map(|key| (key.clone(), address.clone())));
        }
        Ok(keys)
    }
}

/// How the store stands to what was declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holding {
    /// It is not there yet.
    Pending(Option<String>),
    /// It is there.
    Held,
    /// It is there, but can't be renewed at the moment.
    AtRisk(String),
    /// It has to be taken for gone.
    Lost(String),
    /// Another owner has this key.
    Replaced(String),
}

/// The line that `systemctl status` shows. `obstacle` is why there is no target, `trouble` what the last failed
/// check said.
pub fn status_line(
    registration: &Registration,
    holding: &Holding,
    obstacle: Option<&str>,
    trouble: Option<&str>,
    ttl: Duration,
) -> String {
    let Some(target) = &registration.target else {
        return format!("not listed: {}", obstacle.unwrap_or("nothing is known of the instance yet"));
    };
    let (endpoint, check) = (target.endpoint, &target.settings.check);
    let because = trouble.map(|trouble| format!(": {trouble}")).unwrap_or_default();
    match registration.health {
        Health::Starting => {
            return format!("not listed yet: {endpoint} has to pass its check {check} first{because}");
        }
        Health::Failing => return format!("not listed: {endpoint} fails its check {check}{because}"),
        Health::Passing => {}
    }
    let keys = target.settings.keys.join(", ");
    let lease = format!("lease {} s", ttl.as_secs());
    let rise = target.settings.rules.rise();
    let checks = match check {
        convoy_health::Check::None => "not checked".to_owned(),
        convoy_health::Check::Engine => "the engine says healthy".to_owned(),
        _ if trouble.is_some() => format!("check {check} failed just now{because}"),
        _ => format!("check {check} ok {rise} times in a row and since"),
    };
    match holding {
        Holding::Pending(None) => format!("listing {endpoint} as {keys}"),
        Holding::Pending(Some(error)) => format!("{endpoint} is well, but not listed yet: {error}"),
        Holding::Held => format!("listed {endpoint} as {keys}, {lease}, {checks}"),
        Holding::AtRisk(error) => {
            format!("listed {endpoint} as {keys}, but the lease can't be renewed at the moment: {error}")
        }
        Holding::Lost(error) => format!("{endpoint} is well, but its lease ran out: {error}"),
        Holding::Replaced(key) => {
            format!("not listed: {key} belongs to a newer owner; stop one of the two (see `journalctl -x`)")
        }
    }
}
