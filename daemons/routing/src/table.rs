//! The immutable snapshot that requests are routed by.

use std::fmt;
use std::sync::Arc;

use convoy_keys::AppName;

use crate::index::{Entry, Index};
use crate::path::PathError;
use crate::{Domain, HostPattern, NumberedRule, PathPattern, Routes, Service};

/// What a request is for.
#[derive(Debug)]
pub struct Found<'a> {
    /// The service.
    pub service: &'a Arc<Service>,
    /// The rule.
    pub rule: &'a Arc<NumberedRule>,
    /// The path in normal form, where rules compared it and it was asked for in another one.
    pub path: Option<String>,
}

/// Two apps want the same requests.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// The host.
    pub host: HostPattern,
    /// The path.
    pub path: PathPattern,
    /// Who gets them.
    pub winner: AppName,
    /// Who doesn't.
    pub loser: AppName,
}

impl fmt::Display for Conflict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, path, winner, loser } = self;
        write!(formatter, "{winner} and {loser} both want {host} {path}; {winner} gets it")
    }
}

/// Hosts, paths and the services behind them. Never changes; a new state is a new table.
#[derive(Debug, Default)]
pub struct Table {
    index: Arc<Index>,
    services: Vec<Arc<Service>>,
    /// In the order of the services.
    rules: Arc<[Arc<[Arc<NumberedRule>]>]>,
    domains: Arc<[Domain]>,
    revision: i64,
}

impl Table {
    /// A table without services for these domains.
    pub fn empty(domains: Arc<[Domain]>) -> Self {
        Self { domains, ..Self::default() }
    }

    /// The table for what the keys say at `revision`. Costs one reference per service; the index of hosts is made
    /// anew only when an app came or went, or one's rules changed.
    #[must_use]
    pub fn next(&self, routes: &Routes, revision: i64) -> Self {
        let services: Vec<_> = routes.services().cloned().collect();
        let version = Some(routes.names_version());
        let (index, rules) = if self.index.version == version {
            (Arc::clone(&self.index), Arc::clone(&self.rules))
        } else {
            let rules: Arc<[_]> = routes.rules().cloned().collect();
            let mut index = index(&services, &rules, &self.domains);
            index.version = version;
            (Arc::new(index), rules)
        };
        Self { index, services, rules, domains: Arc::clone(&self.domains), revision }
    }

    /// The rule for a host, in the form that [`crate::Host`] gives, and a path without query.
    pub fn find(&self, host: &str, path: &str) -> Result<Option<Found<'_>>, PathError> {
        let Some(hit) = self.index.find(host, path)? else { return Ok(None) };
        let service = self.services.get(hit.entry.service);
        Ok(service.map(|service| Found { service, rule: &hit.entry.rule, path: hit.path }))
    }

    /// All services, in the order of their names.
    pub fn services(&self) -> &[Arc<Service>] {
        &self.services
    }

    /// The service of this app.
    pub fn service(&self, app: &AppName) -> Option<&Arc<Service>> {
        let at = self.services.binary_search_by(|service| service.app().cmp(app)).ok()?;
        self.services.get(at)
    }

    /// The rules of this app.
    pub fn rules(&self, app: &AppName) -> &[Arc<NumberedRule>] {
        let at = self.services.binary_search_by(|service| service.app().cmp(app)).ok();
        at.and_then(|at| self.rules.get(at)).map_or(&[], |rules| rules)
    }

    /// The hosts that have a route, in no order.
    pub fn hosts(&self) -> impl Iterator<Item = HostPattern> {
        self.index.hosts()
    }

    /// Whether another table is known to have the same hosts and rules, without comparing them.
    pub fn has_hosts_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.index, &other.index)
    }

    /// What two apps want.
    pub fn conflicts(&self) -> impl Iterator<Item = Conflict> {
        let name = |place: usize| self.services.get(place).map(|service| service.app().clone());
        self.index.clashes.iter().filter_map(move |clash| {
            let (winner, loser) = (name(clash.winner)?, name(clash.loser)?);
            (winner != loser).then(|| Conflict {
                host: clash.host.clone(),
                path: clash.path.clone(),
                winner,
                loser,
            })
        })
    }

    /// The store revision that the table shows.
    pub fn revision(&self) -> i64 {
        self.revision
    }
}

