//! What is known of one app.

use std::sync::Arc;

use convoy_keys::{AppName, InstanceName, lb_key, routes_key, upstream_key};

use super::place::Place;
use crate::shared::Ordinary;
use crate::{Document, NumberedRule, Policy, Rule, Service, Slot, StaticTarget, Target, Tier};

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

/// The key that a document comes from.
#[derive(Debug)]
pub(super) struct Origin {
    /// Its value.
    pub(super) text: Box<str>,
    /// The revision of its creation.
    pub(super) created: i64,
}

/// A document that is followed: what it says is in the rules, the policy and the targets, and the rest is here.
#[derive(Debug)]
struct Followed {
    /// None for one from a file.
    origin: Option<Box<Origin>>,
    /// Shares of its targets, of those that have not the ordinary one.
    weights: Box<[(InstanceName, u16)]>,
}

impl Followed {
    fn weight(&self, name: &InstanceName) -> u16 {
        let found = self.weights.iter().find(|(listed, _)| listed == name);
        found.map_or(Share::default().weight, |(_, weight)| *weight)
    }
}

#[derive(Debug)]
pub(super) struct App {
    /// In the order of their places.
    targets: Vec<Arc<Target>>,
    pub(super) rules: Arc<[Arc<NumberedRule>]>,
    pub(super) service: Arc<Service>,
    followed: Option<Followed>,
    policy: Arc<Policy>,
}

impl App {
    pub(super) fn new(name: AppName, id: u64, version: u64, rule: u64, now: u64) -> Self {
        let policy = Policy::ordinary();
        let service = Service::new(id, version, name, Box::default(), Arc::clone(&policy), Some(now));
        let rules = [Arc::new(NumberedRule { id: rule, rule: Rule::plain() })].into();
        Self { targets: Vec::new(), rules, service: Arc::new(service), followed: None, policy }
    }

    pub(super) fn targets(&self) -> &[Arc<Target>] {
        &self.targets
    }

    /// Unix time at which the last target left, or at which there was none yet.
    pub(super) fn empty_since(&self) -> Option<u64> {
        self.service.empty_since()
    }

    pub(super) fn has_document(&self) -> bool {
        self.followed.is_some()
    }

    /// Whether the document is from a file, or imported.
    pub(super) fn is_from_elsewhere(&self) -> bool {
        self.followed.as_ref().is_some_and(|followed| followed.origin.is_none())
    }

    pub(super) fn follows(&self, document: &Document) -> bool {
        let Some(followed) = &self.followed else { return false };
        let is_known = |listed: &StaticTarget| {
            let target = self.target(Tier::Static, &listed.name);
            target.is_some_and(|target| target.address() == listed.endpoint.addr())
                && followed.weight(&listed.name) == listed.weight
        };
        let own = self.targets.iter().filter(|target| target.tier() == Tier::Static);
        document.policy == self.policy
            && document.rules.iter().eq(self.rules.iter().map(|rule| &rule.rule))
            && document.targets.len() == own.count()
            && document.targets.iter().all(is_known)
    }

    pub(super) fn target(&self, tier: Tier, instance: &InstanceName) -> Option<&Arc<Target>> {
        self.targets.get(self.find(tier, instance).ok()?)
    }

    /// Puts it where one with its tier and name was, or would be.
    pub(super) fn put_target(&mut self, target: Arc<Target>) {
        match self.find(target.tier(), target.instance()) {
            Ok(at) => {
                if let Some(former) = self.targets.get_mut(at) {
                    *former = target;
                }
            }
            Err(at) => {
                // Most apps have as many for ever.
                self.targets.reserve_exact(1);
                self.targets.insert(at, target);
            }
        }
    }

    /// Tells whether it was there.
    pub(super) fn remove_target(&mut self, tier: Tier, instance: &InstanceName) -> bool {
        let found = self.find(tier, instance);
        if let Ok(at) = found {
            self.targets.remove(at);
            self.targets.shrink_to_fit();
        }
        found.is_ok()
    }

    fn find(&self, tier: Tier, instance: &InstanceName) -> Result<usize, usize> {
        self.targets.binary_search_by(|target| (target.tier(), target.instance()).cmp(&(tier, instance)))
    }

