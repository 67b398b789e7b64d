//! A unit file, read whole.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::{
    CutOff, Dependencies, Problem, Rejected, Resources, Rules, UnitName, convoy,
    dependencies::Names,
    fleet, mixes,
    option::Options,
    quantity::{self, Limit},
    quote::shown,
    report::Report,
    sections,
    specifier::Specifiers,
    syntax::UnitFile,
};

/// Longest description that is kept, in characters before its specifiers are expanded.
const LONGEST_DESCRIPTION: usize = 4096;

/// How much is let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strictness {
    /// What fleet would have passed over in silence is an error.
    #[default]
    Strict,
    /// What fleet let through is a warning, with fleet's effect.
    Compatible,
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
        let names = Names { own: name, specifiers: &specifiers };
        let dependencies = Dependencies::read(&syntax, &names, &mut report);
        rules.ties = dependencies.ties(specifiers.full());
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
            description: description(&syntax, &specifiers),
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

/// The bytes of a file as text, for [`Definition::read`]: systemd refuses a unit file that isn't UTF-8.
pub fn decode<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, Problem> {
    std::str::from_utf8(bytes).map_err(|error| {
        let good = bytes.iter().take(error.valid_up_to());
        Problem {
            file: file.to_owned(),
            line: u32::try_from(good.filter(|byte| **byte == b'\n').count() + 1).ok(),
            option: None,
            message: "the file is no UTF-8 text".into(),
            remedy: "save it in UTF-8".into(),
        }
    })
}

/// SHA-256 of a unit's text, in hexadecimal digits.
pub fn hash(text: &str) -> String {
    format!("{:x}", Sha256::digest(text))
}

fn description(syntax: &UnitFile, specifiers: &Specifiers) -> Option<String> {
    let entry = syntax.last("Unit", "Description")?;
    let kept: String = entry.value.chars().take(LONGEST_DESCRIPTION).collect();
    Some(specifiers.systemd(&kept))
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
