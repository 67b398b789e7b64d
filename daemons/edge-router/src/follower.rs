//! From the events of the store to routes, and to words about them.

use std::collections::BTreeSet;
use std::time::Duration;

use convoy_keys::AppName;
use convoy_routing::{Effect, Routes, RoutesFile, Tier};
use convoy_service::message;
use convoy_store::{Change, FeedEvent};
use tokio::time::Instant;

use crate::imports::Imports;
use crate::saved::Saved;

/// Where the routes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// Nowhere yet.
    Nothing,
    /// A file, written at this Unix time.
    File(u64),
    /// The store.
    Store,
    /// A routes file that takes the store's place.
    Written,
}

/// The routes in step with the store, or on their own while it is away.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) routes: Routes,
    pub(crate) revision: i64,
    pub(crate) source: Source,
    /// Entries of the routes file that are of no use.
    pub(crate) refused: usize,
    pub(crate) imports: Imports,
    away: Option<(Instant, String)>,
}

impl Follower {
    pub(crate) fn new(imports: Imports) -> Self {
        Self { imports, routes: Routes::new(), revision: 0, source: Source::Nothing, refused: 0, away: None }
    }

    /// Starts from an earlier run's table.
    pub(crate) fn adopt(&mut self, saved: &Saved) {
        self.routes = saved.routes();
        for (key, text) in &saved.imported {
            self.imports.put(key, text.as_bytes());
        }
        self.follow_imports(saved.time);
        self.revision = saved.revision;
        self.source = Source::File(saved.time);
    }

    /// Since when the store is away, and its last error.
    pub(crate) fn away(&self) -> Option<(Duration, &str)> {
        self.away.as_ref().map(|(since, error)| (since.elapsed(), error.as_str()))
    }

    /// Takes an event. Gives the apps whose targets changed; a listing may change none and is the first one still.
    pub(crate) fn take(&mut self, event: &FeedEvent, now: u64) -> BTreeSet<AppName> {
        match event {
            FeedEvent::Listed(snapshot) => {
                for entry in snapshot.entries.values() {
                    self.imports.put(&entry.key, &entry.value);
                }
                self.imports.retain(|key| snapshot.entries.contains_key(key));
                let entries = snapshot.entries.values();
                let effects = self.routes.replace(
                    entries.map(|entry| {
                        (entry.key.as_str(), entry.value.as_slice(), entry.create_revision.get())
                    }),
                    now,
                );
                self.revision = snapshot.revision.get();
                self.source = Source::Store;
                self.back();
                let mut apps = Self::settle(effects);
                apps.extend(self.follow_imports(now));
                apps
            }
            FeedEvent::Changed { revision, changes } => {
                let effects = changes.iter().map(|change| self.change(change, now)).collect();
                self.revision = self.revision.max(revision.get());
                self.back();
                let mut apps = Self::settle(effects);
                apps.extend(self.follow_imports(now));
                apps
            }
            FeedEvent::Current { revision } => {
                self.revision = self.revision.max(revision.get());
                self.back();
                BTreeSet::new()
            }
            FeedEvent::Stale { error } => {
                self.leave(error);
                BTreeSet::new()
            }
        }
    }

    /// Takes a routes file. Entries that are of no use are told and left out; as long as there are some, nothing that
    /// was there before is taken away, since it may be what they were meant for.
    pub(crate) fn take_file(&mut self, file: RoutesFile, now: u64) -> BTreeSet<AppName> {
        let RoutesFile { documents, refused } = file;
        for entry in &refused {
            tracing::warn!(
                MESSAGE_ID = message::VALUE_SKIPPED,
                HOST = entry.host,
                error = %entry.error,
                "entry {} of the routes file is unusable and is skipped: {}",
                entry.number,
                entry.error
            );
        }
        self.refused = refused.len();
        self.revision += 1;
        self.source = Source::Written;
        if refused.is_empty() {
            self.routes.replace_documents(documents, now)
        } else {
            self.routes.add_documents(documents, now)
        }
    }