/// Written rules come first, then `<app>.<domain>` for every domain, then the app's name as it is. Hosts have no case,
/// app names do: of two apps that differ only in case the one in lower case gets the host, otherwise the first.
fn index(services: &[Arc<Service>], rules: &[Arc<[Arc<NumberedRule>]>], domains: &[Domain]) -> Index {
    let mut index = Index::with_capacity(host_count(rules, domains));
    for (place, rules) in rules.iter().enumerate() {
        for rule in rules.iter() {
            for host in &rule.hosts {
                index.place(host, &rule.path, Entry { service: place, rule: Arc::clone(rule) });
            }
        }
    }
    let is_lower = |app: &AppName| !app.as_str().bytes().any(|byte| byte.is_ascii_uppercase());
    let named = || {
        let apps = services.iter().map(|service| service.app()).zip(rules).enumerate();
        apps.filter(|(_, (_, rules))| has_own_names(rules))
    };
    let by_case = || {
        let lower = named().filter(|(_, (app, _))| is_lower(app));
        lower.chain(named().filter(|(_, (app, _))| !is_lower(app)))
    };
    let place_own = |index: &mut Index, place: usize, name: &str, rules: &[Arc<NumberedRule>]| {
        let host = HostPattern::Exact(name.to_ascii_lowercase().into());
        for rule in rules.iter().filter(|rule| rule.own_names) {
            index.place(&host, &rule.path, Entry { service: place, rule: Arc::clone(rule) });
        }
    };
    for domain in domains {
        for (place, (app, rules)) in by_case() {
            place_own(&mut index, place, &format!("{app}.{domain}"), rules);
        }
    }
    for (place, (app, rules)) in by_case() {
        place_own(&mut index, place, app.as_str(), rules);
    }
    index
}

fn has_own_names(rules: &[Arc<NumberedRule>]) -> bool {
    rules.iter().any(|rule| rule.own_names)
}

