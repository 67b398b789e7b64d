//! What the keys say, kept one key at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use convoy_keys::{AppName, Endpoint, InstanceName, KeyError, ServiceKey, lb_key, upstream_key};

use crate::{Service, Target, Tier};

/// So many refused keys are remembered as reported; more than that is an attack, and counting is enough.
const REPORTED_MAX: usize = 10_000;
/// So many apps without targets are remembered.
const EMPTY_MAX: usize = 1_000;

/// What one key did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Nothing to route differently, or a key that is not about routing.
    None,
    /// The targets of this app are others now.
    Changed(AppName),
    /// The key or its value is unusable. A target that the key had before is gone.
    Skipped {
        /// The key.
        key: String,
        /// Why, with what is expected instead.
        reason: String,
        /// Not reported before.
        first: bool,
        /// The app that lost a target by it.
        changed: Option<AppName>,
    },
}

#[derive(Debug)]
struct App {
    targets: BTreeMap<(Tier, InstanceName), Arc<Target>>,
    service: Arc<Service>,
    /// Unix time at which the last target left.
    empty_since: Option<u64>,
}

/// The targets of all apps, built from keys and values that are hostile until they parse.
///
/// An app whose last key leaves stays known for a while, so that its users are told «no targets» (503) and not
/// «no such host» (404).
#[derive(Debug, Default)]
pub struct Routes {
    apps: BTreeMap<AppName, App>,
    reported: BTreeSet<String>,
    skipped: u64,
    last_id: u64,
    names_version: u64,
}

impl Routes {
    /// No keys yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A key has this value now. `created` is the revision at which the key came into being: a key that was deleted
    /// and written again stands for another incarnation even when the address is the same. `now` is Unix time.
    pub fn put(&mut self, key: &str, value: &[u8], created: i64, now: u64) -> Effect {
        let (app, place) = match ServiceKey::parse(key) {
            Ok(parsed) => split(parsed),
            // Other keys may well live under /services/; they are none of our business.
            Err(KeyError::Layout(_)) => return Effect::None,
            Err(error @ KeyError::Name { .. }) => return self.skip(key, error.to_string(), None),
        };
        let endpoint = std::str::from_utf8(value)
            .map_err(|_| "the value is no UTF-8 text".to_owned())
            .and_then(|text| Endpoint::parse(text).map_err(|error| error.to_string()));
        let endpoint = match endpoint {
            Ok(endpoint) => endpoint,
            Err(reason) => {
                let changed = self.remove(&app, &place, now).then_some(app);
                return self.skip(key, reason, changed);
            }
        };
        self.reported.remove(key);
        if self.insert(&app, place, endpoint, created) { Effect::Changed(app) } else { Effect::None }
    }

    /// A key is gone.
    pub fn delete(&mut self, key: &str, now: u64) -> Effect {
        self.reported.remove(key);
        let Ok(parsed) = ServiceKey::parse(key) else { return Effect::None };
        let (app, place) = split(parsed);
        if self.remove(&app, &place, now) { Effect::Changed(app) } else { Effect::None }
    }

