//! Dependencies on other units, as systemd reads them (systemd.unit(5)).

use std::collections::HashSet;

use crate::{
    UnitName, UnitNameError,
    report::Report,
    specifier::Specifiers,
    syntax::{Entry, UnitFile, is_blank},
};

/// Longer words are no names, whatever their specifiers stand for.
const LONGEST: usize = 1024;

/// The dependencies that order starts and stops on one machine. Specifiers are expanded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dependencies {
    /// `BindsTo=`
    pub binds_to: Vec<String>,
    /// `Requires=`
    pub requires: Vec<String>,
    /// `Wants=`
    pub wants: Vec<String>,
    /// `PartOf=`
    pub part_of: Vec<String>,
    /// `After=`
    pub after: Vec<String>,
    /// `Before=`
    pub before: Vec<String>,
}

impl Dependencies {
    pub(crate) fn read(file: &UnitFile, names: &Names<'_>, report: &mut Report<'_>) -> Self {
        let mut list = |option: &str| {
            let mut seen = HashSet::new();
            let mut list = Vec::new();
            for entry in entries(file, option) {
                for name in names.of(entry) {
                    match name {
                        Ok(name) if seen.insert(name.clone()) => list.push(name),
                        Ok(_) => {}
                        Err(error) => {
                            report.warning(
                                entry.line,
                                &entry.key,
                                format!("systemd passes it over: {error}"),
                                String::new(),
                            );
                        }
                    }
                }
            }
            list
        };
        Self {
            binds_to: list("BindsTo"),
            requires: list("Requires"),
            wants: list("Wants"),
            part_of: list("PartOf"),
            after: list("After"),
            before: list("Before"),
        }
    }

    /// The units without which this one can't run on a machine: `BindsTo=` and `Requires=`, itself left out.
    pub(crate) fn ties(&self, own: &str) -> Vec<String> {
        let mut seen = HashSet::from([own]);
        self.binds_to.iter().chain(&self.requires).filter(|name| seen.insert(name)).cloned().collect()
    }
}

/// The assignments of a dependency. An empty one takes nothing back: dependencies can only be added.
pub(crate) fn entries<'a>(file: &'a UnitFile, option: &str) -> impl Iterator<Item = &'a Entry> {
    // `BindTo` is the spelling of old; systemd still takes it.
    let old = if option == "BindsTo" { "BindTo" } else { option };
    file.entries("Unit").iter().filter(move |entry| entry.key == option || entry.key == old)
}

/// Reads the names of other units in the file of one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names<'a> {
    pub(crate) own: &'a UnitName,
    pub(crate) specifiers: &'a Specifiers,
}

impl Names<'_> {
    /// The units in one assignment. There are no quotes and no escapes in these lists. Names with specifiers that only
    /// the machine knows are left out.
    pub(crate) fn of(self, entry: &Entry) -> impl Iterator<Item = Result<String, UnitNameError>> {
        entry
            .value
            .split(is_blank)
            .filter(|word| !word.is_empty())
            .filter_map(move |word| self.name(word).transpose())
    }

    fn name(self, word: &str) -> Result<Option<String>, UnitNameError> {
        if word.len() > LONGEST {
            return UnitName::parse(word).map(|name| Some(name.into()));
        }
        let text = self.specifiers.systemd(word);
        match UnitName::parse(&text.replace("%i", "i")) {
            Ok(other) if other.is_template() => Ok(Some(self.instance_of(&other))),
            Ok(_) => Ok(Some(text)),
            Err(_) if text.contains('%') => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A template stands for its instance of the same name, or for the one called like the unit itself.
    fn instance_of(self, template: &UnitName) -> String {
        let instance =
            if self.own.is_template() { "%i" } else { self.own.instance().unwrap_or(self.own.prefix()) };
        format!("{}@{instance}.{}", template.prefix(), template.unit_type().suffix())
    }
}
