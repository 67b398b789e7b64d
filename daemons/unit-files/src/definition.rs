//! A unit file, read whole.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::{
    CutOff, Problem, Rejected, Resources, Rules, UnitName, convoy, fleet, mixes,
    option::Options,
    quantity::{self, Limit},
    quote::shown,
    report::Report,
    sections,
    specifier::Specifiers,
    syntax::{Entry, UnitFile, is_blank},
};

/// How much is let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strictness {
    /// What fleet would have passed over in silence is an error.
    #[default]
    Strict,
    /// What fleet let through is a warning, with fleet's effect.
    Compatible,
}

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

/// A unit file that may be submitted: its rules, what Convoy has to know of it, and what deserves a warning.
///
/// The file of a template is read too. Its instance isn't known, so `%i` stays as it is in all values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// The unit.
    pub name: UnitName,
    /// The text, as it was given.
    pub text: String,
    /// SHA-256 of the text, in hexadecimal digits.
    pub hash: String,
    /// `Description=`, specifiers expanded.
    pub description: Option<String>,
    /// Where it may run.
    pub rules: Rules,
    /// What orders it.
    pub dependencies: Dependencies,
    /// It has an `[Install]` section that does something.
    pub installs: bool,
    /// `WhenCutOff=`
    pub cut_off: CutOff,
    /// `StopWithin=`: the longest time its stop may take when it is fenced; 10 s by default.
    pub stop_within: Duration,
    /// `MoveAfterFailures=`: failures on one machine after which it goes to another; `None` is the scheduler's default, 0 is never.
    pub move_after_failures: Option<u32>,
    /// What was let through.
    pub warnings: Vec<Problem>,
}

impl Definition {
    /// Reads the text of a unit. `file` is what problems name: a path, or the unit's name. All problems are reported,
    /// not only the first.
    pub fn read(name: &UnitName, file: &str, text: &str, strictness: Strictness) -> Result<Self, Rejected> {
        let syntax = UnitFile::parse(text);
        let specifiers = Specifiers::of(name);
        let mut report = Report::new(file, strictness);
        let mut rules = Rules::default();
        sections::check(&syntax, name.unit_type(), &mut report);
        let placement =
            fleet::read(&Options::new(&syntax, fleet::SECTION, &specifiers), &mut report, &mut rules);
        mixes::check(&placement, &mut report);
        let policy =
            convoy::read(&Options::new(&syntax, convoy::SECTION, &specifiers), &mut report, &mut rules);
        let dependencies = dependencies(name, &syntax, &specifiers, &mut report);
        rules.ties = ties(&dependencies, specifiers.full());
        rules.resources = resources(name, &syntax, &mut report);
        if rules.require_capacity && rules.resources == Resources::default() {
            report.warning(
                0,
                "RequireCapacity",
                "the unit has no limit to compare with a machine's room",
                "set MemoryMax= in bytes, or CPUQuota=",
            );
        }
        if !report.errors.is_empty() {
            report.errors.sort_by_key(|problem| problem.line.unwrap_or(u32::MAX));
            return Err(Rejected(report.errors));
        }
        report.warnings.sort_by_key(|problem| problem.line.unwrap_or(u32::MAX));
        Ok(Self {
            name: name.clone(),
            text: text.to_owned(),
            hash: hash(text),
            description: syntax.last("Unit", "Description").map(|entry| specifiers.systemd(&entry.value)),
            rules,
            dependencies,
            installs: ["WantedBy", "RequiredBy", "UpheldBy", "Alias", "Also"]
                .iter()
                .any(|key| !syntax.values("Install", key).is_empty()),
            cut_off: policy.cut_off,
            stop_within: policy.stop_within,
            move_after_failures: policy.move_after_failures,
            warnings: report.warnings,
        })
    }
}

/// SHA-256 of a unit's text, in hexadecimal digits.
pub fn hash(text: &str) -> String {
    format!("{:x}", Sha256::digest(text))
}

fn dependencies(
    name: &UnitName,
    syntax: &UnitFile,
    specifiers: &Specifiers,
    report: &mut Report<'_>,
) -> Dependencies {
    let mut list = |keys: &[&str]| {
        let mut names = Vec::new();
        // An empty assignment takes nothing back here (systemd.unit(5)).
        for entry in syntax.entries("Unit").iter().filter(|entry| keys.contains(&entry.key.as_str())) {
            for word in entry.value.split(is_blank).filter(|word| !word.is_empty()) {
                names.extend(
                    dependency(name, entry, &specifiers.systemd(word), report)
                        .filter(|name| !names.contains(name)),
                );
            }
        }
        names
    };
    Dependencies {
        binds_to: list(&["BindsTo", "BindTo"]),
        requires: list(&["Requires"]),
        wants: list(&["Wants"]),
        part_of: list(&["PartOf"]),
        after: list(&["After"]),
        before: list(&["Before"]),
    }
}

/// A unit that is depended on. A template stands for its instance of the same name, as systemd has it.
fn dependency(name: &UnitName, entry: &Entry, text: &str, report: &mut Report<'_>) -> Option<String> {
    match UnitName::parse(&text.replace("%i", "i")) {
        Ok(other) if other.is_template() => {
            let instance = if name.is_template() { "%i" } else { name.instance().unwrap_or(name.prefix()) };
            Some(format!("{}@{instance}.{}", other.prefix(), other.unit_type().suffix()))
        }
        Ok(_) => Some(text.to_owned()),
        // Specifiers that aren't known here may make a name of it.
        Err(_) if text.contains('%') => None,
        Err(error) => {
            report.warning(entry.line, &entry.key, format!("systemd passes it over: {error}"), "");
            None
        }
    }
}

fn ties(dependencies: &Dependencies, own: &str) -> Vec<String> {
    let mut ties: Vec<String> = Vec::new();
    for name in dependencies.binds_to.iter().chain(&dependencies.requires) {
        if name != own && !ties.contains(name) {
            ties.push(name.clone());
        }
    }
    ties
}

/// The unit's own limits. systemd passes a value over that it can't read, so the one before counts.
fn resources(name: &UnitName, syntax: &UnitFile, report: &mut Report<'_>) -> Resources {
    let Some(section) = name.unit_type().section() else { return Resources::default() };
    let mut resources = Resources::default();
    for entry in syntax.entries(section) {
        let understood = match entry.key.as_str() {
            "MemoryMax" if entry.value.is_empty() => {
                resources.memory = None;
                true
            }
            "CPUQuota" if entry.value.is_empty() => {
                resources.cpu_millis = None;
                true
            }
            "MemoryMax" => quantity::memory(&entry.value)
                .map(|limit| {
                    resources.memory = match limit {
                        Limit::None => None,
                        Limit::AtMost(bytes) => Some(bytes),
                    };
                })
                .is_some(),
            "CPUQuota" => {
                quantity::processors(&entry.value).map(|millis| resources.cpu_millis = Some(millis)).is_some()
            }
            _ => continue,
        };
        if !understood {
            report.warning(
                entry.line,
                &entry.key,
                format!("systemd passes it over: {:?} is no limit", shown(&entry.value)),
                if entry.key == "CPUQuota" {
                    "write a share, such as 150%"
                } else {
                    "write bytes, such as 512M"
                },
            );
        }
    }
    resources
}