    /// These are all the keys there are: (key, value, revision of creation). Targets that are the same as before keep
    /// their identity. Gives only effects other than [`Effect::None`].
    pub fn replace<'a>(
        &mut self,
        entries: impl IntoIterator<Item = (&'a str, &'a [u8], i64)>,
        now: u64,
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        let mut listed = BTreeSet::new();
        for (key, value, created) in entries {
            if let Ok(parsed) = ServiceKey::parse(key) {
                listed.insert(split(parsed));
            }
            effects.push(self.put(key, value, created, now));
        }
        let gone: Vec<_> = self
            .apps
            .iter()
            .flat_map(|(name, app)| app.targets.keys().map(|place| (name.clone(), place.clone())))
            .filter(|target| !listed.contains(target))
            .collect();
        for (app, place) in gone {
            self.remove(&app, &place, now);
            effects.push(Effect::Changed(app));
        }
        effects.retain(|effect| *effect != Effect::None);
        effects
    }

    /// An app that has no targets but had some at this Unix time, as an earlier process knew it.
    pub fn remember_empty(&mut self, app: AppName, since: u64) {
        if self.apps.contains_key(&app) {
            return;
        }
        let service = Arc::new(Service::new(self.next_id(), self.next_id(), app.clone(), Vec::new()));
        self.apps.insert(app, App { targets: BTreeMap::new(), service, empty_since: Some(since) });
        self.names_version += 1;
        self.bound_empty();
    }

    /// Forgets apps that have been without targets since before this Unix time. Tells whether there were any.
    pub fn forget_empty(&mut self, before: u64) -> bool {
        let count = self.apps.len();
        self.apps.retain(|_, app| app.empty_since.is_none_or(|since| since >= before));
        let forgot = self.apps.len() != count;
        self.names_version += u64::from(forgot);
        forgot
    }

    /// Every target as it stands in the store: (key, address, revision of creation).
    pub fn entries(&self) -> impl Iterator<Item = (String, &str, i64)> {
        self.apps.iter().flat_map(|(name, app)| {
            app.targets.iter().map(|((tier, instance), target)| {
                let key = match tier {
                    Tier::LoadBalancer => lb_key(name, instance),
                    Tier::Instance => upstream_key(name, instance),
                };
                (key, target.address_text(), target.created())
            })
        })
    }

    /// Apps without targets, with the Unix time at which the last one left.
    pub fn empty_apps(&self) -> impl Iterator<Item = (&AppName, u64)> {
        self.apps.iter().filter_map(|(name, app)| app.empty_since.map(|since| (name, since)))
    }

    /// Apps that have targets.
    pub fn service_count(&self) -> usize {
        self.apps.values().filter(|app| app.empty_since.is_none()).count()
    }

    /// Targets of all apps.
    pub fn target_count(&self) -> usize {
        self.apps.values().map(|app| app.targets.len()).sum()
    }

    /// Targets of one app in one tier.
    pub fn target_count_of(&self, app: &AppName, tier: Tier) -> usize {
        let targets = self.apps.get(app).map(|app| &app.targets);
        targets.map_or(0, |targets| targets.keys().filter(|(found, _)| *found == tier).count())
    }

    /// Values skipped so far.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    pub(crate) fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.apps.values().map(|app| &app.service)
    }

    /// Changes whenever the set of app names does.
    pub(crate) fn names_version(&self) -> u64 {
        self.names_version
    }

    fn insert(
        &mut self,
        name: &AppName,
        place: (Tier, InstanceName),
        endpoint: Endpoint,
        created: i64,
    ) -> bool {
        let known = self.apps.get(name).and_then(|app| app.targets.get(&place));
        if known.is_some_and(|target| target.is(endpoint, created)) {
            return false;
        }
        let target = Arc::new(Target::new(self.next_id(), place.0, place.1.clone(), endpoint, created));
        let version = self.next_id();
        if let Some(app) = self.apps.get_mut(name) {
            app.targets.insert(place, target);
            app.empty_since = None;
            app.refresh(version);
        } else {
            let targets = BTreeMap::from([(place, target)]);
            let list = targets.values().cloned().collect();
            let service = Arc::new(Service::new(self.next_id(), version, name.clone(), list));
            self.apps.insert(name.clone(), App { targets, service, empty_since: None });
            self.names_version += 1;
        }
        true
    }

    fn remove(&mut self, name: &AppName, place: &(Tier, InstanceName), now: u64) -> bool {
        let version = self.next_id();
        let Some(app) = self.apps.get_mut(name) else { return false };
        if app.targets.remove(place).is_none() {
            return false;
        }
        app.refresh(version);
        if app.targets.is_empty() {
            app.empty_since = Some(now);
            self.bound_empty();
        }
        true
    }

    fn skip(&mut self, key: &str, reason: String, changed: Option<AppName>) -> Effect {
        self.skipped += 1;
        let first = self.reported.len() < REPORTED_MAX && self.reported.insert(key.to_owned());
        Effect::Skipped { key: key.to_owned(), reason, first, changed }
    }

    fn bound_empty(&mut self) {
        while self.empty_apps().count() > EMPTY_MAX {
            let oldest = self.empty_apps().min_by_key(|&(_, since)| since).map(|(name, _)| name.clone());
            let Some(oldest) = oldest else { return };
            self.apps.remove(&oldest);
            self.names_version += 1;
        }
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}

impl App {
    fn refresh(&mut self, version: u64) {
        self.service = Arc::new(self.service.with_targets(version, self.targets.values().cloned().collect()));
    }
}

