//! Traefik: routers with a rule, services with servers. Every value is a text under a key of its own, and keys have no
//! case.

use std::collections::BTreeMap;

use super::expression::places;
use super::{Import, Imported, target};
use crate::written::{FullCheck, Written, WrittenCheck, WrittenTarget};

#[derive(Default)]
struct Router<'a> {
    rule: Option<(&'a str, &'a str)>,
    service: Option<&'a str>,
}

struct Server<'a> {
    /// Key and value.
    url: Option<(&'a str, &'a str)>,
    weight: u16,
}

impl Default for Server<'_> {
    fn default() -> Self {
        Self { url: None, weight: 1 }
    }
}

#[derive(Default)]
struct Service<'a> {
    servers: BTreeMap<String, Server<'a>>,
    check_path: Option<&'a str>,
    check_interval: Option<&'a str>,
}

pub(super) fn read(import: &Import, entries: &BTreeMap<&str, &str>) -> Imported {
    let mut imported = Imported::default();
    let mut routers: BTreeMap<String, Router<'_>> = BTreeMap::new();
    let mut services: BTreeMap<String, Service<'_>> = BTreeMap::new();
    for (&key, &value) in entries {
        let lower = key.to_ascii_lowercase();
        let parts: Vec<_> = lower.split('/').collect();
        match parts[..] {
            ["http", "routers", name, "rule"] => {
                routers.entry(name.to_owned()).or_default().rule = Some((key, value));
            }
            ["http", "routers", name, "service"] => {
                routers.entry(name.to_owned()).or_default().service = Some(value);
            }
            ["http", "services", name, "loadbalancer", "servers", number, "url"] => {
                let service = services.entry(name.to_owned()).or_default();
                service.servers.entry(number.to_owned()).or_default().url = Some((key, value));
            }
            ["http", "services", name, "loadbalancer", "servers", number, "weight"] => match value.parse() {
                Ok(weight) => {
                    let service = services.entry(name.to_owned()).or_default();
                    service.servers.entry(number.to_owned()).or_default().weight = weight;
                }
                Err(_) => imported.ignore(import.key(key), "a weight is a number"),
            },
            ["http", "services", name, "loadbalancer", "healthcheck", "path"] => {
                services.entry(name.to_owned()).or_default().check_path = Some(value);
            }
            ["http", "services", name, "loadbalancer", "healthcheck", "interval"] => {
                services.entry(name.to_owned()).or_default().check_interval = Some(value);
            }
            _ => imported.ignore(import.key(key), "this kind of key is not followed"),
        }
    }
    for (name, router) in &routers {
        let Some((key, rule)) = router.rule else { continue };
        let key = import.key(key);
        let service = router.service.map(|service| service.trim_end_matches("@etcd").to_ascii_lowercase());
        let Some(service) = service.and_then(|service| services.get(&service)) else {
            imported.ignore(key, "its service is unknown");
            continue;
        };
        let places = match places(rule) {
            Ok(places) => places,
            Err(why) => {
                imported.ignore(key, why);
                continue;
            }
        };
        let targets = targets(import, service, &mut imported);
        let check = service.check_path.map(|path| {
            let interval = service.check_interval.and_then(|text| text.parse().ok());
            WrittenCheck::Full(FullCheck {
                ask: format!("http:{path}"),
                host: None,
                status: None,
                interval,
                timeout: None,
                rise: None,
                fall: None,
            })
        });
        imported.add(key, name, &places, Written { targets, check, ..Written::default() });
    }
    imported
}

/// Weights of 1 and 3 become 100 and 300, so that a target without one counts as ordinary.
fn targets(import: &Import, service: &Service<'_>, imported: &mut Imported) -> Vec<WrittenTarget> {
    let mut targets = Vec::new();
    for Server { url, weight } in service.servers.values() {
        let Some((key, url)) = url else { continue };
        match target(url, weight.saturating_mul(100)) {
            Ok(target) => targets.push(target),
            Err(why) => imported.ignore(import.key(key), why),
        }
    }
    targets
}
