//! From a TOML file to a resource.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use super::command::{Command, Filling};
use super::file::FileSpec;
use super::value_type::{ValueRule, ValueType};
use super::{Reload, Resource, Wait, duration};
use crate::fields::{self, FieldError, Fields, Text};
use crate::glob::Pattern;
use crate::path::clean;

/// As in confd's maintained fork; confd itself waits for ever.
const CHECK_DEADLINE: Duration = Duration::from_secs(30);
/// The same.
const RELOAD_DEADLINE: Duration = Duration::from_secs(60);
/// From the reload until the new files have to be served.
const VERIFY_DEADLINE: Duration = Duration::from_secs(10);
/// The longest name of a unit (systemd.unit(5)).
const UNIT_MAX: usize = 255;

/// A resource can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{name}, {error}")]
pub struct ResourceError {
    /// Its file.
    pub name: String,
    /// What is wrong, and where.
    pub error: FieldError,
}

/// Something in a resource that has no effect, or not the one that was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceWarning {
    /// Its file.
    pub name: String,
    /// The line.
    pub line: usize,
    /// What it is.
    pub what: String,
}

impl fmt::Display for ResourceWarning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}, line {}: {}", self.name, self.line, self.what)
    }
}

impl Resource {
    /// Reads a resource. `name` is its file below `conf.d`; `global_prefix` takes the place of the resource's own
    /// prefix, as in confd.
    pub fn parse(
        name: &str,
        document: &str,
        global_prefix: Option<&str>,
    ) -> Result<(Self, Vec<ResourceWarning>), ResourceError> {
        let read = || {
            let table = fields::parse(document)?;
            let file = Fields::of_file(table.get_ref(), document);
            let template = file.get("template").ok_or_else(|| FieldError {
                line: 1,
                what: "there is no table [template]; it says what is made of which keys".to_owned(),
            })?;
            let template = template.table()?;
            refuse_backend(&file)?;
            let (resource, mut unknown) = read_template(name, &template, global_prefix)?;
            unknown.extend(unknown_fields(&file));
            unknown.sort();
            Ok((resource, unknown))
        };
        let (resource, unknown) = read().map_err(|error| ResourceError { name: name.to_owned(), error })?;
        let warning = |(line, what)| ResourceWarning { name: name.to_owned(), line, what };
        Ok((resource, unknown.into_iter().map(warning).collect()))
    }
}

/// The maintained fork has a back end per resource; other data than etcd's would be served if it were passed over.
fn refuse_backend(file: &Fields<'_>) -> Result<(), FieldError> {
    match file.get("backend") {
        Some(field) => {
            Err(field.wrong("a resource can't have a back end of its own here; all of them read etcd"))
        }
        None => Ok(()),
    }
}

type Warnings = Vec<(usize, String)>;

fn read_template(
    name: &str,
    template: &Fields<'_>,
    global_prefix: Option<&str>,
) -> Result<(Resource, Warnings), FieldError> {
    let for_each = template.text("for_each")?.map(|text| pattern("for_each", &text)).transpose()?;
    let per_key = for_each.is_some();
    let mut warnings = Vec::new();
    let files = match template.get("files") {
        Some(field) => {
            if let Some(own) = ["src", "dest"].into_iter().find_map(|name| template.get(name)) {
                return Err(own.wrong("it stands beside [[template.files]]; move it into one of them"));
            }
            let mut files = Vec::new();
            for fields in field.tables()? {
                files.push(FileSpec::read(&fields, per_key)?);
                warnings.extend(unknown_fields(&fields));
            }
            if files.is_empty() {
                return Err(field.wrong("the list is empty"));
            }
            files
        }
        None => vec![FileSpec::read(template, per_key)?],
    };
    let prefix = match global_prefix {
        Some(prefix) => prefix.to_owned(),
        None => template.text("prefix")?.map(|text| text.text).unwrap_or_default(),
    };
    // Asked for, so that it counts as known.
    let _ = template.get("prefix");
    let prefix = rooted(&prefix);
    let keys = template.texts("keys")?.unwrap_or_default();
    let keys = keys.iter().map(|key| rooted(&format!("{prefix}/{}", key.text))).collect();
    let deadline = span(template, "check_cmd_timeout", CHECK_DEADLINE)?;
    let check = match template.get("check_cmd").filter(|field| !field.is_empty()) {
        Some(field) => {
            let check = Command::read(&field, Filling::Template, deadline)?;
            if check.names_source() && (files.len() > 1 || per_key) {
                return Err(field.wrong(
                    "with several files there is no single {{.src}}; leave it out, and the check sees all new files in their places",
                ));
            }
            Some(check)
        }
        None => None,
    };
    let deadline = span(template, "verify_cmd_timeout", VERIFY_DEADLINE)?;
    let verify = match template.get("verify_cmd").filter(|field| !field.is_empty()) {
        Some(field) => Some(Command::read(&field, Filling::Words, deadline)?),
        None => None,
    };
    let resource = Resource {
        name: name.to_owned(),
        prefix,
        keys,
        files,
        for_each,
        values: value_rules(template)?,
        check,
        reload: reload(template)?,
        verify,
        wait: wait(template)?,
    };
    warnings.extend(unknown_fields(template));
    Ok((resource, warnings))
}

