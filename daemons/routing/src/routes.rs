//! What the keys say, kept one key at a time.

mod app;
mod place;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use convoy_keys::{AppName, Endpoint, InstanceName, InstanceRecord, InstanceState, instance_key};

use crate::shared::Shared;
use crate::{Document, NumberedRule, Service, Target, Tier};
use app::{App, Origin, Share};
use place::{Place, PlaceError};

/// So many refused keys are remembered as reported; more than that is an attack, and counting is enough.
const REPORTED_MAX: usize = 10_000;
/// So many apps without targets are remembered.
const EMPTY_MAX: usize = 1_000;

/// What one key did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Nothing to route differently, or a key that is not about routing.
    None,
    /// The targets or the rules of this app are others now.
    Changed(AppName),
    /// The key or its value is unusable. A target that the key had before is gone; a document that it had before is
    /// followed still.
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

/// What a key of `/convoy/instances/` says, with its text and the revision of its creation.
#[derive(Debug)]
struct Known {
    share: Share,
    text: Box<str>,
    created: i64,
}

/// The targets and rules of all apps, built from keys and values that are hostile until they parse.
///
/// An app whose last key leaves stays known for a while, so that its users are told «no targets» (503) and not
/// «no such host» (404).
#[derive(Debug, Default)]
pub struct Routes {
    /// Boxed, since the nodes of such a map are half empty.
    apps: BTreeMap<AppName, Box<App>>,
    records: BTreeMap<(AppName, InstanceName), Known>,
    /// Refused keys, and why.
    reported: BTreeMap<String, String>,
    skipped: u64,
    last_id: u64,
    names_version: u64,
    shared: Shared,
}

impl Routes {
    /// No keys yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A key has this value now. `created` is the revision at which the key came into being: a key that was deleted
    /// and written again stands for another incarnation even when the address is the same. `now` is Unix time.
    pub fn put(&mut self, key: &str, value: &[u8], created: i64, now: u64) -> Effect {
        let place = match Place::parse(key) {
            Ok(place) => place,
            // Other keys may well live under /services/; they are none of our business.
            Err(PlaceError::Other) => return Effect::None,
            Err(PlaceError::Name(error)) => return self.skip(key, error, None),
        };
        match place {
            Place::Target { app, tier, instance } => {
                let place = (tier, instance);
                let endpoint = std::str::from_utf8(value)
                    .map_err(|_| "the value is no UTF-8 text".to_owned())
                    .and_then(|text| Endpoint::parse(text).map_err(|error| error.to_string()));
                match endpoint {
                    Ok(endpoint) => {
                        self.reported.remove(key);
                        effect(self.insert(&app, place, endpoint, created, now), app)
                    }
                    Err(reason) => {
                        let changed = self.remove(&app, &place, now).then_some(app);
                        self.skip(key, reason, changed)
                    }
                }
            }
            Place::Instance { app, instance } => self.put_record(key, app, instance, value, created, now),
            Place::Document { app } => match Document::parse_with(value, &mut self.shared) {
                Ok(document) => {
                    self.reported.remove(key);
                    let origin = Origin { text: String::from_utf8_lossy(value).into(), created };
                    effect(self.set_document(&app, document, Some(origin), now), app)
                }
                Err(error) => self.skip(key, error.to_string(), None),
            },
        }
    }

