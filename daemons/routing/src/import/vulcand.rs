//! vulcand: frontends with an expression, backends with servers.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::expression::places;
use super::{Import, Imported, target};
use crate::written::{Size, Written, WrittenTarget};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Frontend {
    backend_id: String,
    route: String,
    #[serde(default)]
    settings: Settings,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Settings {
    limits: Limits,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Limits {
    max_body_bytes: i64,
}

#[derive(Deserialize)]
struct Server {
    #[serde(rename = "URL")]
    url: String,
}

pub(super) fn read(import: &Import, entries: &BTreeMap<&str, &str>) -> Imported {
    let mut imported = Imported::default();
    let mut backends: BTreeMap<&str, Vec<WrittenTarget>> = BTreeMap::new();
    let mut frontends = Vec::new();
    for (key, value) in entries {
        let parts: Vec<_> = key.split('/').collect();
        match parts[..] {
            ["backends", _, "backend"] => {}
            ["backends", backend, "servers", _] => {
                let server = serde_json::from_str::<Server>(value).map_err(|error| error.to_string());
                match server.and_then(|server| target(&server.url, 100)) {
                    Ok(target) => backends.entry(backend).or_default().push(target),
                    Err(why) => imported.ignore(import.key(key), why),
                }
            }
            ["frontends", name, "frontend"] => frontends.push((*key, name, *value)),
            _ => imported.ignore(import.key(key), "this kind of key is not followed"),
        }
    }
    for (key, name, value) in frontends {
        let key = import.key(key);
        let frontend: Frontend = match serde_json::from_str(value) {
            Ok(frontend) => frontend,
            Err(error) => {
                imported.ignore(key, error);
                continue;
            }
        };
        let Some(targets) = backends.get(frontend.backend_id.as_str()) else {
            imported.ignore(key, format!("the backend {:?} has no servers", frontend.backend_id));
            continue;
        };
        match places(&frontend.route) {
            Ok(places) => {
                let limit =
                    u64::try_from(frontend.settings.limits.max_body_bytes).ok().filter(|bytes| *bytes > 0);
                let first =
                    Written { targets: targets.clone(), body_max: limit.map(Size), ..Written::default() };
                imported.add(key, name, &places, first);
            }
            Err(why) => imported.ignore(key, why),
        }
    }
    imported
}
