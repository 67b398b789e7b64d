//! One app with its targets at one moment.

use std::sync::Arc;

use convoy_keys::AppName;

use crate::{Policy, Target, Tier};

/// A target and its share.
#[derive(Debug, Clone)]
pub struct Slot {
    /// The target.
    pub target: Arc<Target>,
    /// Share relative to its peers; 100 is ordinary.
    pub weight: u16,
    /// About to stop: no new requests while there are others.
    pub draining: bool,
}

/// One app with its targets at one moment.
#[derive(Debug)]
pub struct Service {
    id: u64,
    version: u64,
    app: AppName,
    slots: Box<[Slot]>,
    ends: [usize; Tier::ALL.len()],
    policy: Arc<Policy>,
    empty_since: Option<u64>,
}

impl Service {
    /// `slots` in the order of their tiers.
    pub(crate) fn new(
        id: u64,
        version: u64,
        app: AppName,
        slots: Box<[Slot]>,
        policy: Arc<Policy>,
        empty_since: Option<u64>,
    ) -> Self {
        let ends = Tier::ALL.map(|tier| slots.iter().take_while(|slot| slot.target.tier() <= tier).count());
        Self { id, version, app, slots, ends, policy, empty_since }
    }

    /// Stays the same as long as the app is known.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Another one with every change of the targets or the policy.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The app.
    pub fn app(&self) -> &AppName {
        &self.app
    }

    /// Load balancers first, then instances, then what stands in the app's document.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Where each tier ends among the slots.
    pub fn tier_ends(&self) -> &[usize] {
        &self.ends
    }

    /// How requests are shared.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Unix time at which the last target left, when there is none.
    pub fn empty_since(&self) -> Option<u64> {
        self.empty_since
    }
}
