//! Following changes one by one gives the same table as reading everything at the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use convoy_routing::{Domain, Routes, Table};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Put(String, String),
    Delete(String),
    /// The feed lists everything again.
    List,
    /// A table is published in between.
    Publish,
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => ("[abC]|x y", "upstream|lb|config", "[123]|[;]")
            .prop_map(|(app, kind, instance)| format!("/services/{app}/{kind}/{instance}")),
        2 => "[abC]|x y".prop_map(|app| format!("/convoy/routes/{app}")),
        2 => ("[abC]|x y", "[123]").prop_map(|(app, instance)| format!("/convoy/instances/{app}/{instance}")),
    ]
}

/// What fits the key, most of the time.
fn fitting(key: &str, number: u8, other: &str) -> String {
    if key.starts_with("/convoy/routes/") {
        let host = if number.is_multiple_of(2) { "x.example" } else { "y.example" };
        format!(r#"{{"host": "{host}", "targets": ["10.0.1.{}:80"]}}"#, number % 3 + 1)
    } else if key.starts_with("/convoy/instances/") {
        let state = if number.is_multiple_of(2) { "passing" } else { "draining" };
        format!(r#"{{"state":"{state}","weight":{number},"machine_id":"m","unit":"u","since":1}}"#)
    } else {
        other.to_owned()
    }
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (1..4u8, 80..83u16).prop_map(|(host, port)| format!("10.0.0.{host}:{port}")),
        1 => "[a-z:0-9]{0,8}",
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (key(), any::<u8>(), value())
            .prop_map(|(key, number, value)| Step::Put(key.clone(), fitting(&key, number, &value))),
        3 => key().prop_map(Step::Delete),
        1 => Just(Step::List),
        2 => Just(Step::Publish),
    ]
}

/// Host, app, and the targets in order.
type Shape = BTreeMap<String, (String, Vec<(String, String)>)>;

fn shape(table: &Table) -> Shape {
    ["a", "b", "c", "a.d", "b.d", "c.d", "x y", "x.example", "y.example"]
        .into_iter()
        .filter_map(|host| {
            let service = table.find(host, "/").ok()??.service;
            let targets: Vec<_> = service
                .slots()
                .iter()
                .map(|slot| {
                    let target = format!("{} {} {}", slot.target.address_text(), slot.weight, slot.draining);
                    (slot.target.instance().to_string(), target)
                })
                .collect();
            // Apps without targets are remembered by the one who saw them leave; that is the one difference.
            (!targets.is_empty()).then(|| (host.to_owned(), (service.app().to_string(), targets)))
        })
        .collect()
}

proptest! {
    #[test]
    fn following_equals_rebuilding(steps in prop::collection::vec(step(), 0..60)) {
        let domains: Arc<[Domain]> = [Domain::parse("d").unwrap()].into();
        let mut store: BTreeMap<String, (String, i64)> = BTreeMap::new();
        let mut followed = Routes::new();
        let mut table = Table::empty(Arc::clone(&domains));
        for (revision, step) in (1i64..).zip(steps) {
            match step {
                Step::Put(key, value) => {
                    let created = store.get(&key).map_or(revision, |&(_, created)| created);
                    followed.put(&key, value.as_bytes(), created, 0);
                    store.insert(key, (value, created));
                }
                Step::Delete(key) => {
                    followed.delete(&key, 0);
                    store.remove(&key);
                }
                Step::List => {
                    let all = store.iter().map(|(key, (value, created))| (key.as_str(), value.as_bytes(), *created));
                    followed.replace(all, 0);
                }
                Step::Publish => table = table.next(&followed, revision),
            }
        }
        table = table.next(&followed, i64::MAX);

        let mut rebuilt = Routes::new();
        rebuilt.replace(store.iter().map(|(key, (value, created))| (key.as_str(), value.as_bytes(), *created)), 0);
        let fresh = Table::empty(domains).next(&rebuilt, i64::MAX);
        prop_assert_eq!(shape(&table), shape(&fresh));
        prop_assert_eq!(followed.target_count(), rebuilt.target_count());
        prop_assert_eq!(followed.entries().collect::<Vec<_>>(), rebuilt.entries().collect::<Vec<_>>());
    }
}
