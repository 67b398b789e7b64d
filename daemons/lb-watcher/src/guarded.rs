//! The keys as they are served: what is there, and upstreams that are held back although they are gone.

use std::collections::BTreeMap;

use convoy_keys::{AppName, InstanceName, InstanceRecord, InstanceState, ServiceKey, upstream_key};
use convoy_lb_config::{Guard, GuardLimits};
use convoy_service::message;
use convoy_store::{Change, FeedEvent, Mirror, Revision};
use tokio::time::Instant;

use crate::record::Good;

/// Where owners say how their instances do.
const INSTANCES: &str = "/convoy/instances/";

/// Keys and values of upstreams, by app.
pub(crate) type Upstreams = BTreeMap<AppName, BTreeMap<String, Vec<u8>>>;

/// The state of the store, seen through a guard for each service.
#[derive(Debug)]
pub(crate) struct GuardedKeys {
    limits: GuardLimits,
    mirror: Mirror,
    guards: BTreeMap<AppName, Guard>,
    /// The revision of the last change; progress alone doesn't count.
    revision: Revision,
}

/// What an event brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    /// A key came, went or changed.
    pub(crate) changed: bool,
    /// An owner let go of an instance, or took it up.
    pub(crate) said: bool,
}

impl GuardedKeys {
    /// `served` are upstreams that were served before, by app.
    pub(crate) fn new(limits: GuardLimits, served: Upstreams) -> Self {
        let guards = served.into_iter().map(|(app, served)| (app, Guard::new(limits, served))).collect();
        Self { limits, mirror: Mirror::new(), guards, revision: Revision::default() }
    }

    /// Takes in news from the store.
    pub(crate) fn apply(&mut self, event: &FeedEvent) -> Heard {
        let mut heard = Heard { changed: false, said: false };
        match event {
            FeedEvent::Listed(snapshot) => {
                let first = !self.mirror.has_listed();
                let changed = self.mirror.apply(event);
                for (key, entry) in self.mirror.range(INSTANCES) {
                    heard.said |= tell(&mut self.guards, self.limits, key, &entry.value);
                }
                // A listing without a change is no reason to write anything.
                heard.changed = first || changed;
                if heard.changed {
                    self.revision = snapshot.revision;
                }
            }
            FeedEvent::Changed { changes, .. } => {
                self.mirror.apply(event);
                for change in changes {
                    heard.changed = true;
                    self.revision = self.revision.max(change.mod_revision());
                    if let Change::Put(entry) = change {
                        heard.said |= tell(&mut self.guards, self.limits, &entry.key, &entry.value);
                    }
                }
            }
            FeedEvent::Stale { .. } | FeedEvent::Current { .. } => {
                self.mirror.apply(event);
            }
        }
        heard
    }

    /// What is served now.
    pub(crate) fn view(&mut self, now: Instant) -> BTreeMap<String, Vec<u8>> {
        let mut view = BTreeMap::new();
        let mut upstreams: BTreeMap<AppName, BTreeMap<String, Vec<u8>>> =
            self.guards.keys().map(|app| (app.clone(), BTreeMap::new())).collect();
        for (key, entry) in &self.mirror {
            match ServiceKey::parse(key) {
                Ok(ServiceKey::Upstream { app, .. }) => {
                    upstreams.entry(app).or_default().insert(key.clone(), entry.value.clone());
                }
                _ => drop(view.insert(key.clone(), entry.value.clone())),
            }
        }
        for (app, there) in upstreams {
            let guard = self.guards.entry(app).or_insert_with(|| Guard::new(self.limits, BTreeMap::new()));
            view.extend(guard.judge(there, now.into_std()));
        }
        view
    }

    /// The upstreams that are served, by app.
    pub(crate) fn upstreams(&self) -> Upstreams {
        self.guards.iter().map(|(app, guard)| (app.clone(), guard.served().clone())).collect()
    }

    /// Keys that are served although they are gone.
    pub(crate) fn held(&self) -> Vec<&str> {
        self.guards.values().flat_map(Guard::held).collect()
    }

    /// When something that is held back is given up.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.guards.values().filter_map(Guard::due).min().map(Instant::from_std)
    }

    /// Whether the store has ever been read.
    pub(crate) fn has_listed(&self) -> bool {
        self.mirror.has_listed()
    }

    /// The revision of the last change.
    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }
}

/// The upstreams that were served before this process began, by app.
pub(crate) fn served_before(app: &AppName, good: Option<&Good>) -> Upstreams {
    let upstreams = good.map(Good::upstreams).unwrap_or_default();
    let keys = upstreams
        .into_iter()
        .map(|upstream| (upstream_key(app, &upstream.name), upstream.address.to_string().into_bytes()));
    BTreeMap::from([(app.clone(), keys.collect())])
}

