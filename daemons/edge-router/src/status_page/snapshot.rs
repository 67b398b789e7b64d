//! What the page in a browser draws.

use std::sync::PoisonError;

use convoy_acme::CertificateStatus;
use convoy_routing::{Service, Slot, Tier};
use serde::Serialize;

use super::Sources;
use crate::run::unix_time;

/// How things stand, to be read as JSON. Texts may come from anybody, and are text for whoever shows them, too.
#[derive(Debug, Serialize)]
pub(crate) struct Snapshot {
    status: String,
    revision: i64,
    /// Unix time.
    time: u64,
    services: Vec<ServiceView>,
    certificates: Vec<CertificateView>,
    /// What somebody should look at.
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ServiceView {
    app: String,
    targets: Vec<TargetView>,
    /// By the first digit of their status.
    requests: [u64; 6],
    retries: u64,
}

#[derive(Debug, Serialize)]
struct TargetView {
    address: String,
    instance: String,
    tier: &'static str,
    state: &'static str,
    /// The same in words, where it is not up.
    why: String,
}

#[derive(Debug, Serialize)]
struct CertificateView {
    names: Vec<String>,
    issuer: String,
    source: String,
    /// Unix time.
    not_after: i64,
}

impl Snapshot {
    pub(crate) fn of(sources: &Sources) -> Self {
        let table = sources.table.load();
        let mut totals = sources.metrics.route_totals();
        let mut view = |service: &Service| {
            let numbers = totals.remove(service.app()).unwrap_or_default();
            let targets = service.slots().iter().map(|slot| TargetView::of(service, slot)).collect();
            let app = service.app().to_string();
            ServiceView { app, targets, requests: numbers.classes, retries: numbers.retries }
        };
        let services = table.services().iter().map(|service| view(service)).collect();
        let certificates = certificates(sources);
        let status = sources.facts.lock().unwrap_or_else(PoisonError::into_inner).status.clone();
        let (revision, time, notes) = (table.revision(), unix_time(), notes(sources));
        Self { status, revision, time, services, certificates, notes }
    }
}

impl TargetView {
    fn of(service: &Service, slot: &Slot) -> Self {
        let target = &slot.target;
        let failures = target.ejection().failures();
        let has_balancers = service.tier_ends().first().is_some_and(|end| *end > 0);
        let (state, why) = if target.is_failing() {
            ("failing", "fails its checks".to_owned())
        } else if failures > 0 {
            ("out", format!("left out after {failures} refused connections"))
        } else if slot.draining {
            ("stopping", "about to stop".to_owned())
        } else if target.tier() != Tier::LoadBalancer && has_balancers {
            ("spare", "used when no load balancer is".to_owned())
        } else {
            ("up", String::new())
        };
        let (address, instance) = (target.address_text().to_owned(), target.instance().to_string());
        Self { address, instance, tier: target.tier().as_str(), state, why }
    }
}

fn certificates(sources: &Sources) -> Vec<CertificateView> {
    let known = sources.certificates.borrow();
    let view = |certificate: &CertificateStatus| CertificateView {
        names: certificate.names.clone(),
        issuer: certificate.issuer.clone(),
        source: certificate.source.to_string(),
        not_after: certificate.not_after,
    };
    known.certificates.iter().map(view).collect()
}

/// What is of no use, contradicts something or has failed, a line each.
pub(crate) fn notes(sources: &Sources) -> Vec<String> {
    let table = sources.table.load();
    let certificates = sources.certificates.borrow();
    let facts = sources.facts.lock().unwrap_or_else(PoisonError::into_inner);
    let problems = certificates.problems.iter().map(|problem| format!("certificate of no use: {problem}"));
    let failed = certificates.names.iter().filter_map(|name| {
        name.last_error.as_ref().map(|error| format!("no certificate for {}: {error}", name.name))
    });
    let orders = certificates.order_error.iter().map(|error| format!("no certificates are ordered: {error}"));
    let conflicts = table.conflicts().map(|conflict| format!("conflict: {conflict}"));
    let unusable = facts.unusable.iter().map(|(key, reason)| format!("unusable: {key}: {reason}"));
    problems.chain(failed).chain(orders).chain(conflicts).chain(unusable).collect()
}
