//! Template resources: confd's `conf.d/*.toml`, and what Convoy adds to it.
//!
//! | field | what |
//! |---|---|
//! | `src`, `dest`, `keys`, `prefix`, `mode`, `uid`, `gid`, `check_cmd`, `reload_cmd` | as in confd |
//! | `owner`, `group`, `check_cmd_timeout`, `reload_cmd_timeout`, `output_format`, `debounce`, `min_reload_interval` | as in its maintained fork; what is put off is never dropped |
//! | `check_cmd`, `reload_cmd`, `verify_cmd` as a list | a program and its arguments, without a shell |
//! | `reload_unit` | a unit that is reloaded over D-Bus |
//! | `verify_cmd`, `verify_cmd_timeout` | asks the running program whether it serves the new files |
//! | `wait` | quiet time and longest wait for bursts of changes, `100ms:2s` |
//! | `type`, `[[template.values]]` | what values have to be, or they are left out |
//! | `[[template.files]]` | several files with one check and one reload |
//! | `for_each` | one file for each key or folder that matches; stale ones are removed |

mod command;
mod duration;
mod file;
mod mode;
mod read;
mod value_type;
mod wait;

pub use command::{Command, Invocation};
pub use file::{Each, FileSpec, Format, Owner};
pub use mode::Mode;
pub use read::{ResourceError, ResourceWarning};
pub use value_type::{Unfit, ValueRule, ValueType};
pub use wait::Wait;

use std::collections::BTreeSet;
use std::time::Duration;

use convoy_go_template::Text;

use crate::glob::Pattern;
use crate::path::{base, clean};
use crate::snapshot::Snapshot;

/// How the reader of the files is told.
#[derive(Debug, Clone)]
pub enum Reload {
    /// By a command.
    Command(Command),
    /// By systemd.
    Unit {
        /// The unit's name.
        unit: String,
        /// How long its job may take.
        deadline: Duration,
    },
}

/// Which files are made of which keys, and what is done with them.
#[derive(Debug, Clone)]
pub struct Resource {
    /// Its file's path below `conf.d`.
    pub name: String,
    /// What is cut off the keys before a template sees them: a clean path.
    pub prefix: String,
    /// The keys and folders that it needs: clean paths, with the prefix.
    pub keys: Vec<String>,
    /// The files, at least one.
    pub files: Vec<FileSpec>,
    /// The keys or folders for each of which the files are made.
    pub for_each: Option<Pattern>,
    /// What values have to be.
    pub values: Vec<ValueRule>,
    /// Asks whether the files would do.
    pub check: Option<Command>,
    /// Tells their reader.
    pub reload: Option<Reload>,
    /// Asks whether the reader serves them.
    pub verify: Option<Command>,
    /// How changes are gathered.
    pub wait: Wait,
}

/// A value that a template doesn't get to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its key, as it stands in the store.
    pub key: String,
    /// Why.
    pub reason: Unfit,
}

impl Resource {
    /// What the templates get to see of these keys, and what they don't.
    pub fn view<'k, 'v>(
        &self,
        keys: impl IntoIterator<Item = (&'k str, &'v [u8])>,
    ) -> (Snapshot, Vec<LeftOut>) {
        let mut left_out = Vec::new();
        let needed = keys.into_iter().filter(|(key, _)| self.needs(key)).filter_map(|(key, value)| {
            let value = Text::from(value);
            match self.admit(key, value) {
                Ok(value) => Some((Text::from(key), value)),
                Err(reason) => {
                    left_out.push(LeftOut { key: key.to_owned(), reason });
                    None
                }
            }
        });
        let snapshot = Snapshot::new(needed.collect::<Vec<_>>(), &self.prefix);
        (snapshot, left_out)
    }

    /// Whether a key of the store is among those that it asks for.
    pub fn needs(&self, key: &str) -> bool {
        self.keys.iter().any(|wanted| {
            let rest = if wanted == "/" { Some("") } else { key.strip_prefix(wanted.as_str()) };
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    /// The value as templates may see it. The first rule that is for the key decides.
    fn admit(&self, key: &str, value: Text) -> Result<Text, Unfit> {
        if self.values.is_empty() {
            return Ok(value);
        }
        let seen = clean(key.strip_prefix(self.prefix.trim_end_matches('/')).unwrap_or(key).as_bytes());
        match self.values.iter().find(|rule| rule.is_for(&seen)) {
            Some(rule) => rule.kind().admit(&value),
            None => Ok(value),
        }
    }

    /// For which keys files are made: one unnamed set, or one for each key or folder that matches. What can't be
    /// part of a file's name is told apart.
    pub fn instances(&self, snapshot: &Snapshot) -> (Vec<Option<Each>>, Vec<String>) {
        let Some(pattern) = &self.for_each else { return (vec![None], Vec::new()) };
        let mut found = BTreeSet::new();
        let mut unusable = Vec::new();
        for path in snapshot.paths(pattern) {
            let name = base(path.as_bytes());
            let usable = name.first() != Some(&b'.')
                && name.len() <= 200
                && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-@:+".contains(byte));
            match (usable, std::str::from_utf8(path.as_bytes()), std::str::from_utf8(&name)) {
                (true, Ok(key), Ok(name)) => {
                    found.insert(Each { key: key.to_owned(), name: name.to_owned() });
                }
                _ => unusable.push(path.to_str().into_owned()),
            }
        }
        (found.into_iter().map(Some).collect(), unusable)
    }
}