    fn change(&mut self, change: &Change, now: u64) -> Effect {
        match change {
            Change::Put(entry) if self.imports.wants(&entry.key) => {
                self.imports.put(&entry.key, &entry.value);
                Effect::None
            }
            Change::Delete { key, .. } if self.imports.wants(key) => {
                self.imports.delete(key);
                Effect::None
            }
            Change::Put(entry) => self.routes.put(&entry.key, &entry.value, entry.create_revision.get(), now),
            Change::Delete { key, .. } => self.routes.delete(key, now),
        }
    }

    fn follow_imports(&mut self, now: u64) -> BTreeSet<AppName> {
        match self.imports.documents() {
            Some(documents) => self.routes.replace_documents(documents, now),
            None => BTreeSet::new(),
        }
    }

    fn settle(effects: Vec<Effect>) -> BTreeSet<AppName> {
        let mut apps = BTreeSet::new();
        for effect in effects {
            match effect {
                Effect::None => {}
                Effect::Changed(app) => {
                    apps.insert(app);
                }
                Effect::Skipped { key, reason, first, changed } => {
                    if first {
                        tracing::warn!(
                            MESSAGE_ID = message::VALUE_SKIPPED,
                            KEY = key,
                            error = reason,
                            "the key {key} is unusable and is skipped: {reason}"
                        );
                    }
                    apps.extend(changed);
                }
            }
        }
        apps
    }

    /// Says what became of some apps. Many at once are summed up.
    pub(crate) fn tell(&self, apps: &BTreeSet<AppName>) {
        const IN_DETAIL: usize = 20;
        if apps.len() > IN_DETAIL {
            tracing::info!(
                MESSAGE_ID = message::ROUTES_CHANGED,
                SERVICES = self.routes.service_count(),
                TARGETS = self.routes.target_count(),
                REVISION = self.revision,
                "{} services have other targets",
                apps.len()
            );
            return;
        }
        for app in apps {
            let count = |tier| self.routes.target_count_of(app, tier);
            let (balancers, instances) = (count(Tier::LoadBalancer), count(Tier::Instance));
            let written = count(Tier::Static);
            let others = if written > 0 { format!(" and {written} written targets") } else { String::new() };
            tracing::info!(
                MESSAGE_ID = message::ROUTES_CHANGED,
                ROUTE = app.as_str(),
                LOAD_BALANCERS = balancers,
                INSTANCES = instances,
                REVISION = self.revision,
                "{app} has {balancers} load balancers and {instances} instances{others}"
            );
        }
    }

    fn leave(&mut self, error: &str) {
        if self.away.is_none() {
            tracing::warn!(
                MESSAGE_ID = message::STORE_UNREACHABLE,
                error,
                REVISION = self.revision,
                "the store can't be reached; requests are routed as before"
            );
        }
        let since = self.away.take().map_or_else(Instant::now, |(since, _)| since);
        self.away = Some((since, error.to_owned()));
    }

