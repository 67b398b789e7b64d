//! The file of `convoyctl plan --cluster FILE`: a whole cluster as JSON. It is taken as the whole truth.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use convoy_keys::{Desired, MachineId};
use convoy_placement::{Accepts, Capacity, Machine};
use convoy_unit_files::Strictness;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};

use super::{Question, Submitted};

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClusterFile {
    machines: Vec<MachineEntry>,
    units: Vec<UnitEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MachineEntry {
    id: String,
    #[serde(default, deserialize_with = "metadata")]
    metadata: BTreeMap<String, String>,
    #[serde(default)]
    capacity: CapacityEntry,
    #[serde(default)]
    accepts: AcceptsEntry,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CapacityEntry {
    memory: Option<u64>,
    cpu_millis: Option<u32>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AcceptsEntry {
    #[default]
    All,
    Present,
    Nothing,
}

impl From<AcceptsEntry> for Accepts {
    fn from(entry: AcceptsEntry) -> Self {
        match entry {
            AcceptsEntry::All => Self::All,
            AcceptsEntry::Present => Self::Present,
            AcceptsEntry::Nothing => Self::Nothing,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UnitEntry {
    name: String,
    text: String,
    #[serde(default)]
    desired: Desired,
    machine: Option<String>,
}

/// Reads the file. An error says where it is: line and column, or the entry.
pub fn read(text: &str, strictness: Strictness) -> Result<Question, String> {
    let file: ClusterFile = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut machines = Vec::with_capacity(file.machines.len());
    let mut seen = BTreeMap::new();
    for (index, entry) in file.machines.into_iter().enumerate() {
        let place = format!("machines[{index}]");
        MachineId::parse(&entry.id).map_err(|error| format!("{place}.id: {error}"))?;
        once(&mut seen, &entry.id, &place, "id")?;
        machines.push(Machine {
            id: entry.id,
            metadata: entry.metadata,
            capacity: Capacity { memory: entry.capacity.memory, cpu_millis: entry.capacity.cpu_millis },
            accepts: entry.accepts.into(),
        });
    }
    let mut units = Vec::with_capacity(file.units.len());
    let mut seen = BTreeMap::new();
    for (index, entry) in file.units.into_iter().enumerate() {
        let place = format!("units[{index}]");
        once(&mut seen, &entry.name, &place, "name")?;
        if let Some(machine) = &entry.machine {
            MachineId::parse(machine).map_err(|error| format!("{place}.machine: {error}"))?;
        }
        units.push(Submitted {
            name: entry.name,
            file: None,
            text: entry.text,
            desired: entry.desired,
            strictness,
            machine: entry.machine,
            held: false,
            wish: None,
            avoid: BTreeSet::new(),
        });
    }
    Ok(Question { machines, units })
}

fn once(seen: &mut BTreeMap<String, String>, name: &str, place: &str, what: &str) -> Result<(), String> {
    match seen.insert(name.to_owned(), place.to_owned()) {
        None => Ok(()),
        Some(first) => {
            Err(format!("{place}.{what}: {name:?} is there already, as {first}; every {what} stands once"))
        }
    }
}

/// A JSON object of texts in which no key may stand twice.
fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    struct Pairs;

    impl<'de> Visitor<'de> for Pairs {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of texts")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs = BTreeMap::new();
            while let Some((key, value)) = map.next_entry::<String, String>()? {
                if pairs.insert(key.clone(), value).is_some() {
                    return Err(A::Error::custom(format_args!("the key {key:?} stands twice")));
                }
            }
            Ok(pairs)
        }
    }

    deserializer.deserialize_map(Pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        read(text, Strictness::Strict).unwrap_err()
    }

    #[test]
    fn a_file_is_a_list_of_machines_and_a_list_of_units_in_the_order_of_submission() {
        let question = read(
            r#"{"machines":[{"id":"A","metadata":{"zone":"a"},"capacity":{"memory":1024,"cpu_millis":2000}},
                            {"id":"B","accepts":"nothing"}],
                "units":[{"name":"b.service","text":"[Service]\n"},
                         {"name":"a.service","text":"","desired":"inactive","machine":"Z"},
                         {"name":"c.service","text":"","machine":null}]}"#,
            Strictness::Compatible,
        )
        .unwrap();
        let [a, b] = question.machines.as_slice() else { panic!("{question:?}") };
        assert_eq!(
            (a.metadata["zone"].as_str(), a.capacity.memory, a.accepts),
            ("a", Some(1024), Accepts::All)
        );
        assert_eq!((b.id.as_str(), b.accepts), ("B", Accepts::Nothing));
        let units: Vec<_> = question
            .units
            .iter()
            .map(|unit| (unit.name.as_str(), unit.desired, unit.machine.as_deref(), unit.strictness))
            .collect();
        assert_eq!(
            units,
            [
                ("b.service", Desired::Launched, None, Strictness::Compatible),
                ("a.service", Desired::Inactive, Some("Z"), Strictness::Compatible),
                ("c.service", Desired::Launched, None, Strictness::Compatible),
            ]
        );
    }

    #[test]
    fn an_empty_cluster_is_a_cluster() {
        let question = read(r#"{"machines":[],"units":[]}"#, Strictness::Strict).unwrap();
        assert!(question.machines.is_empty() && question.units.is_empty());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (text, said) in [
            ("", "line 1 column 0"),
            ("{\n\"machines\":[,", "line 2 column 13"),
            (r#"{"machines":[]}"#, "missing field `units`"),
            (r#"{"units":[]}"#, "missing field `machines`"),
            (r#"{"machines":[],"units":[],"unit":[]}"#, "unknown field `unit`"),
            (r#"{"machines":[],"machines":[],"units":[]}"#, "duplicate field `machines`"),
            (r#"{"machines":[],"units":[]} x"#, "trailing characters at line 1 column 28"),
            ("{\"machines\":[{\"id\":\"A\",\n\"meta\":{}}],\"units\":[]}", "unknown field `meta`"),
            (
                r#"{"machines":[{"id":"A"},{"id":"B"},{"id":"A"}],"units":[]}"#,
                "machines[2].id: \"A\" is there already, as machines[0]",
            ),
            (r#"{"machines":[{"id":"a/b"}],"units":[]}"#, "machines[0].id: "),
            (
                r#"{"machines":[{"id":"A","metadata":{"k":"1","k":"2"}}],"units":[]}"#,
                "the key \"k\" stands twice",
            ),
            (
                r#"{"machines":[{"id":"A","metadata":{"k":1}}],"units":[]}"#,
                "expected a string at line 1 column",
            ),
            (r#"{"machines":[{"id":"A","accepts":"some"}],"units":[]}"#, "unknown variant `some`"),
            (r#"{"machines":[{"id":"A","capacity":{"memory":-1}}],"units":[]}"#, "line 1 column"),
            (r#"{"machines":[],"units":[{"name":"a.service"}]}"#, "missing field `text` at line 1 column"),
            (
                r#"{"machines":[],"units":[{"name":"a.service","text":"","desired":"started"}]}"#,
                "unknown variant `started`",
            ),
            (
                r#"{"machines":[],"units":[{"name":"a.service","text":""},{"name":"a.service","text":""}]}"#,
                "units[1].name: \"a.service\" is there already, as units[0]",
            ),
            (
                r#"{"machines":[],"units":[{"name":"a.service","text":"","machine":""}]}"#,
                "units[0].machine: ",
            ),
        ] {
            let error = refused(text);
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