    /// Takes the document's rules, targets and policy. What is the same as before keeps its identity.
    pub(super) fn follow(
        &mut self,
        document: Document,
        origin: Option<Origin>,
        mut next_id: impl FnMut() -> u64,
    ) {
        let Document { policy, targets, rules } = document;
        let known = |rule: &Rule| self.rules.iter().find(|known| known.rule == *rule).map(Arc::clone);
        self.rules = rules
            .into_iter()
            .map(|rule| known(&rule).unwrap_or_else(|| Arc::new(NumberedRule { id: next_id(), rule })))
            .collect();
        self.targets.retain(|target| {
            target.tier() != Tier::Static
                || targets.iter().any(|listed| {
                    listed.name == *target.instance() && listed.endpoint.addr() == target.address()
                })
        });
        self.targets.reserve_exact(targets.len());
        let mut weights = Vec::new();
        for StaticTarget { name, endpoint, weight } in targets {
            if weight != Share::default().weight {
                weights.push((name.clone(), weight));
            }
            if let Err(at) = self.find(Tier::Static, &name) {
                let target = Target::new(next_id(), Tier::Static, name, endpoint, 0);
                self.targets.insert(at, Arc::new(target));
            }
        }
        self.targets.shrink_to_fit();
        self.policy = policy;
        self.followed = Some(Followed { origin: origin.map(Box::new), weights: weights.into() });
    }

    pub(super) fn forget_document(&mut self, rule: u64) {
        self.followed = None;
        self.policy = Policy::ordinary();
        self.rules = [Arc::new(NumberedRule { id: rule, rule: Rule::plain() })].into();
        self.targets.retain(|target| target.tier() != Tier::Static);
        self.targets.shrink_to_fit();
    }

    /// Makes the service from the targets, the document and the instances' records.
    pub(super) fn refresh(
        &mut self,
        version: u64,
        now: u64,
        record: impl Fn(&InstanceName) -> Option<Share>,
    ) {
        let empty_since = self.targets.is_empty().then(|| self.empty_since().unwrap_or(now));
        let slots = self
            .targets
            .iter()
            .map(|target| {
                let name = target.instance();
                let share = match target.tier() {
                    Tier::LoadBalancer => Share::default(),
                    Tier::Instance => record(name).unwrap_or_default(),
                    Tier::Static => {
                        let weight = self.followed.as_ref().map(|followed| followed.weight(name));
                        weight.map_or_else(Share::default, |weight| Share { weight, draining: false })
                    }
                };
                let weight = self.policy.weights.get(name).copied().unwrap_or(share.weight);
                Slot { target: Arc::clone(target), weight, draining: share.draining }
            })
            .collect();
        let (id, app) = (self.service.id(), self.service.app().clone());
        let policy = Arc::clone(&self.policy);
        self.service = Arc::new(Service::new(id, version, app, slots, policy, empty_since));
    }

    /// As it stands in the store.
    pub(super) fn entries<'a>(&'a self, name: &'a AppName) -> impl Iterator<Item = (String, &'a str, i64)> {
        let targets = self.targets.iter().filter_map(move |target| {
            let key = match target.tier() {
                Tier::LoadBalancer => lb_key(name, target.instance()),
                Tier::Instance => upstream_key(name, target.instance()),
                Tier::Static => return None,
            };
            Some((key, target.address_text(), target.created()))
        });
        let origin = self.followed.as_ref().and_then(|followed| followed.origin.as_deref());
        targets.chain(origin.map(|origin| (routes_key(name), &*origin.text, origin.created)))
    }

    /// The keys that it comes from.
    pub(super) fn places(&self, name: &AppName) -> impl Iterator<Item = Place> {
        let targets = self.targets.iter().filter(|target| target.tier() != Tier::Static);
        let app = name.clone();
        let targets = targets.map(move |target| Place::Target {
            app: app.clone(),
            tier: target.tier(),
            instance: target.instance().clone(),
        });
        let from_store = self.followed.as_ref().is_some_and(|followed| followed.origin.is_some());
        targets.chain(from_store.then(|| Place::Document { app: name.clone() }))
    }
}
