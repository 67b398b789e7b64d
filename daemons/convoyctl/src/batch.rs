//! Units that are about to be stored: what would be written, and whether it may be.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use convoy_keys::{Desired, UnitRecord};
use convoy_unit_files::{Strictness, UnitName};

use crate::{
    picture::Picture,
    plan::{Question, Submitted},
    refusal::Refusal,
    source::Source,
    wait::now,
};

/// One unit of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The unit.
    pub name: UnitName,
    /// Its text, if it is to be written; else the store's stays.
    pub text: Option<String>,
    /// What problems in the text name.
    pub file: String,
    /// The text was let through as fleet would have.
    pub compatible: bool,
}

impl Item {
    /// The record that is to be there, given the one that is.
    pub fn record(&self, before: Option<&UnitRecord>) -> Option<UnitRecord> {
        let text = self.text.clone();
        match (before, text) {
            (None, Some(text)) => Some(UnitRecord {
                text,
                desired: Desired::Inactive,
                compatible: self.compatible,
                restarts: 0,
            }),
            (Some(before), Some(text)) if before.text != text => {
                Some(UnitRecord { text, compatible: self.compatible, ..before.clone() })
            }
            (Some(before), _) => Some(before.clone()),
            (None, None) => None,
        }
    }
}

/// Units that are stored together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// In the order of the arguments.
    pub items: Vec<Item>,
    /// What the operator should know.
    pub notes: Vec<String>,
}

/// Which stored units may get another text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// None.
    No,
    /// Those of which no more than this is wanted.
    UpTo(Desired),
}

impl Batch {
    /// Decides for each source which text is to be there.
    pub fn new(
        picture: &Picture,
        sources: Vec<Source>,
        replace: Replace,
        strictness: Strictness,
    ) -> Result<Self> {
        let mut batch = Self::default();
        let mut seen = BTreeSet::new();
        for source in sources {
            if !seen.insert(source.name.clone()) {
                continue;
            }
            let differs = source
                .local
                .as_ref()
                .filter(|local| source.stored.as_ref().is_some_and(|stored| *stored != local.text));
            let (first, file) = source.first_text();
            let (text, file) = match (&source.stored, differs, replace) {
                (None, ..) => (Some(first), file),
                (Some(_), None, _) => (None, file),
                (Some(_), Some(local), Replace::No) => {
                    batch.notes.push(format!(
                        "Unit {} in the store differs from {}; --replace stores the file",
                        source.name,
                        local.path.display()
                    ));
                    (None, file)
                }
                (Some(_), Some(local), Replace::UpTo(most)) => {
                    let desired =
                        picture.units.get(&source.name).map_or(Desired::Inactive, |unit| unit.record.desired);
                    if desired > most {
                        bail!(
                            "{} is {}, so its text can't be replaced by this command; `convoyctl update {}` restarts it with the new one",
                            source.name,
                            desired.as_str(),
                            local.path.display()
                        );
                    }
                    (Some(local.text.clone()), local.path.display().to_string())
                }
            };
            let compatible = strictness == Strictness::Compatible;
            batch.items.push(Item { name: source.name, text, file, compatible });
        }
        Ok(batch)
    }

    /// The cluster as it would be with the batch in it.
    pub fn overlay(&self, picture: &Picture, strictness: Strictness) -> Question {
        let mut question = Question::of_picture(picture, now());
        for item in &self.items {
            let Some(text) = &item.text else { continue };
            let place = question.units.iter_mut().find(|unit| unit.name == item.name.as_str());
            if let Some(unit) = place {
                unit.text.clone_from(text);
                unit.file = Some(item.file.clone());
                unit.strictness = strictness;
            } else {
                question.units.push(Submitted {
                    name: item.name.to_string(),
                    file: Some(item.file.clone()),
                    text: text.clone(),
                    strictness,
                    ..Submitted::default()
                });
            }
        }
        question
    }