fn split(key: ServiceKey) -> (AppName, (Tier, InstanceName)) {
    match key {
        ServiceKey::Upstream { app, instance } => (app, (Tier::Instance, instance)),
        ServiceKey::LoadBalancer { app, instance } => (app, (Tier::LoadBalancer, instance)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(name: &str) -> AppName {
        AppName::parse(name).unwrap()
    }

    #[test]
    fn a_key_adds_a_target_and_its_removal_takes_it_away() {
        let mut routes = Routes::new();
        assert_eq!(routes.put("/services/a/upstream/1", b"10.0.0.1:80", 5, 0), Effect::Changed(app("a")));
        assert_eq!(routes.put("/services/a/upstream/1", b"10.0.0.1:80", 5, 0), Effect::None, "nothing new");
        assert_eq!((routes.service_count(), routes.target_count()), (1, 1));
        assert_eq!(routes.delete("/services/a/upstream/1", 7), Effect::Changed(app("a")));
        assert_eq!((routes.service_count(), routes.target_count()), (0, 0));
        assert_eq!(routes.empty_apps().collect::<Vec<_>>(), [(&app("a"), 7)]);
        assert_eq!(routes.delete("/services/a/upstream/1", 8), Effect::None);
    }

    #[test]
    fn a_key_written_anew_is_another_incarnation() {
        let mut routes = Routes::new();
        routes.put("/services/a/lb/1", b"10.0.0.1:80", 5, 0);
        let first = routes.services().next().unwrap().targets()[0].id();
        assert_eq!(routes.put("/services/a/lb/1", b"10.0.0.1:80", 9, 0), Effect::Changed(app("a")));
        assert_ne!(routes.services().next().unwrap().targets()[0].id(), first);
    }

    #[test]
    fn what_does_not_parse_is_skipped_reported_once_and_takes_its_target_along() {
        let mut routes = Routes::new();
        routes.put("/services/a/upstream/1", b"10.0.0.1:80", 1, 0);
        for (expected_first, expected_change) in [(true, Some(app("a"))), (false, None)] {
            let effect = routes.put("/services/a/upstream/1", b"; rm -rf /", 1, 0);
            let Effect::Skipped { first, changed, reason, .. } = effect else { panic!("{effect:?}") };
            assert_eq!((first, changed), (expected_first, expected_change));
            assert!(reason.contains("ip:port"), "{reason}");
        }
        assert_eq!(routes.skipped(), 2);
        assert!(matches!(
            routes.put("/services/a b/upstream/1", b"10.0.0.1:80", 1, 0),
            Effect::Skipped { .. }
        ));
        assert!(matches!(routes.put("/services/b/lb/1", b"\xff\xfe", 1, 0), Effect::Skipped { .. }));
        // Repaired and broken again is news again.
        routes.put("/services/a/upstream/1", b"10.0.0.1:80", 1, 0);
        let effect = routes.put("/services/a/upstream/1", b"nonsense", 1, 0);
        assert!(matches!(effect, Effect::Skipped { first: true, .. }));
    }

    #[test]
    fn keys_of_other_layouts_are_left_alone() {
        let mut routes = Routes::new();
        for key in ["/services/apache/10.0.0.1", "/services/a/config/x", "/services/", "/other"] {
            assert_eq!(routes.put(key, b"10.0.0.1:80", 1, 0), Effect::None, "{key}");
        }
        assert_eq!(routes.skipped(), 0);
    }

    #[test]
    fn a_listing_replaces_everything_and_keeps_what_is_the_same() {
        let mut routes = Routes::new();
        routes.put("/services/a/lb/1", b"10.0.0.1:80", 1, 0);
        routes.put("/services/b/lb/1", b"10.0.0.2:80", 2, 0);
        let kept = routes.services().next().unwrap().clone();
        let listing: [(&str, &[u8], i64); 3] = [
            ("/services/a/lb/1", b"10.0.0.1:80", 1),
            ("/services/c/lb/1", b"10.0.0.3:80", 3),
            ("/services/c/lb/2", b"bad", 3),
        ];
        let effects = routes.replace(listing, 9);
        assert_eq!(effects.len(), 3, "c added, c skipped, b gone: {effects:?}");
        assert!(Arc::ptr_eq(&kept, routes.services().next().unwrap()));
        assert_eq!(routes.empty_apps().collect::<Vec<_>>(), [(&app("b"), 9)]);
    }

    #[test]
    fn empty_apps_are_forgotten_in_time_and_bounded_in_number() {
        let mut routes = Routes::new();
        for index in 0..EMPTY_MAX + 10 {
            routes.remember_empty(app(&format!("a{index}")), index as u64);
        }
        assert_eq!(routes.empty_apps().count(), EMPTY_MAX);
        assert!(routes.forget_empty(1_000));
        assert_eq!(routes.empty_apps().count(), 10);
        assert!(!routes.forget_empty(1_000));
    }
}
