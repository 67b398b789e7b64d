//! The immutable snapshot that requests are routed by.

use std::collections::HashMap;
use std::sync::Arc;

use convoy_keys::AppName;

use crate::{Domain, Routes, Target, Tier};

/// One app with its targets at one moment.
#[derive(Debug)]
pub struct Service {
    id: u64,
    version: u64,
    app: AppName,
    targets: Vec<Arc<Target>>,
    preferred: usize,
}

impl Service {
    /// `targets` in the order of their tiers.
    pub(crate) fn new(id: u64, version: u64, app: AppName, targets: Vec<Arc<Target>>) -> Self {
        let preferred = targets.iter().take_while(|target| target.tier() == Tier::LoadBalancer).count();
        Self { id, version, app, targets, preferred }
    }

    pub(crate) fn with_targets(&self, version: u64, targets: Vec<Arc<Target>>) -> Self {
        Self::new(self.id, version, self.app.clone(), targets)
    }

    /// Stays the same as long as the app is known.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Another one with every change of the targets.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The app.
    pub fn app(&self) -> &AppName {
        &self.app
    }

    /// Load balancers first, then instances.
    pub fn targets(&self) -> &[Arc<Target>] {
        &self.targets
    }

    /// How many of the targets are load balancers.
    pub fn preferred(&self) -> usize {
        self.preferred
    }
}

#[derive(Debug, Default)]
struct HostIndex {
    names_version: Option<u64>,
    places: HashMap<Box<str>, usize>,
}

/// Host names and the services behind them. Never changes; a new state is a new table.
#[derive(Debug, Default)]
pub struct Table {
    hosts: Arc<HostIndex>,
    services: Vec<Arc<Service>>,
    domains: Arc<[Domain]>,
    revision: i64,
}

impl Table {
    /// A table without services for these domains.
    pub fn empty(domains: Arc<[Domain]>) -> Self {
        Self { domains, ..Self::default() }
    }

    /// The table for what the keys say at `revision`. Costs one reference per service; the index of host names is made
    /// anew only when an app came or went.
    #[must_use]
    pub fn next(&self, routes: &Routes, revision: i64) -> Self {
        let services: Vec<_> = routes.services().cloned().collect();
        let hosts = if self.hosts.names_version == Some(routes.names_version()) {
            Arc::clone(&self.hosts)
        } else {
            Arc::new(HostIndex {
                names_version: Some(routes.names_version()),
                places: index(&services, &self.domains),
            })
        };
        Self { hosts, services, domains: Arc::clone(&self.domains), revision }
    }

    /// The service for a host in the form that [`crate::Host`] gives.
    pub fn find(&self, host: &str) -> Option<&Arc<Service>> {
        self.hosts.places.get(host).and_then(|&place| self.services.get(place))
    }

    /// All services, in the order of their names.
    pub fn services(&self) -> &[Arc<Service>] {
        &self.services
    }

    /// The store revision that the table shows.
    pub fn revision(&self) -> i64 {
        self.revision
    }
}

