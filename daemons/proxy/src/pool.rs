//! A service as one worker knows it.

use std::cell::Cell;
use std::fmt::Write;
use std::rc::Rc;
use std::sync::Arc;

use convoy_hygiene::{Field, Survey};
use convoy_routing::balance::{Class, View, hash, ramp};
use convoy_routing::{Balance, HashSource, NumberedRule, Service};

use crate::gate::Gate;
use crate::metrics::RouteCounters;
use crate::upstream::Upstream;

/// What one repeat costs.
const REPEAT: u32 = 100;
/// Enough for what is on its way to an instance that is killed, also on a service that has just begun.
const BUDGET_FIRST: u32 = 100 * REPEAT;
/// What earlier requests can make up for at most.
const BUDGET_MAX: u32 = 1_000 * REPEAT;

/// A rule, and the pool of its service.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) rule: Arc<NumberedRule>,
    pub(crate) pool: Rc<Pool>,
}

#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) service: Arc<Service>,
    pub(crate) counters: Arc<RouteCounters>,
    pub(crate) gate: Option<Arc<Gate>>,
    /// In the order of the service's slots.
    upstreams: Vec<Rc<Upstream>>,
    /// All targets have the same weight, and none is new.
    even: bool,
    turn: Cell<usize>,
    budget: Cell<u32>,
}

/// What a request has to do with the choice of its target.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Preference {
    /// The target that the client was at.
    stick_to: Option<u64>,
    /// The same target for the same number.
    key: Option<u64>,
}

