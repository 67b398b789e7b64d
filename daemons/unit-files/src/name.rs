//! Unit names, by fleet's and systemd's rules.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::quote::shown;

/// Longest unit name in bytes: systemd's UNIT_NAME_MAX without the closing NUL, and the longest file name.
const LONGEST: usize = 255;

/// Why a text is no unit name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{name:?} is not a unit name: {reason}")]
pub struct UnitNameError {
    /// The text.
    pub name: String,
    /// What is wrong, and what to do.
    pub reason: String,
}

impl UnitNameError {
    fn new(name: &str, reason: impl Into<String>) -> Self {
        Self { name: shown(name), reason: reason.into() }
    }
}

/// The types of units, by suffix (systemd.unit(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the suffixes")]
pub enum UnitType {
    Service,
    Socket,
    Timer,
    Path,
    Device,
    Mount,
    Automount,
    Swap,
    Target,
    Slice,
    Scope,
    Snapshot,
    Busname,
}

impl UnitType {
    /// All types, with the suffix and the name of the section that only this type has.
    const ALL: [(Self, &'static str, Option<&'static str>); 13] = [
        (Self::Service, "service", Some("Service")),
        (Self::Socket, "socket", Some("Socket")),
        (Self::Timer, "timer", Some("Timer")),
        (Self::Path, "path", Some("Path")),
        (Self::Device, "device", None),
        (Self::Mount, "mount", Some("Mount")),
        (Self::Automount, "automount", Some("Automount")),
        (Self::Swap, "swap", Some("Swap")),
        (Self::Target, "target", None),
        (Self::Slice, "slice", Some("Slice")),
        (Self::Scope, "scope", Some("Scope")),
        (Self::Snapshot, "snapshot", None),
        (Self::Busname, "busname", Some("BusName")),
    ];

    /// The type with this suffix, which is given without its dot.
    pub fn from_suffix(suffix: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, known, _)| *known == suffix).map(|(kind, ..)| kind)
    }

    /// The suffix, without its dot.
    pub fn suffix(self) -> &'static str {
        Self::ALL.into_iter().find(|(kind, ..)| *kind == self).map_or("service", |(_, suffix, _)| suffix)
    }

    /// The section of its own, if it has one: `Service`.
    pub fn section(self) -> Option<&'static str> {
        Self::ALL.into_iter().find(|(kind, ..)| *kind == self).and_then(|(.., section)| section)
    }

    /// Whether there are templates and instances of it.
    pub fn may_be_template(self) -> bool {
        matches!(self, Self::Path | Self::Service | Self::Socket | Self::Target | Self::Timer)
    }
}

/// The name of a unit with its type: `someapp@1.service`. At most 255 bytes; safe as a file name and in a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnitName(Box<str>);

/// Whether the character may stand in a unit's name before its type.
pub(crate) fn is_name_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, ':' | '-' | '_' | '.' | '\\' | '@')
}

impl UnitName {
    /// Parses a full name; the suffix has to be there.
    pub fn parse(name: &str) -> Result<Self, UnitNameError> {
        let refused = |reason: String| Err(UnitNameError::new(name, reason));
        if name.is_empty() {
            return refused("it is empty; give a name with its type, such as someapp.service".into());
        }
        if name.len() > LONGEST {
            return refused(format!("it has {} bytes, {LONGEST} are allowed", name.len()));
        }
        if let Some(character) = name.chars().find(|character| !is_name_character(*character)) {
            return refused(format!(
                "{character:?} is not allowed, only letters, digits and : - _ . \\ @ (systemd-escape writes the others)"
            ));
        }
        let Some((stem, suffix)) = name.rsplit_once('.') else {
            return refused(format!("the type is missing; write {}.service", shown(name)));
        };
        let Some(kind) = UnitType::from_suffix(suffix) else {
            return refused(format!("{suffix:?} is no type of unit; write {}.service", shown(name)));
        };
        if stem.is_empty() {
            return refused("there is nothing before the type".into());
        }
        if stem.starts_with('@') {
            return refused("there is nothing before the at sign".into());
        }
        if stem.contains('@') && !kind.may_be_template() {
            return refused(format!(
                "a {suffix} has no templates and instances, only path, service, socket, target and timer units do"
            ));
        }
        Ok(Self(name.into()))
    }

    /// The name that a person means, as fleetctl took it: the base name of a path, and a service if no type is given.
    pub fn complete(text: &str) -> Result<Self, UnitNameError> {
        let trimmed = text.trim_end_matches('/');
        let base = trimmed.rsplit_once('/').map_or(trimmed, |(_, base)| base);
        let has_type =
            base.rsplit_once('.').is_some_and(|(_, suffix)| UnitType::from_suffix(suffix).is_some());
        if base.is_empty() || base == "." || base == ".." {
            return Err(UnitNameError::new(text, "it has no file name"));
        }
        if has_type { Self::parse(base) } else { Self::parse(&format!("{base}.service")) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its type.
    pub fn unit_type(&self) -> UnitType {
        self.0
            .rsplit_once('.')
            .and_then(|(_, suffix)| UnitType::from_suffix(suffix))
            .unwrap_or(UnitType::Service)
    }

    /// The name without its type: `someapp@1`.
    pub fn without_type(&self) -> &str {
        self.0.rsplit_once('.').map_or(&self.0, |(stem, _)| stem)
    }

    /// What stands before the first at sign, or before the type: `someapp`.
    pub fn prefix(&self) -> &str {
        let stem = self.without_type();
        stem.split_once('@').map_or(stem, |(prefix, _)| prefix)
    }

    /// What stands between the first at sign and the type. None for templates and for units without an at sign.
    pub fn instance(&self) -> Option<&str> {
        self.without_type()
            .split_once('@')
            .map(|(_, instance)| instance)
            .filter(|instance| !instance.is_empty())
    }

    /// Whether it is a template: `someapp@.service`.
    pub fn is_template(&self) -> bool {
        self.without_type().split_once('@').is_some_and(|(_, instance)| instance.is_empty())
    }

    /// The template of an instance; None for everything else.
    pub fn template(&self) -> Option<Self> {
        self.instance()?;
        Some(Self(format!("{}@.{}", self.prefix(), self.unit_type().suffix()).into()))
    }

    /// An instance of this template. An error for what is no template, and for an instance that makes no unit name.
    pub fn instantiate(&self, instance: &str) -> Result<Self, UnitNameError> {
        if !self.is_template() {
            return Err(UnitNameError::new(&self.0, "it is no template, so it has no instances"));
        }
        if instance.is_empty() {
            return Err(UnitNameError::new(
                &self.0,
                "an instance needs a name between the at sign and the type",
            ));
        }
        Self::parse(&format!("{}@{instance}.{}", self.prefix(), self.unit_type().suffix()))
    }
}

impl AsRef<str> for UnitName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for UnitName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for UnitName {
    type Err = UnitNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<String> for UnitName {
    type Error = UnitNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<UnitName> for String {
    fn from(name: UnitName) -> Self {
        name.0.into()
    }
}