/// `<app>.<domain>` for every domain, and the app's name as it is. Hosts have no case, app names do: of two apps that
/// differ only in case the one in lower case gets the host, otherwise the first. A full name wins over a bare one.
fn index(services: &[Arc<Service>], domains: &[Domain]) -> HashMap<Box<str>, usize> {
    let mut places = HashMap::with_capacity(services.len() * (domains.len() + 1));
    let is_lower = |service: &Service| !service.app.as_str().bytes().any(|byte| byte.is_ascii_uppercase());
    let (lower, mixed): (Vec<_>, Vec<_>) =
        services.iter().enumerate().partition(|(_, service)| is_lower(service));
    let ordered = || lower.iter().chain(&mixed);
    for domain in domains {
        for (place, service) in ordered() {
            let name = format!("{}.{domain}", service.app).to_ascii_lowercase();
            places.entry(name.into()).or_insert(*place);
        }
    }
    for (place, service) in ordered() {
        places.entry(service.app.as_str().to_ascii_lowercase().into()).or_insert(*place);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domains(names: &[&str]) -> Arc<[Domain]> {
        names.iter().map(|name| Domain::parse(name).unwrap()).collect()
    }

    fn table(names: &[&str], keys: &[(&str, &str)]) -> Table {
        let mut routes = Routes::new();
        for (key, value) in keys {
            routes.put(key, value.as_bytes(), 1, 0);
        }
        Table::empty(domains(names)).next(&routes, 1)
    }

    #[test]
    fn an_app_answers_under_every_domain_and_its_bare_name() {
        let table =
            table(&["mywebsite.com", "example.org"], &[("/services/someapp/upstream/1", "10.0.0.1:80")]);
        for (host, found) in [
            ("someapp.mywebsite.com", true),
            ("someapp.example.org", true),
            ("someapp", true),
            ("mywebsite.com", false),
            ("other.mywebsite.com", false),
            ("a.someapp.mywebsite.com", false),
            ("someapp.mywebsite.com.evil.example", false),
            ("", false),
        ] {
            assert_eq!(table.find(host).is_some(), found, "{host}");
        }
    }

    #[test]
    fn load_balancers_come_first_and_instances_are_there_for_want_of_them() {
        let table = table(
            &["d"],
            &[
                ("/services/a/upstream/1", "10.0.0.1:80"),
                ("/services/a/lb/2", "10.0.0.2:80"),
                ("/services/a/lb/1", "10.0.0.3:80"),
                ("/services/b/upstream/1", "10.0.0.4:80"),
            ],
        );
        let addresses = |app: &str| {
            let service = table.find(app).unwrap();
            let texts: Vec<_> =
                service.targets().iter().map(|target| target.address_text().to_owned()).collect();
            (service.preferred(), texts.join(" "))
        };
        assert_eq!(addresses("a"), (2, "10.0.0.3:80 10.0.0.2:80 10.0.0.1:80".to_owned()));
        assert_eq!(addresses("b"), (0, "10.0.0.4:80".to_owned()));
    }

    #[test]
    fn names_that_collide_have_one_owner_whatever_came_first() {
        let keys = [
            ("/services/SomeApp/upstream/1", "10.0.0.1:80"),
            ("/services/someapp/upstream/1", "10.0.0.2:80"),
            ("/services/someapp.d/upstream/1", "10.0.0.3:80"),
        ];
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
            let table = table(&["d"], &order.map(|at| keys[at]));
            assert_eq!(table.find("someapp").unwrap().app().as_str(), "someapp");
            assert_eq!(table.find("someapp.d").unwrap().app().as_str(), "someapp");
            assert_eq!(table.find("someapp.d.d").unwrap().app().as_str(), "someapp.d");
        }
    }

    #[test]
    fn untouched_services_are_the_same_objects_in_the_next_table() {
        let mut routes = Routes::new();
        routes.put("/services/a/lb/1", b"10.0.0.1:80", 1, 0);
        routes.put("/services/b/lb/1", b"10.0.0.2:80", 1, 0);
        let first = Table::empty(domains(&["d"])).next(&routes, 1);
        routes.put("/services/b/lb/2", b"10.0.0.3:80", 2, 0);
        let second = first.next(&routes, 2);
        assert!(Arc::ptr_eq(first.find("a").unwrap(), second.find("a").unwrap()));
        assert!(!Arc::ptr_eq(first.find("b").unwrap(), second.find("b").unwrap()));
        assert!(Arc::ptr_eq(&first.find("b").unwrap().targets()[0], &second.find("b").unwrap().targets()[0]));
        assert!(Arc::ptr_eq(&first.hosts, &second.hosts), "no app came or went");
        assert_eq!(first.find("b").unwrap().id(), second.find("b").unwrap().id());
    }

    #[test]
    fn an_app_that_lost_its_last_target_is_still_found() {
        let mut routes = Routes::new();
        routes.put("/services/a/lb/1", b"10.0.0.1:80", 1, 0);
        let first = Table::empty(domains(&["d"])).next(&routes, 1);
        routes.delete("/services/a/lb/1", 100);
        let second = first.next(&routes, 2);
        assert!(second.find("a.d").unwrap().targets().is_empty());
        routes.forget_empty(101);
        assert!(second.next(&routes, 3).find("a.d").is_none());
    }
}