/// Says once what is held back.
#[derive(Debug, Default)]
pub(crate) struct HeldLog(Vec<String>);

impl HeldLog {
    /// Takes what is held back now; says what is new, and gives its number.
    pub(crate) fn update(&mut self, keys: &GuardedKeys) -> usize {
        let held: Vec<String> = keys.held().into_iter().map(str::to_owned).collect();
        if held.iter().any(|key| !self.0.contains(key)) {
            tracing::warn!(
                MESSAGE_ID = message::REMOVAL_HELD,
                keys = held.join(" "),
                grace_ms = i64::try_from(keys.limits.grace.as_millis()).unwrap_or(i64::MAX),
                "too many upstreams vanished at once without a word of their owners; they are served for a while: {}",
                held.join(" ")
            );
        }
        self.0 = held;
        self.0.len()
    }
}

/// An owner speaks; true if it is an owner of ours.
fn tell(guards: &mut BTreeMap<AppName, Guard>, limits: GuardLimits, key: &str, value: &[u8]) -> bool {
    let Some((app, instance)) = key.strip_prefix(INSTANCES).and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let (Ok(app), Ok(instance)) = (AppName::parse(app), InstanceName::parse(instance)) else { return false };
    let Ok(record) = InstanceRecord::parse(value) else { return false };
    let upstream = upstream_key(&app, &instance);
    let guard = guards.entry(app).or_insert_with(|| Guard::new(limits, BTreeMap::new()));
    guard.owner_says(&upstream, record.state == InstanceState::Passing);
    true
}

#[cfg(test)]
mod tests {
    use convoy_store::{Entry, Snapshot};

    use super::*;

    fn entry(key: &str, value: &str, revision: i64) -> Entry {
        let revision = Revision::new(revision);
        Entry {
            key: key.to_owned(),
            value: value.into(),
            create_revision: revision,
            mod_revision: revision,
            version: 1,
            lease: 1,
        }
    }

    fn listed(entries: &[(&str, &str)]) -> FeedEvent {
        let entries = entries.iter().map(|(key, value)| ((*key).to_owned(), entry(key, value, 1)));
        FeedEvent::Listed(Snapshot { revision: Revision::new(5), entries: entries.collect() })
    }

    fn changed(change: Change) -> FeedEvent {
        FeedEvent::Changed { revision: change.mod_revision(), changes: vec![change] }
    }

    fn deleted(key: &str, revision: i64) -> FeedEvent {
        changed(Change::Delete { key: key.to_owned(), mod_revision: Revision::new(revision) })
    }

    fn draining(revision: i64) -> FeedEvent {
        let value = r#"{"state":"draining","machine_id":"m","unit":"a@1.service","since":1}"#;
        changed(Change::Put(entry("/convoy/instances/a/1", value, revision)))
    }

    const ONE: &str = "/services/a/upstream/1";

    #[tokio::test(start_paused = true)]
    async fn the_last_upstream_is_held_until_its_owner_is_heard() {
        let mut keys = GuardedKeys::new(GuardLimits::default(), BTreeMap::new());
        let heard = keys.apply(&listed(&[(ONE, "10.0.0.1:80"), ("/services/a/title", "x")]));
        assert_eq!((heard.changed, keys.revision().get()), (true, 5));
        assert_eq!(keys.view(Instant::now()).len(), 2);
        assert!(keys.apply(&deleted(ONE, 7)).changed);
        assert!(keys.view(Instant::now()).contains_key(ONE));
        assert_eq!(keys.held(), [ONE]);
        let heard = keys.apply(&draining(8));
        assert_eq!((heard, keys.revision().get()), (Heard { changed: true, said: true }, 8));
        assert!(!keys.view(Instant::now()).contains_key(ONE));
        assert_eq!(keys.due(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_served_before_a_restart_is_not_dropped_by_an_empty_store() {
        let app = AppName::parse("a").unwrap();
        let served = BTreeMap::from([(ONE.to_owned(), b"10.0.0.1:80".to_vec())]);
        let mut keys = GuardedKeys::new(GuardLimits::default(), BTreeMap::from([(app, served)]));
        keys.apply(&listed(&[]));
        assert!(keys.view(Instant::now()).contains_key(ONE));
        let due = keys.due().unwrap();
        assert_eq!(due - Instant::now(), keys.limits.grace);
        assert!(keys.view(due).is_empty());
    }
}
