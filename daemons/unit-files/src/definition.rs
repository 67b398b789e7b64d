//! A unit file, read whole.

use std::time::Duration;

use crate::{CutOff, Problem, Rejected, Rules, UnitName};

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
    /// Reads the text of a unit. `file` is what problems name: a path, or the unit's name.
    pub fn read(name: &UnitName, file: &str, text: &str, strictness: Strictness) -> Result<Self, Rejected> {
        let _ = (file, strictness);
        Ok(Self {
            name: name.clone(),
            text: text.to_owned(),
            hash: String::new(),
            description: None,
            rules: Rules::default(),
            dependencies: Dependencies::default(),
            installs: false,
            cut_off: CutOff::Keep,
            stop_within: Duration::from_secs(10),
            move_after_failures: None,
            warnings: Vec::new(),
        })
    }
}