    /// A key is gone.
    pub fn delete(&mut self, key: &str, now: u64) -> Effect {
        self.reported.remove(key);
        match Place::parse(key) {
            Ok(Place::Target { app, tier, instance }) => {
                effect(self.remove(&app, &(tier, instance), now), app)
            }
            Ok(Place::Instance { app, instance }) => {
                let known = self.records.remove(&(app.clone(), instance)).is_some();
                effect(known && self.refresh(&app, now), app)
            }
            Ok(Place::Document { app }) => effect(self.remove_document(&app, now), app),
            Err(_) => Effect::None,
        }
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
            if let Ok(place) = Place::parse(key) {
                listed.insert(place);
            }
            effects.push(self.put(key, value, created, now));
        }
        let gone: Vec<_> = self.places().filter(|place| !listed.contains(place)).collect();
        for place in gone {
            effects.push(self.delete(&place.key(), now));
        }
        effects.retain(|effect| *effect != Effect::None);
        effects
    }

    /// These are all the documents there are, beside those under `/convoy/routes/`: what a routes file has, or what was
    /// imported. Gives the apps that changed.
    pub fn replace_documents(
        &mut self,
        documents: BTreeMap<AppName, Document>,
        now: u64,
    ) -> BTreeSet<AppName> {
        let mut changed = BTreeSet::new();
        let gone: Vec<_> = self
            .apps
            .iter()
            .filter(|(name, app)| app.is_from_elsewhere() && !documents.contains_key(*name))
            .map(|(name, _)| name.clone())
            .collect();
        for app in gone {
            if self.remove_document(&app, now) {
                changed.insert(app);
            }
        }
        changed.extend(self.add_documents(documents, now));
        changed
    }

    /// Documents beside those that are known, in place of those that the same apps had from elsewhere. Gives the apps that
    /// changed.
    pub fn add_documents(&mut self, documents: BTreeMap<AppName, Document>, now: u64) -> BTreeSet<AppName> {
        let mut changed = BTreeSet::new();
        for (app, document) in documents {
            // What the app's own key says comes first.
            let is_own =
                self.apps.get(&app).is_some_and(|app| app.has_document() && !app.is_from_elsewhere());
            if !is_own && self.set_document(&app, document, None, now) {
                changed.insert(app);
            }
        }
        changed
    }

    /// An app that has no targets but had some at this Unix time, as an earlier process knew it.
    pub fn remember_empty(&mut self, app: AppName, since: u64) {
        if self.apps.contains_key(&app) {
            return;
        }
        let known = App::new(app.clone(), self.next_id(), self.next_id(), self.next_id(), since);
        self.apps.insert(app, Box::new(known));
        self.names_version += 1;
        self.bound_empty();
    }

    /// Forgets apps that have been without targets since before this Unix time. Tells whether there were any.
    pub fn forget_empty(&mut self, before: u64) -> bool {
        let count = self.apps.len();
        self.apps
            .retain(|_, app| app.has_document() || app.empty_since().is_none_or(|since| since >= before));
        let forgot = self.apps.len() != count;
        self.names_version += u64::from(forgot);
        forgot
    }

    /// Everything as it stands in the store: (key, value, revision of creation).
    pub fn entries(&self) -> impl Iterator<Item = (String, &str, i64)> {
        let records = self
            .records
            .iter()
            .map(|((app, instance), known)| (instance_key(app, instance), &*known.text, known.created));
        self.apps.iter().flat_map(|(name, app)| app.entries(name)).chain(records)
    }

    /// Apps without targets, with the Unix time at which the last one left.
    pub fn empty_apps(&self) -> impl Iterator<Item = (&AppName, u64)> {
        let empty = self.apps.iter().filter(|(_, app)| !app.has_document());
        empty.filter_map(|(name, app)| app.empty_since().map(|since| (name, since)))
    }

    /// Apps that have targets.
    pub fn service_count(&self) -> usize {
        self.apps.values().filter(|app| app.empty_since().is_none()).count()
    }

    /// Targets of all apps.
    pub fn target_count(&self) -> usize {
        self.apps.values().map(|app| app.targets().len()).sum()
    }

    /// Targets of one app in one tier.
    pub fn target_count_of(&self, app: &AppName, tier: Tier) -> usize {
        let targets = self.apps.get(app).map_or(&[][..], |app| app.targets());
        targets.iter().filter(|target| target.tier() == tier).count()
    }

    /// Values skipped so far.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Keys that are unusable now, and why.
    pub fn unusable(&self) -> impl Iterator<Item = (&str, &str)> {
        self.reported.iter().map(|(key, reason)| (key.as_str(), reason.as_str()))
    }

    pub(crate) fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.apps.values().map(|app| &app.service)
    }

    /// The rules of each service, in the order of [`Self::services`].
    pub(crate) fn rules(&self) -> impl Iterator<Item = &Arc<[Arc<NumberedRule>]>> {
        self.apps.values().map(|app| &app.rules)
    }

    /// Changes whenever the index of hosts has to.
    pub(crate) fn names_version(&self) -> u64 {
        self.names_version
    }

    fn put_record(
        &mut self,
        key: &str,
        app: AppName,
        instance: InstanceName,
        value: &[u8],
        created: i64,
        now: u64,
    ) -> Effect {
        let record = match InstanceRecord::parse(value) {
            Ok(record) => record,
            Err(error) => return self.skip(key, error.to_string(), None),
        };
        self.reported.remove(key);
        let share = Share { weight: record.weight, draining: record.state == InstanceState::Draining };
        let text = String::from_utf8_lossy(value).into();
        let former = self.records.insert((app.clone(), instance), Known { share, text, created });
        let same = former.map_or_else(Share::default, |known| known.share) == share;
        effect(!same && self.refresh(&app, now), app)
    }

    fn insert(
        &mut self,
        name: &AppName,
        (tier, instance): (Tier, InstanceName),
        endpoint: Endpoint,
        created: i64,
        now: u64,
    ) -> bool {
        let known = self.apps.get(name).and_then(|app| app.target(tier, &instance));
        if known.is_some_and(|target| target.is(endpoint, created)) {
            return false;
        }
        let target = Arc::new(Target::new(self.next_id(), tier, instance, endpoint, created));
        self.app(name, now).put_target(target);
        self.refresh(name, now);
        true
    }

    fn remove(&mut self, name: &AppName, (tier, instance): &(Tier, InstanceName), now: u64) -> bool {
        let Some(app) = self.apps.get_mut(name) else { return false };
        if !app.remove_target(*tier, instance) {
            return false;
        }
        self.refresh(name, now);
        self.bound_empty();
        true
    }

    /// `origin` is the key that it comes from.
    fn set_document(&mut self, name: &AppName, document: Document, origin: Option<Origin>, now: u64) -> bool {
        if self.apps.get(name).is_some_and(|app| app.follows(&document)) {
            return false;
        }
        let mut last_id = self.last_id;
        let app = self.app(name, now);
        last_id += 1;
        app.follow(document, origin, || {
            last_id += 1;
            last_id
        });
        self.last_id = self.last_id.max(last_id);
        self.names_version += 1;
        self.refresh(name, now);
        true
    }

    fn remove_document(&mut self, name: &AppName, now: u64) -> bool {
        let id = self.next_id();
        let Some(app) = self.apps.get_mut(name) else { return false };
        if !app.has_document() {
            return false;
        }
        app.forget_document(id);
        self.names_version += 1;
        // Who has been without targets all along was known by the document alone.
        if app.targets().is_empty() {
            self.apps.remove(name);
        } else {
            self.refresh(name, now);
        }
        true
    }

    /// The app, made when it isn't there.
    fn app(&mut self, name: &AppName, now: u64) -> &mut App {
        let (id, version, rule) = (self.next_id(), self.next_id(), self.next_id());
        let names_version = &mut self.names_version;
        self.apps.entry(name.clone()).or_insert_with(|| {
            *names_version += 1;
            Box::new(App::new(name.clone(), id, version, rule, now))
        })
    }

    /// Makes the service anew from what is known. Tells whether there is such an app.
    fn refresh(&mut self, name: &AppName, now: u64) -> bool {
        let version = self.next_id();
        let Some(app) = self.apps.get_mut(name) else { return false };
        let records = &self.records;
        app.refresh(version, now, |instance| {
            // Looking up by parts would need a borrowed pair; a change is rare enough for a copy.
            records.get(&(name.clone(), instance.clone())).map(|known| known.share)
        });
        true
    }

    fn skip(&mut self, key: &str, reason: String, changed: Option<AppName>) -> Effect {
        self.skipped += 1;
        let known = self.reported.contains_key(key);
        let first = !known && self.reported.len() < REPORTED_MAX;
        if known || first {
            self.reported.insert(key.to_owned(), reason.clone());
        }
        Effect::Skipped { key: key.to_owned(), reason, first, changed }
    }

    fn places(&self) -> impl Iterator<Item = Place> {
        let records = self.records.keys();
        let records =
            records.map(|(app, instance)| Place::Instance { app: app.clone(), instance: instance.clone() });
        self.apps.iter().flat_map(|(name, app)| app.places(name)).chain(records)
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

fn effect(changed: bool, app: AppName) -> Effect {
    if changed { Effect::Changed(app) } else { Effect::None }
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
        let first = routes.services().next().unwrap().slots()[0].target.id();
        assert_eq!(routes.put("/services/a/lb/1", b"10.0.0.1:80", 9, 0), Effect::Changed(app("a")));
        assert_ne!(routes.services().next().unwrap().slots()[0].target.id(), first);
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
