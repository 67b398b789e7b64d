//! A routes file: all routes of a router that has no store, in JSON.

use std::collections::BTreeMap;
use std::fmt;

use convoy_keys::AppName;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use thiserror::Error;

use crate::document::{Document, DocumentError, name_of};
use crate::shared::Shared;
use crate::written::Written;
use crate::{HostPattern, Rule};

/// Larger than any file that somebody wrote or generated on purpose.
const LONGEST: usize = 64 * 1024 * 1024;

/// Why a file is of no use at all.
#[derive(Debug, Error)]
pub enum FileError {
    /// Larger than allowed.
    #[error("it has {0} bytes, {LONGEST} are allowed")]
    TooLong(usize),
    /// No JSON, or not of the form `{"routes": [...]}`.
    #[error(
        "{0}; it has to look like {{\"routes\": [{{\"host\": \"a.example\", \"targets\": [\"127.0.0.1:9000\"]}}]}}"
    )]
    Json(#[from] serde_json::Error),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    routes: Entries,
}

/// The entries, each made use of before the next one is read: as JSON, all of them would take many times the memory of
/// what is made of them.
struct Entries(RoutesFile);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;

        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a sequence")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Entries, A::Error> {
                let (mut file, mut shared) = (RoutesFile::default(), Shared::default());
                for number in 1.. {
                    let Some(value) = entries.next_element()? else { break };
                    file.take(number, value, &mut shared);
                }
                Ok(Entries(file))
            }
        }

        deserializer.deserialize_seq(EntriesVisitor)
    }
}

/// An entry that is of no use. All others are used.
#[derive(Debug)]
pub struct FileEntry {
    /// Its place, from 1.
    pub number: usize,
    /// The host that it was meant for, as far as it can be told.
    pub host: String,
    /// What is wrong.
    pub error: DocumentError,
}

/// A file, entry by entry.
#[derive(Debug, Default)]
pub struct RoutesFile {
    /// What can be used, by the name that logs and metrics know it by.
    pub documents: BTreeMap<AppName, Document>,
    /// What can't.
    pub refused: Vec<FileEntry>,
}

impl RoutesFile {
    /// Parses `{"routes": [{"host": "a.example", "path": "/", "targets": ["127.0.0.1:9000"]}]}`. An entry may have
    /// whatever `/convoy/routes/<app>` may have; without `app` it gets a name from its host and path, without `host` it
    /// is for all hosts.
    pub fn parse(text: &[u8]) -> Result<Self, FileError> {
        if text.len() > LONGEST {
            return Err(FileError::TooLong(text.len()));
        }
        let whole: Whole = serde_json::from_slice(text)?;
        Ok(whole.routes.0)
    }

    fn take(&mut self, number: usize, value: serde_json::Value, shared: &mut Shared) {
        let host = value.get("host").map(ToString::to_string);
        if let Err(error) = self.follow(value, shared) {
            self.refused.push(FileEntry { number, host: host.unwrap_or_default(), error });
        }
    }

    fn follow(&mut self, value: serde_json::Value, shared: &mut Shared) -> Result<(), DocumentError> {
        let written = Written::parse(value)?;
        let app = written.app.clone();
        let mut document = Document::of(written, false, shared)?;
        for rule in &mut document.rules {
            if rule.hosts.is_empty() {
                rule.hosts = [HostPattern::Any].into();
            }
        }
        let name = match app {
            Some(app) if self.documents.contains_key(&app) => {
                return Err(DocumentError::Value {
                    word: "app",
                    problem: format!(
                        "{app} stands there twice; write further hosts and paths into its routes"
                    ),
                });
            }
            Some(app) => app,
            None => self.free_name(document.rules.first()),
        };
        self.documents.insert(name, document);
        Ok(())
    }

    /// The same for the same file, so that a file that is read again changes nothing.
    fn free_name(&self, rule: Option<&Rule>) -> AppName {
        let name = rule.map_or_else(|| name_of(&Rule::plain()), name_of);
        (2..)
            .map_while(|number| AppName::parse(&format!("{name}-{number}")).ok())
            .find(|numbered| !self.documents.contains_key(numbered))
            .filter(|_| self.documents.contains_key(&name))
            .unwrap_or(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_entry_by_entry() {
        let file = RoutesFile::parse(
            br#"{"routes":[
                {"host":"a.example","path":"/","targets":["127.0.0.1:9000"]},
                {"host":"a.example","path":"/api/v1","targets":["127.0.0.1:9001","127.0.0.1:9002"]},
                {"host":"a.example","targets":["127.0.0.1:9003"]},
                {"targets":["127.0.0.1:9004"]},
                {"app":"shop","host":["b.example","*.b.example"],"targets":["127.0.0.1:9005"]},
                {"host":"c.example","targets":["nonsense"]},
                {"app":"shop","host":"d.example"},
                {"host":"e.example","tragets":[]},
                7
            ]}"#,
        )
        .unwrap();
        let names: Vec<_> = file.documents.keys().map(AppName::as_str).collect();
        assert_eq!(names, ["a.example", "a.example-2", "a.example-api-v1", "any", "shop"]);
        let refused: Vec<_> = file.refused.iter().map(|entry| entry.number).collect();
        assert_eq!(refused, [6, 7, 8, 9]);
        assert!(file.refused[2].error.to_string().contains("unknown field `tragets`"));
        assert_eq!(file.refused[2].host, "\"e.example\"");
    }

    #[test]
    fn what_is_no_file_of_routes_is_an_error_with_its_place() {
        for text in ["", "{", "[]", r#"{"route":[]}"#, r#"{"routes":{}}"#] {
            let error = RoutesFile::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("line 1") && error.contains("has to look like"), "{error}");
        }
    }
}
