//! A service as one worker knows it.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use convoy_routing::{Service, balance};

use crate::metrics::RouteCounters;
use crate::upstream::Upstream;

#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) service: Arc<Service>,
    pub(crate) counters: Arc<RouteCounters>,
    /// In the order of the service's targets.
    upstreams: Vec<Rc<Upstream>>,
    turn: Cell<usize>,
}

impl Route {
    /// The route for this state of a service. Targets that `former` knew keep their connections and counts, those that
    /// are gone lose them.
    pub(crate) fn new(service: Arc<Service>, counters: Arc<RouteCounters>, former: Option<&Self>) -> Self {
        let known =
            |id| former.and_then(|route| route.upstreams.iter().find(|upstream| upstream.target.id() == id));
        let upstreams: Vec<_> = service
            .targets()
            .iter()
            .map(|target| {
                known(target.id()).map_or_else(|| Rc::new(Upstream::new(Arc::clone(target))), Rc::clone)
            })
            .collect();
        if let Some(former) = former {
            for upstream in &former.upstreams {
                if !upstreams.iter().any(|kept| Rc::ptr_eq(kept, upstream)) {
                    upstream.retire();
                }
            }
        }
        // Workers begin at different targets, or all of them would send their first request to the same one.
        let turn = former.map_or_else(|| fastrand::usize(..), |route| route.turn.get());
        Self { service, counters, upstreams, turn: Cell::new(turn) }
    }

    /// The service is gone.
    pub(crate) fn retire(&self) {
        for upstream in &self.upstreams {
            upstream.retire();
        }
    }

    pub(crate) fn upstreams(&self) -> &[Rc<Upstream>] {
        &self.upstreams
    }

    /// The target for a request that was at the targets with these identities already.
    pub(crate) fn choose(&self, now: u64, tried: &[u64]) -> Option<Rc<Upstream>> {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        let random = if self.upstreams.len() > 8 { fastrand::usize(..) } else { 0 };
        let view = |index: usize| match self.upstreams.get(index) {
            Some(upstream) => upstream.view(now, tried.contains(&upstream.target.id())),
            None => balance::View { outstanding: 0, ejected: true, tried: true },
        };
        let index = balance::choose(self.upstreams.len(), self.service.preferred(), turn, random, view)?;
        self.upstreams.get(index).map(Rc::clone)
    }
}