/// About how many hosts an index has: one that grows leaves as much again behind. A rule inside another one has its hosts,
/// as a rule.
fn host_count(rules: &[Arc<[Arc<NumberedRule>]>], domains: &[Domain]) -> usize {
    let of_app = |rules: &Arc<[Arc<NumberedRule>]>| {
        let first = rules.first().map_or(&[][..], |rule| &rule.hosts);
        let others = rules.iter().skip(1).filter(|rule| *rule.hosts != *first);
        let own = if has_own_names(rules) { domains.len() + 1 } else { 0 };
        first.len() + others.map(|rule| rule.hosts.len()).sum::<usize>() + own
    };
    rules.iter().map(of_app).sum()
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

    fn service(table: &Table, host: &str) -> Arc<Service> {
        Arc::clone(table.find(host, "/").unwrap().unwrap().service)
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
            assert_eq!(table.find(host, "/").unwrap().is_some(), found, "{host}");
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
            let service = service(&table, app);
            let texts: Vec<_> =
                service.slots().iter().map(|slot| slot.target.address_text().to_owned()).collect();
            (service.tier_ends()[0], texts.join(" "))
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
            assert_eq!(service(&table, "someapp").app().as_str(), "someapp");
            assert_eq!(service(&table, "someapp.d").app().as_str(), "someapp");
            assert_eq!(service(&table, "someapp.d.d").app().as_str(), "someapp.d");
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
        assert!(Arc::ptr_eq(&service(&first, "a"), &service(&second, "a")));
        assert!(!Arc::ptr_eq(&service(&first, "b"), &service(&second, "b")));
        assert!(Arc::ptr_eq(
            &service(&first, "b").slots()[0].target,
            &service(&second, "b").slots()[0].target
        ));
        assert!(Arc::ptr_eq(&first.index, &second.index), "no app came or went");
        assert_eq!(service(&first, "b").id(), service(&second, "b").id());
    }

    #[test]
    fn an_app_that_lost_its_last_target_is_still_found() {
        let mut routes = Routes::new();
        routes.put("/services/a/lb/1", b"10.0.0.1:80", 1, 0);
        let first = Table::empty(domains(&["d"])).next(&routes, 1);
        routes.delete("/services/a/lb/1", 100);
        let second = first.next(&routes, 2);
        assert!(service(&second, "a.d").slots().is_empty());
        routes.forget_empty(101);
        assert!(second.next(&routes, 3).find("a.d", "/").unwrap().is_none());
    }

    #[test]
    fn a_document_adds_hosts_and_paths_and_wins_over_other_names() {
        let table = table(
            &["d"],
            &[
                ("/services/shop/lb/1", "10.0.0.1:80"),
                ("/services/api/lb/1", "10.0.0.2:80"),
                ("/convoy/routes/shop", r#"{"host": ["shop.example", "*.shop.example"]}"#),
                (
                    "/convoy/routes/api",
                    r#"{"routes": [{"host": "shop.example", "path": "/api"}, {"host": "shop.d"}]}"#,
                ),
            ],
        );
        let app = |host: &str, path: &str| {
            table.find(host, path).unwrap().map(|found| found.service.app().to_string()).unwrap_or_default()
        };
        for (host, path, expected) in [
            ("shop.example", "/", "shop"),
            ("shop.example", "/api/x", "api"),
            ("de.shop.example", "/api", "shop"),
            ("shop", "/", "shop"),
            ("shop.d", "/", "api"),
            ("api.d", "/", "api"),
            ("other.example", "/", ""),
        ] {
            assert_eq!(app(host, path), expected, "{host}{path}");
        }
        let conflicts: Vec<_> = table.conflicts().map(|conflict| conflict.to_string()).collect();
        assert_eq!(conflicts, ["api and shop both want shop.d /; api gets it"]);
    }

    #[test]
    fn hosts_with_a_route_are_listed_and_stay_the_same_while_only_targets_change() {
        let mut routes = Routes::new();
        routes.put("/services/a/lb/1", b"10.0.0.1:80", 1, 0);
        routes.put("/convoy/routes/a", br#"{"host": ["*.a.example", "**.b.example", "*"]}"#, 1, 0);
        let first = Table::empty(domains(&["d.example"])).next(&routes, 1);
        let mut hosts: Vec<_> = first.hosts().map(|host| host.to_string()).collect();
        hosts.sort();
        assert_eq!(hosts, ["*", "**.b.example", "*.a.example", "a", "a.d.example"]);
        routes.put("/services/a/lb/2", b"10.0.0.2:80", 2, 0);
        let second = first.next(&routes, 2);
        assert!(second.has_hosts_of(&first));
        routes.put("/services/b/lb/1", b"10.0.0.2:80", 3, 0);
        assert!(!second.next(&routes, 3).has_hosts_of(&second));
    }

    #[test]
    fn a_broken_document_leaves_the_one_before_in_force() {
        let mut routes = Routes::new();
        routes.put("/services/a/lb/1", b"10.0.0.1:80", 1, 0);
        routes.put("/convoy/routes/a", br#"{"host": "a.example"}"#, 2, 0);
        let first = Table::empty(domains(&["d"])).next(&routes, 2);
        let effect = routes.put("/convoy/routes/a", br#"{"hots": "b.example"}"#, 2, 0);
        assert!(matches!(effect, crate::Effect::Skipped { changed: None, .. }), "{effect:?}");
        assert!(routes.unusable().next().unwrap().1.contains("unknown field `hots`"));
        let second = first.next(&routes, 3);
        assert!(Arc::ptr_eq(&first.index, &second.index));
        routes.delete("/convoy/routes/a", 0);
        let third = second.next(&routes, 4);
        assert!(third.find("a.example", "/").unwrap().is_none() && third.find("a.d", "/").unwrap().is_some());
        assert_eq!(routes.unusable().count(), 0);
    }

    #[test]
    fn a_changed_document_keeps_targets_and_untouched_rules() {
        let mut routes = Routes::new();
        let put = |routes: &mut Routes, text: &str| routes.put("/convoy/routes/a", text.as_bytes(), 1, 0);
        put(&mut routes, r#"{"host": "a.example", "targets": ["10.0.0.1:80"], "routes": [{"path": "/x"}]}"#);
        let first = Table::empty(domains(&[])).next(&routes, 1);
        put(
            &mut routes,
            r#"{"host": "a.example", "targets": ["10.0.0.1:80", "10.0.0.2:80"], "routes": [{"path": "/y"}]}"#,
        );
        let second = first.next(&routes, 2);
        let (before, after) = (service(&first, "a.example"), service(&second, "a.example"));
        assert!(Arc::ptr_eq(&before.slots()[0].target, &after.slots()[0].target));
        let id = |table: &Table, path: &str| table.find("a.example", path).unwrap().unwrap().rule.id;
        assert_eq!(id(&first, "/"), id(&second, "/"));
        assert_ne!(id(&first, "/x"), id(&second, "/y"));
    }

    #[test]
    fn an_instance_says_its_own_share() {
        let mut routes = Routes::new();
        routes.put("/services/a/upstream/1", b"10.0.0.1:80", 1, 0);
        routes.put("/services/a/upstream/2", b"10.0.0.2:80", 1, 0);
        let record = |state: &str, weight: u16| {
            format!(r#"{{"state":"{state}","weight":{weight},"machine_id":"m","unit":"u","since":1}}"#)
        };
        routes.put("/convoy/instances/a/1", record("draining", 100).as_bytes(), 1, 0);
        routes.put("/convoy/instances/a/2", record("passing", 10).as_bytes(), 1, 0);
        let table = Table::empty(domains(&[])).next(&routes, 1);
        let shares: Vec<_> =
            service(&table, "a").slots().iter().map(|slot| (slot.weight, slot.draining)).collect();
        assert_eq!(shares, [(100, true), (10, false)]);
        routes.delete("/convoy/instances/a/1", 0);
        routes.put("/convoy/routes/a", br#"{"weights": {"2": 7}}"#, 1, 0);
        let table = table.next(&routes, 2);
        let shares: Vec<_> =
            service(&table, "a").slots().iter().map(|slot| (slot.weight, slot.draining)).collect();
        assert_eq!(shares, [(100, false), (7, false)]);
    }
}
