//! What is known of one app.

use std::collections::BTreeMap;
use std::sync::Arc;

use convoy_keys::{AppName, InstanceName, lb_key, routes_key, upstream_key};

use super::place::Place;
use crate::{Document, NumberedRule, Policy, Rule, Service, Slot, Target, Tier};

/// What an instance's own record says about its part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) weight: u16,
    pub(super) draining: bool,
}

impl Default for Share {
    fn default() -> Self {
        Self { weight: 100, draining: false }
    }
}

/// A document with the text and the revision of creation of its key; one from a file has none.
#[derive(Debug)]
struct Followed {
    document: Document,
    origin: Option<(String, i64)>,
}

#[derive(Debug)]
pub(super) struct App {
    pub(super) targets: BTreeMap<(Tier, InstanceName), Arc<Target>>,
    pub(super) rules: Arc<[Arc<NumberedRule>]>,
    pub(super) service: Arc<Service>,
    /// Unix time at which the last target left, or at which there was none yet.
    pub(super) empty_since: Option<u64>,
    followed: Option<Followed>,
    policy: Arc<Policy>,
}

impl App {
    pub(super) fn new(name: AppName, id: u64, version: u64, rule: u64, now: u64) -> Self {
        let policy = Arc::new(Policy::default());
        let service = Arc::new(Service::new(id, version, name, Vec::new(), Arc::clone(&policy), Some(now)));
        let rules = [Arc::new(NumberedRule { id: rule, rule: Rule::plain() })].into();
        Self { targets: BTreeMap::new(), rules, service, empty_since: Some(now), followed: None, policy }
    }

    pub(super) fn has_document(&self) -> bool {
        self.followed.is_some()
    }

    /// Whether the document is from a file, or imported.
    pub(super) fn is_from_elsewhere(&self) -> bool {
        self.followed.as_ref().is_some_and(|followed| followed.origin.is_none())
    }

    pub(super) fn follows(&self, document: &Document) -> bool {
        self.followed.as_ref().is_some_and(|followed| followed.document == *document)
    }

    /// Takes the document's rules, targets and policy. What is the same as before keeps its identity.
    pub(super) fn follow(
        &mut self,
        document: Document,
        origin: Option<(String, i64)>,
        now: u64,
        mut next_id: impl FnMut() -> u64,
    ) {
        let known = |rule: &Rule| self.rules.iter().find(|known| known.rule == *rule).map(Arc::clone);
        self.rules = document
            .rules
            .iter()
            .map(|rule| {
                known(rule).unwrap_or_else(|| Arc::new(NumberedRule { id: next_id(), rule: rule.clone() }))
            })
            .collect();
        self.targets.retain(|(tier, name), target| {
            *tier != Tier::Static
                || document
                    .targets
                    .iter()
                    .any(|listed| listed.name == *name && listed.endpoint.addr() == target.address())
        });
        for listed in &document.targets {
            self.targets.entry((Tier::Static, listed.name.clone())).or_insert_with(|| {
                Arc::new(Target::new(next_id(), Tier::Static, listed.name.clone(), listed.endpoint, 0))
            });
        }
        self.note_emptiness(now);
        self.policy = Arc::new(document.policy.clone());
        self.followed = Some(Followed { document, origin });
    }

    pub(super) fn forget_document(&mut self, rule: u64) {
        self.followed = None;
        self.policy = Arc::new(Policy::default());
        self.rules = [Arc::new(NumberedRule { id: rule, rule: Rule::plain() })].into();
        self.targets.retain(|(tier, _), _| *tier != Tier::Static);
    }

    fn note_emptiness(&mut self, now: u64) {
        if self.targets.is_empty() {
            self.empty_since.get_or_insert(now);
        } else {
            self.empty_since = None;
        }
    }

    /// Makes the service from the targets, the document and the instances' records.
    pub(super) fn refresh(&mut self, version: u64, record: impl Fn(&InstanceName) -> Option<Share>) {
        if !self.targets.is_empty() {
            self.empty_since = None;
        }
        let listed = self.followed.as_ref().map_or(&[][..], |followed| &followed.document.targets);
        let slots = self
            .targets
            .iter()
            .map(|((tier, name), target)| {
                let share = match tier {
                    Tier::LoadBalancer => Share::default(),
                    Tier::Instance => record(name).unwrap_or_default(),
                    Tier::Static => {
                        let found = listed.iter().find(|target| target.name == *name);
                        found.map_or_else(Share::default, |target| Share {
                            weight: target.weight,
                            draining: false,
                        })
                    }
                };
                let weight = self.policy.weights.get(name).copied().unwrap_or(share.weight);
                Slot { target: Arc::clone(target), weight, draining: share.draining }
            })
            .collect();
        let (id, app) = (self.service.id(), self.service.app().clone());
        let policy = Arc::clone(&self.policy);
        self.service = Arc::new(Service::new(id, version, app, slots, policy, self.empty_since));
    }

    /// As it stands in the store.
    pub(super) fn entries<'a>(&'a self, name: &'a AppName) -> impl Iterator<Item = (String, &'a str, i64)> {
        let targets = self.targets.iter().filter_map(move |((tier, instance), target)| {
            let key = match tier {
                Tier::LoadBalancer => lb_key(name, instance),
                Tier::Instance => upstream_key(name, instance),
                Tier::Static => return None,
            };
            Some((key, target.address_text(), target.created()))
        });
        let document = self.followed.as_ref().and_then(|followed| followed.origin.as_ref());
        targets.chain(document.map(|(text, created)| (routes_key(name), text.as_str(), *created)))
    }

    /// The keys that it comes from.
    pub(super) fn places(&self, name: &AppName) -> impl Iterator<Item = Place> {
        let targets = self.targets.keys().filter(|(tier, _)| *tier != Tier::Static);
        let app = name.clone();
        let targets = targets.map(move |(tier, instance)| Place::Target {
            app: app.clone(),
            tier: *tier,
            instance: instance.clone(),
        });
        let from_store = self.followed.as_ref().is_some_and(|followed| followed.origin.is_some());
        targets.chain(from_store.then(|| Place::Document { app: name.clone() }))
    }
}