fn rooted(path: &str) -> String {
    String::from_utf8_lossy(&clean(format!("/{path}").as_bytes())).into_owned()
}

fn pattern(name: &str, text: &Text) -> Result<Pattern, FieldError> {
    if !text.text.starts_with('/') {
        return Err(
            text.wrong(format!("{name}: {:?} matches nothing: every key begins with a slash", text.text))
        );
    }
    Pattern::parse(text.text.as_bytes())
        .map_err(|error| text.wrong(format!("{name}: {error}: {:?}", text.text)))
}

fn span(fields: &Fields<'_>, name: &str, ordinary: Duration) -> Result<Duration, FieldError> {
    match fields.text(name)? {
        Some(text) => duration::parse(&text.text).map_err(|what| text.wrong(format!("{name}: {what}"))),
        None => Ok(ordinary),
    }
}

fn reload(template: &Fields<'_>) -> Result<Option<Reload>, FieldError> {
    let command = template.get("reload_cmd").filter(|field| !field.is_empty());
    let unit = template.text("reload_unit")?.filter(|text| !text.text.is_empty());
    let deadline = span(template, "reload_cmd_timeout", RELOAD_DEADLINE)?;
    match (command, unit) {
        (Some(field), Some(_)) => Err(field.wrong("it stands beside reload_unit; leave one of the two out")),
        (Some(field), None) => Ok(Some(Reload::Command(Command::read(&field, Filling::Words, deadline)?))),
        (None, Some(text)) => {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
            let name = &text.text;
            if !name.contains('.') || name.len() > UNIT_MAX || !name.bytes().all(plain) {
                return Err(
                    text.wrong(format!("reload_unit: {name:?} is no unit; write it as nginx.service"))
                );
            }
            Ok(Some(Reload::Unit { unit: name.clone(), deadline }))
        }
        (None, None) => Ok(None),
    }
}

fn wait(template: &Fields<'_>) -> Result<Wait, FieldError> {
    let mut wait = match (template.text("wait")?, template.text("debounce")?) {
        (Some(_), Some(debounce)) => {
            return Err(debounce.wrong("debounce: it stands beside wait; leave one of the two out"));
        }
        (Some(text), None) => Wait::parse(&text.text).map_err(|what| text.wrong(format!("wait: {what}")))?,
        (None, Some(text)) => {
            Wait::parse(&text.text).map_err(|what| text.wrong(format!("debounce: {what}")))?
        }
        (None, None) => Wait::default(),
    };
    wait.pause = span(template, "min_reload_interval", Duration::ZERO)?;
    Ok(wait)
}

fn value_rules(template: &Fields<'_>) -> Result<Vec<ValueRule>, FieldError> {
    let kind = |fields: &Fields<'_>| match fields.text("type")? {
        Some(text) => {
            ValueType::parse(&text.text).map(Some).map_err(|what| text.wrong(format!("type: {what}")))
        }
        None => Ok(None),
    };
    let mut rules = Vec::new();
    if let Some(field) = template.get("values") {
        for fields in field.tables()? {
            let missing = |name: &str| FieldError {
                line: fields.line(),
                what: format!("{name} is missing; a rule needs both match and type"),
            };
            let text = fields.text("match")?.ok_or_else(|| missing("match"))?;
            let kind = kind(&fields)?.ok_or_else(|| missing("type"))?;
            rules.push(ValueRule { pattern: Some(pattern("match", &text)?), kind });
        }
    }
    rules.extend(kind(template)?.map(|kind| ValueRule { pattern: None, kind }));
    Ok(rules)
}

/// confd passes over what it doesn't know; so does this, but not in silence.
fn unknown_fields(fields: &Fields<'_>) -> Warnings {
    fields
        .unknown()
        .into_iter()
        .map(|(line, name)| {
            let meant = fields.nearest(&name).map(|meant| format!("; is {meant} meant?")).unwrap_or_default();
            (line, format!("{name} is not known and has no effect{meant}"))
        })
        .collect()
}