    fn back(&mut self) {
        if let Some((since, _)) = self.away.take() {
            tracing::info!(
                MESSAGE_ID = message::STORE_BACK,
                REVISION = self.revision,
                "the store answers again after {} s",
                since.elapsed().as_secs()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use convoy_store::{Entry, Revision, Snapshot};

    use super::*;

    fn entry(key: &str, value: &str, revision: i64) -> Entry {
        let revision = Revision::new(revision);
        Entry {
            key: key.to_owned(),
            value: value.as_bytes().to_vec(),
            create_revision: revision,
            mod_revision: revision,
            version: 1,
            lease: 0,
        }
    }

    fn names(apps: &BTreeSet<AppName>) -> Vec<&str> {
        apps.iter().map(AppName::as_str).collect()
    }

    #[test]
    fn events_become_routes() {
        let mut follower = Follower::new(Imports::default());
        let entries =
            BTreeMap::from([("/services/a/lb/1".to_owned(), entry("/services/a/lb/1", "10.0.0.1:80", 3))]);
        let listed = FeedEvent::Listed(Snapshot { revision: Revision::new(10), entries });
        assert_eq!(names(&follower.take(&listed, 0)), ["a"]);
        assert_eq!((follower.source, follower.revision), (Source::Store, 10));
        let changed = FeedEvent::Changed {
            revision: Revision::new(12),
            changes: vec![
                Change::Put(entry("/services/b/upstream/1", "10.0.0.2:80", 11)),
                Change::Put(entry("/services/c/upstream/1", "what?", 12)),
                Change::Delete { key: "/services/a/lb/1".to_owned(), mod_revision: Revision::new(12) },
            ],
        };
        assert_eq!(names(&follower.take(&changed, 0)), ["a", "b"]);
        assert_eq!((follower.routes.target_count(), follower.revision), (1, 12));
        assert!(follower.take(&FeedEvent::Current { revision: Revision::new(20) }, 0).is_empty());
        assert_eq!(follower.revision, 20);
    }

    #[test]
    fn an_entry_that_is_of_no_use_takes_nothing_away() {
        let file = |text: &str| RoutesFile::parse(text.as_bytes()).unwrap();
        let mut follower = Follower::new(Imports::default());
        let entry = |host: &str, target: &str| format!(r#"{{"host":"{host}","targets":["{target}"]}}"#);
        let (a, b) = (entry("a.example", "10.0.0.1:80"), entry("b.example", "10.0.0.2:80"));
        let changed = follower.take_file(file(&format!(r#"{{"routes":[{a},{b}]}}"#)), 0);
        assert_eq!(names(&changed), ["a.example", "b.example"]);
        let broken = entry("b.example", "nonsense");
        assert!(follower.take_file(file(&format!(r#"{{"routes":[{a},{broken}]}}"#)), 0).is_empty());
        assert_eq!((follower.refused, follower.routes.target_count()), (1, 2));
        assert_eq!(names(&follower.take_file(file(&format!(r#"{{"routes":[{a}]}}"#)), 0)), ["b.example"]);
        assert_eq!((follower.refused, follower.routes.target_count()), (0, 1));
    }

    #[test]
    fn a_store_that_is_away_changes_nothing_and_is_noticed_once() {
        let mut follower = Follower::new(Imports::default());
        follower.routes.put("/services/a/lb/1", b"10.0.0.1:80", 1, 0);
        let stale = |error: &str| FeedEvent::Stale { error: error.to_owned() };
        assert!(follower.take(&stale("first"), 0).is_empty());
        assert!(follower.take(&stale("second"), 0).is_empty());
        assert_eq!(follower.away().map(|(_, error)| error), Some("second"));
        assert_eq!(follower.routes.target_count(), 1);
        follower.take(&FeedEvent::Current { revision: Revision::new(1) }, 0);
        assert!(follower.away().is_none());
    }

    #[test]
    fn a_table_from_disk_is_replaced_by_the_first_listing_without_a_break() {
        let mut routes = Routes::new();
        routes.put("/services/a/lb/1", b"10.0.0.1:80", 3, 0);
        routes.put("/services/gone/lb/1", b"10.0.0.9:80", 4, 0);
        let mut follower = Follower::new(Imports::default());
        follower.adopt(&Saved::of(&routes, &Imports::default(), 8, 100));
        assert_eq!((follower.source, follower.revision), (Source::File(100), 8));
        let entries =
            BTreeMap::from([("/services/a/lb/1".to_owned(), entry("/services/a/lb/1", "10.0.0.1:80", 3))]);
        let listed = FeedEvent::Listed(Snapshot { revision: Revision::new(10), entries });
        assert_eq!(names(&follower.take(&listed, 0)), ["gone"], "what is the same is not touched");
    }
}
