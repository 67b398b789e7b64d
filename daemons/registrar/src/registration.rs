//! What is to be announced, given what is known. Pure: facts in, keys and a status line out.

use std::collections::BTreeMap;
use std::time::Duration;

use convoy_health::Health;
use convoy_keys::{InstanceRecord, InstanceState, RecordError, UnitInstance, instance_key};

use crate::standing::Holding;
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

#[cfg(test)]
mod tests {
    use convoy_keys::Endpoint;

    use super::*;
    use crate::options::{CHECK, Layer, Options, Source};
    use crate::settings::{Machine, Settings};

    const TTL: Duration = Duration::from_secs(30);

    fn registration() -> Registration {
        Registration::new(Identity {
            instance: UnitInstance::parse("someapp-1").unwrap(),
            machine_id: "4f2d".into(),
            invocation_id: "abc".into(),
        })
    }

    fn target(address: &str, check: &str) -> Target {
        let options = Options::new([Layer::new(
            Source::CommandLine,
            [("address", address.to_owned()), (CHECK.text, check.to_owned())],
        )]);
        let settings = Settings::resolve("someapp-1", &options, Machine::default()).unwrap();
        Target::of_service(Endpoint::parse(address).unwrap(), &settings, &options).unwrap()
    }

    fn keys(registration: &Registration) -> Vec<String> {
        let keys = registration.keys().unwrap();
        keys.iter().map(|(key, value)| format!("{key} {}", String::from_utf8_lossy(value))).collect()
    }

    fn record(state: &str, since: u64) -> String {
        format!(
            "/convoy/instances/someapp/1 {{\"state\":\"{state}\",\"weight\":100,\"machine_id\":\"4f2d\",\
             \"unit\":\"someapp@1.service\",\"invocation_id\":\"abc\",\"since\":{since}}}"
        )
    }

    #[test]
    fn the_record_tells_the_state_and_the_address_is_there_while_it_passes() {
        let listed = "/services/someapp/upstream/1 10.0.0.7:80".to_owned();
        let mut registration = registration();
        assert_eq!(keys(&registration), Vec::<String>::new(), "nothing is known, nothing is said");

        registration.set_target(Some(target("10.0.0.7:80", "tcp")), 5);
        assert_eq!(keys(&registration), [record("starting", 5)]);
        registration.set_health(Health::Passing, 7);
        assert_eq!(keys(&registration), [record("passing", 7), listed.clone()]);
        registration.set_health(Health::Passing, 8);
        assert_eq!(keys(&registration), [record("passing", 7), listed.clone()], "no news, no other bytes");
        registration.set_health(Health::Failing, 9);
        assert_eq!(keys(&registration), [record("failing", 9)]);
        registration.set_health(Health::Passing, 11);
        assert_eq!(keys(&registration), [record("passing", 11), listed]);

        registration.drain(12);
        assert_eq!(keys(&registration), [record("draining", 12)]);
        registration.set_target(None, 13);
        assert_eq!(keys(&registration), Vec::<String>::new());
    }

    #[test]
    fn another_address_has_to_prove_itself_again() {
        let mut registration = registration();
        registration.set_target(Some(target("10.0.0.7:80", "tcp")), 1);
        registration.set_health(Health::Passing, 2);
        registration.set_target(Some(target("10.0.0.7:80", "tcp")), 3);
        assert!(registration.is_offered(), "the same again is no news");
        registration.set_target(Some(target("10.0.0.7:81", "tcp")), 4);
        assert!(!registration.is_offered());
    }

    #[test]
    fn the_status_line_tells_the_story() {
        let mut registration = registration();
        let held = Holding::Held;
        let line = |registration: &Registration, holding: &Holding, obstacle, trouble| {
            status_line(registration, holding, obstacle, trouble, TTL)
        };
        assert_eq!(
            line(&registration, &held, Some("there is no container someapp-1"), None),
            "not listed: there is no container someapp-1"
        );
        registration.set_target(Some(target("10.0.0.7:80", "http:/healthz")), 1);
        assert_eq!(
            line(&registration, &held, None, Some("connection refused")),
            "not listed yet: 10.0.0.7:80 has to pass its check http:/healthz first: connection refused"
        );
        registration.set_health(Health::Failing, 2);
        assert_eq!(
            line(&registration, &held, None, Some("status 503")),
            "not listed: 10.0.0.7:80 fails its check http:/healthz: status 503"
        );
        registration.set_health(Health::Passing, 3);
        for (holding, trouble, told) in [
            (
                Holding::Held,
                None,
                "listed 10.0.0.7:80 as /services/someapp/upstream/1, lease 30 s, check http:/healthz ok 2 times in \
                 a row and since",
            ),
            (
                Holding::Held,
                Some("too late"),
                "listed 10.0.0.7:80 as /services/someapp/upstream/1, lease 30 s, check http:/healthz failed just \
                 now: too late",
            ),
            (Holding::Pending(None), None, "listing 10.0.0.7:80 as /services/someapp/upstream/1"),
            (
                Holding::Pending(Some("no leader".into())),
                None,
                "10.0.0.7:80 is well, but not listed yet: no leader",
            ),
            (
                Holding::AtRisk("no answer".into()),
                None,
                "listed 10.0.0.7:80 as /services/someapp/upstream/1, but the lease can't be renewed at the moment: \
                 no answer",
            ),
            (Holding::Lost("expired".into()), None, "10.0.0.7:80 is well, but its lease ran out: expired"),
            (
                Holding::Replaced("/services/someapp/upstream/1".into()),
                None,
                "not listed: /services/someapp/upstream/1 belongs to a newer owner; stop one of the two (see \
                 `journalctl -x`)",
            ),
        ] {
            assert_eq!(line(&registration, &holding, None, trouble), told);
        }
        registration.set_target(Some(target("10.0.0.7:80", "none")), 4);
        assert!(line(&registration, &held, None, None).ends_with("lease 30 s, not checked"));
    }
}