    /// Reads the batch in the company of what is stored. Gives warnings, or everything that is wrong.
    pub fn check(&self, picture: &Picture, strictness: Strictness) -> Result<Vec<String>, Rejections> {
        let ours: BTreeSet<&str> = self.written().map(|item| item.name.as_str()).collect();
        if ours.is_empty() {
            return Ok(Vec::new());
        }
        let read = self.overlay(picture, strictness).read();
        let before: BTreeSet<String> = Question::of_picture(picture, now())
            .read()
            .rejected
            .into_iter()
            .map(|rejection| rejection.name)
            .collect();
        let mut rejected = BTreeMap::new();
        for rejection in read.rejected {
            if ours.contains(rejection.name.as_str()) {
                rejected.insert(rejection.name, rejection.error);
            } else if !before.contains(&rejection.name) {
                // What is stored already was fine by itself.
                rejected.insert(
                    rejection.name.clone(),
                    format!("with this, {} is no longer right: {}", rejection.name, rejection.error),
                );
            }
        }
        if !rejected.is_empty() {
            return Err(Rejections(rejected));
        }
        let ours = read.definitions.iter().filter(|definition| ours.contains(definition.name.as_str()));
        Ok(ours
            .flat_map(|definition| &definition.warnings)
            .map(|warning| format!("warning: {warning}"))
            .collect())
    }

    /// The items whose text is written.
    pub fn written(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| item.text.is_some())
    }
}

/// What is wrong with the units of a batch, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejections(pub BTreeMap<String, String>);

impl From<Rejections> for Refusal {
    fn from(Rejections(rejected): Rejections) -> Self {
        let count = match rejected.len() {
            1 => "1 unit is rejected".to_owned(),
            several => format!("{several} units are rejected"),
        };
        let problems: Vec<String> = rejected.into_values().collect();
        Self::Rejected(format!("{}\n{count}; nothing was stored", problems.join("\n")))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::{
        picture::tests::{picture, unit},
        source::LocalText,
    };

    fn source(name: &str, stored: Option<&str>, local: Option<&str>) -> Source {
        Source {
            name: unit(name),
            stored: stored.map(str::to_owned),
            local: local.map(|text| LocalText { path: PathBuf::from(name), text: text.to_owned() }),
            template: None,
        }
    }

    #[test]
    fn a_stored_text_is_replaced_only_when_asked_and_only_up_to_what_is_wanted() {
        let picture = picture(&[("/convoy/units/a.service", r#"{"text":"old","desired":"loaded"}"#)]);
        let make = |local: Option<&str>, replace| {
            Batch::new(&picture, vec![source("a.service", Some("old"), local)], replace, Strictness::Strict)
        };
        for (local, replace, text, notes) in [
            (None, Replace::No, None, 0),
            (Some("old"), Replace::No, None, 0),
            (Some("new"), Replace::No, None, 1),
            (Some("new"), Replace::UpTo(Desired::Loaded), Some("new"), 0),
            (Some("old"), Replace::UpTo(Desired::Inactive), None, 0),
        ] {
            let batch = make(local, replace).unwrap();
            assert_eq!(
                (batch.items[0].text.as_deref(), batch.notes.len()),
                (text, notes),
                "{local:?} {replace:?}"
            );
        }
        assert!(make(Some("new"), Replace::UpTo(Desired::Inactive)).is_err());
    }

    #[test]
    fn a_batch_is_read_in_the_company_of_what_is_stored() {
        let picture =
            picture(&[("/convoy/units/a.service", r#"{"text":"[Service]\n","desired":"launched"}"#)]);
        let check = |text: &str, strictness| {
            let batch =
                Batch::new(&picture, vec![source("b.service", None, Some(text))], Replace::No, strictness)
                    .unwrap();
            batch.check(&picture, strictness)
        };
        let bound = "[Unit]\nBindsTo=a.service\n[Service]\nExecStart=/bin/true\n";
        let Err(Rejections(rejected)) = check(bound, Strictness::Strict) else {
            panic!("it was let through")
        };
        assert!(rejected["b.service"].contains("MachineOf=a.service"), "{rejected:?}");
        assert_eq!(check(bound, Strictness::Compatible).unwrap().len(), 1);
        let follows = format!("{bound}[X-Fleet]\nMachineOf=a.service\n");
        assert_eq!(check(&follows, Strictness::Strict), Ok(Vec::new()));
        let Err(Rejections(rejected)) = check("[X-Fleet]\nConflict=x\n", Strictness::Strict) else {
            panic!("let through")
        };
        assert!(rejected["b.service"].starts_with("b.service:2: Conflict:"), "{rejected:?}");
    }
}