impl Pool {
    /// The pool for this state of a service. Targets that `former` knew keep their connections and counts, those that
    /// are gone lose them.
    pub(crate) fn new(
        service: Arc<Service>,
        counters: Arc<RouteCounters>,
        gate: Option<Arc<Gate>>,
        former: Option<&Self>,
        now: u64,
    ) -> Self {
        let known =
            |id| former.and_then(|pool| pool.upstreams.iter().find(|upstream| upstream.target.id() == id));
        // Those that were there before us are not new, whenever it is that we see them.
        let since = former.map(|_| now);
        let upstreams: Vec<_> = service
            .slots()
            .iter()
            .map(|slot| {
                let new = || Rc::new(Upstream::new(Arc::clone(&slot.target), since));
                known(slot.target.id()).map_or_else(new, Rc::clone)
            })
            .collect();
        if let Some(former) = former {
            for upstream in &former.upstreams {
                if !upstreams.iter().any(|kept| Rc::ptr_eq(kept, upstream)) {
                    upstream.retire();
                }
            }
        }
        let weight = service.slots().first().map(|slot| slot.weight);
        let even = service.policy().slow_start.is_zero()
            && service.slots().iter().all(|slot| Some(slot.weight) == weight);
        // Workers begin at different targets, or all of them would send their first request to the same one.
        let turn = former.map_or_else(|| fastrand::usize(..), |pool| pool.turn.get());
        let budget = former.map_or(BUDGET_FIRST, |pool| pool.budget.get());
        Self { service, counters, gate, upstreams, even, turn: Cell::new(turn), budget: Cell::new(budget) }
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

    /// A request came: it may pay for a part of a repeat.
    pub(crate) fn deposit(&self) {
        let budget = self.budget.get() + self.service.policy().retries.budget;
        self.budget.set(budget.min(BUDGET_MAX));
    }

    /// Whether a request that may have arrived already can be sent once more. When everything fails, repeats would only
    /// add to it.
    pub(crate) fn withdraw(&self) -> bool {
        match self.budget.get().checked_sub(REPEAT) {
            Some(left) => {
                self.budget.set(left);
                true
            }
            None => false,
        }
    }

    /// What the request says about its target. `client` is the address as text.
    pub(crate) fn preference<'a, F: Iterator<Item = Field<'a>> + Clone>(
        &self,
        survey: &Survey<'a, F>,
        path: &str,
        client: &[u8],
    ) -> Preference {
        let policy = self.service.policy();
        let stick_to = policy
            .sticky
            .as_ref()
            .and_then(|sticky| cookie(survey.cookies(), &sticky.cookie))
            .and_then(|value| u64::from_str_radix(value, 16).ok());
        let key = match &policy.balance {
            Balance::LeastRequest | Balance::RoundRobin => None,
            Balance::Hash(HashSource::Client) => Some(hash(client)),
            Balance::Hash(HashSource::Path) => Some(hash(path.as_bytes())),
            Balance::Hash(HashSource::Header(name)) => survey.values(name.as_str()).next().map(hash),
            Balance::Hash(HashSource::Cookie(name)) => {
                cookie(survey.cookies(), name).map(|value| hash(value.as_bytes()))
            }
        };
        Preference { stick_to, key }
    }

    /// The target for a request that was at the targets with these identities already.
    pub(crate) fn choose(&self, now: u64, tried: &[u64], preference: Preference) -> Option<Rc<Upstream>> {
        let policy = self.service.policy();
        let slots = self.service.slots();
        let slow_start =
            if self.even { 0 } else { u64::try_from(policy.slow_start.as_millis()).unwrap_or(u64::MAX) };
        let view = |index: usize| match (self.upstreams.get(index), slots.get(index)) {
            (Some(upstream), Some(slot)) => View {
                weight: ramp(slot.weight.into(), upstream.age(now), slow_start),
                draining: slot.draining,
                tried: !tried.is_empty() && tried.contains(&upstream.target.id()),
                ..upstream.view(now)
            },
            _ => View { out: true, tried: true, ..View::IDLE },
        };
        if let Some(id) = preference.stick_to {
            let at = slots.iter().position(|slot| slot.target.stable_id() == id);
            if let Some(index) = at
                && let View { draining: false, out: false, tried: false, .. } = view(index)
            {
                return self.upstreams.get(index).map(Rc::clone);
            }
        }
        let class = Class::best(self.service.tier_ends(), view)?;
        let credit = |index: usize, new: Option<i64>| {
            self.upstreams.get(index).map_or(0, |upstream| upstream.credit(new))
        };
        let index = match (&policy.balance, preference.key) {
            (Balance::Hash(_), Some(key)) => {
                class.by_hash(key, view, |index| slots.get(index).map_or(0, |slot| slot.target.stable_id()))
            }
            (Balance::RoundRobin, _) => class.in_turn(false, view, credit),
            _ if self.even => {
                let turn = self.turn.get();
                self.turn.set(turn.wrapping_add(1));
                let random = if self.upstreams.len() > 8 { fastrand::usize(..) } else { 0 };
                class.least(turn, random, view)
            }
            _ => class.in_turn(true, view, credit),
        }?;
        self.upstreams.get(index).map(Rc::clone)
    }

    /// The cookie that keeps a client at this target, unless it has it already.
    pub(crate) fn cookie_for(&self, upstream: &Upstream, preference: Preference) -> Option<String> {
        let sticky = self.service.policy().sticky.as_ref()?;
        let id = upstream.target.stable_id();
        if preference.stick_to == Some(id) {
            return None;
        }
        let mut text = format!("{}={id:016x}; Path=/; HttpOnly; SameSite=Lax", sticky.cookie);
        if let Some(age) = sticky.max_age {
            // Writing into a string does not fail.
            let _ = write!(text, "; Max-Age={}", age.as_secs());
        }
        if sticky.secure {
            text.push_str("; Secure");
        }
        Some(text)
    }
}

fn cookie<'a>(cookies: impl Iterator<Item = &'a [u8]>, name: &str) -> Option<&'a str> {
    cookies.filter_map(|value| str::from_utf8(value).ok()).flat_map(|list| list.split(';')).find_map(|pair| {
        pair.trim().split_once('=').filter(|(found, _)| *found == name).map(|(_, value)| value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let cookies = [&b"a=1; xat=9; at=7"[..], b"b=2"];
        for (name, value) in [("at", Some("7")), ("b", Some("2")), ("t", None)] {
            assert_eq!(cookie(cookies.into_iter(), name), value, "{name}");
        }
    }
}
